"""Bands of equal shapes as one network: what they make one after the other."""

import pytest
import torch

from cadenza import UserError
from cadenza.checkpoint import read_weights
from cadenza.diffusion.band import Band, BandConfig
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.processor import BandProcessorConfig
from cadenza.diffusion.together import BandsTogether, equal_shapes
from cadenza.diffusion.unet import DiffusionUnetConfig
from cadenza.testing import noise, tiny_diffusion_decoder

LEVELS = (None, BandProcessorConfig(sample_rate=32000, num_bands=4), None)


def bands(count=3, **changes):
    """Alike in shape, each with its weights, two of them with levels of their own."""
    torch.manual_seed(0)
    config = BandConfig(unet=DiffusionUnetConfig(hidden=8, depth=2, stride=4, kernel_size=8, condition_dim=6))
    config = config.model_copy(update={"unet": config.unet.model_copy(update=changes)})
    made = [Band(config.model_copy(update={"processor": levels})).eval() for levels in LEVELS[:count]]
    for band in made:
        if band.processor is not None:
            band.processor.observe(0.1 * torch.randn(3, 1, 9000), torch.Generator().manual_seed(0))
    return made


def codes(frames, items=1, codebooks=4):
    return torch.randint(0, 32, (items, codebooks, frames), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"embed_all_levels": True, "num_residual_blocks": 2},
        {"bottleneck": "lstm"},
        {"bottleneck": "transformer"},
        {"bottleneck": "transformer", "cross_attention": True},
        {"condition_dim": None},
    ],
)
@torch.no_grad()
def test_a_call_is_the_calls_of_all(changes):
    """1e-5: sums in another order."""
    alone = bands(**changes)
    noisy, condition = torch.randn(2, 3, 1000), torch.randn(2, 6, 12)
    condition = None if "condition_dim" in changes else condition
    wanted = torch.cat([band.unet(part, 7, condition) for band, part in zip(alone, noisy.chunk(3, 1), strict=True)], 1)
    torch.testing.assert_close(BandsTogether(alone).say(noisy, 7, condition, None), wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_sum_of_bands_that_hear_the_codec():
    config = BandConfig(unet=DiffusionUnetConfig(channels=2, hidden=8), prediction="velocity", hears_codec=True)
    alone = [Band(config.model_copy(update={"processor": levels})).eval() for levels in LEVELS]
    heard, start = torch.randn(2, 1, 640), torch.randn(2, 3, 640)
    wanted = sum(
        band.denoise(torch.zeros(2, 1, 1), iter([part]), (900, 400, 0), "dpm", heard=heard)
        for band, part in zip(alone, start.chunk(3, 1), strict=True)
    )
    made = BandsTogether(alone).denoise(torch.zeros(2, 1, 1), iter([start]), (900, 400, 0), "dpm", heard=heard)
    torch.testing.assert_close(made, wanted, atol=1e-5, rtol=1e-5)


def test_which_bands_can_run_together():
    """Those whose networks, schedules and words agree; levels may differ."""
    plain, other, heard = (band.config for band in (*bands(1), *bands(1, hidden=16), *bands(1, channels=2)))
    heard = heard.model_copy(update={"hears_codec": True})
    levelled = plain.model_copy(update={"processor": LEVELS[1]})
    assert equal_shapes([plain, other, levelled, heard, plain]) == [(0, 2, 4), (1,), (3,)]


@pytest.mark.parametrize("channels", [1, 2])
def test_a_decode_is_the_same(channels):
    decoder, told = tiny_diffusion_decoder(), []
    wanted = decoder.decode(codes(25, 2, 4 * channels), seed=3, calls=3)
    decoder.together = True
    found = decoder.decode(codes(25, 2, 4 * channels), seed=3, calls=3, progress=lambda *counts: told.append(counts))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert told == [(1, 3), (2, 3), (3, 3)]  # a call is that of both bands
    recording = noise(0.1, channels=channels)
    again = [torch.from_numpy(part.regenerate(recording).samples) for part in (decoder, tiny_diffusion_decoder())]
    torch.testing.assert_close(*again, atol=1e-5, rtol=1e-5)


def test_memory_holds_the_weights_once(tmp_path):
    decoder = tiny_diffusion_decoder()
    before = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    decoder.together = True
    decoder.decode(codes(5))
    (joined,) = decoder._ensemble._joined.values()
    whole = joined.unet.encoders[0].blocks[0].conv1.weight
    parts = [band.unet.encoders[0].blocks[0].conv1.weight for band in decoder.bands]
    assert [part.untyped_storage().data_ptr() for part in parts] == 2 * [whole.untyped_storage().data_ptr()]
    assert all(torch.equal(tensor, before[name]) for name, tensor in decoder.state_dict().items())
    decoder.save_pretrained(tmp_path / "saved")
    assert torch.equal(
        read_weights(tmp_path / "saved" / "band_1.safetensors")["unet.encoders.0.blocks.0.conv1.weight"], parts[1]
    )


def test_weights_that_change_are_noticed():
    """In place, by packing, by moving: the next decode has the new ones."""
    decoder, other = tiny_diffusion_decoder(), tiny_diffusion_decoder()
    decoder.together = True
    decoder.decode(codes(5))
    for change in (
        lambda part: part.load_state_dict(tiny_diffusion_decoder(seed=1).state_dict()),
        lambda part: part.pack(),
        lambda part: part.bands.double().float(),
        lambda part: part.bands[1].unet.decoders[0].up.weight.data.mul_(2),
    ):
        change(decoder)
        change(other)
        # 1e-4: packed products sum in another order, and these random networks make much of it
        torch.testing.assert_close(decoder.decode(codes(5)), other.decode(codes(5)), atol=1e-4, rtol=1e-4)


def test_one_band_at_a_time_is_something_else(tmp_path):
    tiny_diffusion_decoder().save_pretrained(tmp_path / "a")
    with pytest.raises(UserError, match="choose one of the two"):
        DiffusionDecoder.from_pretrained(tmp_path / "a", one_band=True, together=True)
    assert DiffusionDecoder.from_pretrained(tmp_path / "a", together=True).together


@pytest.mark.gpu
def test_on_a_gpu_they_run_together(tmp_path):
    """As the default, and equal to one after the other: 1e-5, in full float32 both."""
    tiny_diffusion_decoder().save_pretrained(tmp_path / "a")
    decoder = DiffusionDecoder.from_pretrained(tmp_path / "a", "cuda")
    told = []
    found = decoder.decode(codes(25), seed=3, progress=lambda *counts: told.append(counts))
    assert told[-1] == (2, 2)
    decoder.together = False
    wanted = decoder.decode(codes(25), seed=3)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    lean = DiffusionDecoder.from_pretrained(tmp_path / "a", "cuda", one_band=True)
    assert torch.equal(lean.decode(codes(25), seed=3), wanted)


def test_bands_relative_to_the_codec_stay_alone():
    """Each is levelled, or answers, by the codec's own sound in bands of its own."""
    unet, processor = DiffusionUnetConfig(channels=2, hidden=8), BandProcessorConfig(sample_rate=32000)
    alike = BandConfig(unet=unet, processor=processor, hears_codec=True, prediction="velocity")
    levelled = alike.model_copy(update={"levelled": True})
    assert equal_shapes([alike, alike]) == [(0, 1)]
    assert equal_shapes([levelled, alike, levelled, alike]) == [(0,), (1, 3), (2,)]
