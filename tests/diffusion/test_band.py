"""A band's file: nothing is lost but what a smaller type rounds, and statistics never."""

import pytest
import torch

from cadenza.diffusion.band import Band, BandConfig, load_band, save_band
from cadenza.diffusion.processor import BandProcessorConfig
from cadenza.diffusion.schedule import NoiseScheduleConfig
from cadenza.diffusion.unet import DiffusionUnetConfig


@pytest.fixture
def band() -> Band:
    torch.manual_seed(0)
    unet = DiffusionUnetConfig(hidden=8, depth=2, condition_dim=6, bottleneck="lstm", embed_all_levels=True)
    schedule = NoiseScheduleConfig(num_steps=50, beta_exponent=7.5)
    processor = BandProcessorConfig(sample_rate=32000, num_bands=4)
    made = Band(BandConfig(unet=unet, schedule=schedule, processor=processor)).eval()
    assert made.processor is not None
    made.processor.observe(0.1 * torch.randn(3, 1, 9000), torch.Generator().manual_seed(0))
    return made


def test_a_file_keeps_every_bit(band, tmp_path):
    wanted = {name: tensor.clone() for name, tensor in band.state_dict().items()}
    band.unet.pack()
    save_band(band, tmp_path, 3)
    again = load_band(band.config, tmp_path, 3)
    found = again.state_dict()
    assert found.keys() == wanted.keys()
    assert all(found[name].dtype == torch.float32 and torch.equal(found[name], wanted[name]) for name in wanted)
    assert again.config == band.config
    assert torch.equal(again.schedule.alpha_bar, band.schedule.alpha_bar)
    assert not again.training


def test_a_smaller_file_rounds_the_network_alone(band, tmp_path):
    save_band(band, tmp_path, 0, torch.bfloat16)
    found = load_band(band.config, tmp_path, 0).state_dict()
    for name, wanted in band.state_dict().items():
        kept = wanted.bfloat16().float() if name.startswith("unet.") else wanted
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], kept), name
    assert not torch.equal(found["unet.encoders.0.down.weight"], band.state_dict()["unet.encoders.0.down.weight"])


# ---- bands that begin with the codec's sound -------------------------------------------------------------------------


def departing(**changes) -> Band:
    torch.manual_seed(0)
    return Band(
        BandConfig(
            unet=DiffusionUnetConfig(channels=2, hidden=8, depth=2, condition_dim=6, embed_all_levels=True),
            schedule=NoiseScheduleConfig(num_steps=50, beta_start=1e-7, beta_end=0.3, beta_exponent=2.0, clip=30.0),
            processor=BandProcessorConfig(sample_rate=32000, num_bands=4),
            prediction="departure",
            hears_codec=True,
            levelled=True,
        ).model_copy(update=changes)
    ).eval()


def heard_and_noise(size: int = 6400) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    torch.manual_seed(1)
    return 0.1 * torch.randn(2, 1, size).cumsum(-1) / 10, torch.randn(2, 6, 10), [torch.randn(2, 1, size)] * 9


@pytest.mark.parametrize("solver", ["ancestral", "ddim", "dpm"])
@torch.no_grad()
def test_a_new_band_makes_the_codecs_own_sound(solver):
    """But for the noise of the schedule's first step, 70 dB below each band."""
    heard, condition, noise = heard_and_noise()
    made = departing().denoise(condition, iter(noise), (49, 30, 10, 0), solver, heard=heard)
    assert float((made - heard).std() / heard.std()) < 1e-3


@torch.no_grad()
def test_levels_are_relative_to_the_codecs():
    """A louder sound is the same sound, louder."""
    band = departing()
    band.unet.decoders[-1].up.weight.normal_(0, 0.1)
    heard, condition, noise = heard_and_noise()
    made, loud = (band.denoise(condition, iter(noise), (49, 20, 0), "ddim", heard=g * heard) for g in (1, 8))
    assert float((made - heard).std() / heard.std()) > 0.01
    torch.testing.assert_close(loud, 8 * made, atol=1e-3, rtol=1e-3)
    even = torch.randn(2, 1, 32000)
    assert float(band.project(even, band.levels(even)).std()) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("prediction", ["noise", "velocity", "departure"])
@torch.no_grad()
def test_what_is_said_means_one_sound(prediction):
    """The clean sound that training compares and the noise that samplers subtract are one answer."""
    band = departing(prediction=prediction)
    heard, _, (noisy, *_) = heard_and_noise()
    said, steps = torch.randn(2, 1, 6400), torch.tensor([30, 30])
    clean, noise = band.clean(noisy, steps, said, heard), band._noise_in(noisy, 30, said, heard)
    torch.testing.assert_close(band.schedule.signal(30) * clean + band.schedule.noise(30) * noise, noisy)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hears_codec": False}, "departure needs hears_codec"),
        ({"levelled": False}, "departure needs levelled where there is a processor"),
        ({"processor": None}, "levelled needs a processor"),
    ],
)
def test_settings_that_cannot_be(changes, words):
    settings = departing().config.model_dump() | changes
    with pytest.raises(ValueError, match=words):
        BandConfig(**settings)
