"""The VQ-VAE: OpenAI's own latents, codes and sound; pieces that equal the whole; each level on its own."""

import pytest
import torch

from cadenza.checkpoint import on_meta
from cadenza.errors import UserError
from cadenza.jukebox import vqvae
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig
from jukebox.vqvae_oracle import SMALL, audio, recorded, small, tiny

ROUNDING = 1e-5
"""Relative; sums in another order. Measured: 1e-6 and less."""


def close(found: torch.Tensor, expected: torch.Tensor, relative: float = ROUNDING) -> None:
    found, expected = found.detach(), expected.detach()
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= relative * float(expected.abs().max())


@pytest.mark.parametrize("level", range(3))
def test_every_level_is_that_of_the_reference(level: int) -> None:
    model, io = tiny(), recorded()
    wave = audio("wav")
    close(model.encode_latent(wave, level), io[f"latent_before_quantiser.level{level}"])
    (codes,) = model.encode(wave, [level])
    assert torch.equal(codes, io[f"codes.level{level}"])
    assert torch.equal(model.latent(codes, level), io[f"latent_after_quantiser.level{level}"])
    close(model.decode(codes, level), audio(f"decoded.level{level}"))


def test_a_length_that_is_no_multiple_of_the_hops() -> None:
    model, io = tiny(), recorded()
    found = model.encode(audio("odd.wav"))
    assert [codes.shape[1] for codes in found] == [169, 42, 10]  # of 1357 samples
    for level, codes in enumerate(found):
        assert torch.equal(codes, io[f"odd.codes.level{level}"])
        close(model.decode(codes, level), audio(f"odd.decoded.level{level}"))


def test_the_defaults_are_the_released_model() -> None:
    config = JukeboxVQVAEConfig()
    assert config.hop_lengths == (8, 32, 128)
    with on_meta():
        model = JukeboxVQVAE(config)
    assert sum(p.numel() for p in model.parameters()) == 1_485_763
    assert sum(tensor.numel() for tensor in model.state_dict().values()) == 1_878_979
    assert model.decoders[0].stages[0].ups[0].blocks[0].dilated.dilation == (2187,)
    assert model.encoders[0].stages[0].downs[0].blocks[0].dilated.dilation == (1,)


@pytest.mark.parametrize("layout", ["separate", "shared"])
@pytest.mark.parametrize("level", range(3))
def test_pieces_equal_the_whole(layout: str, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also at the ends, where a piece has padding or a remainder that others do not have."""
    model = small(layout)
    wave = 0.3 * torch.randn(2, 1, 1501, generator=torch.Generator().manual_seed(1))
    latent, (codes,) = model.encode_latent(wave, level), model.encode(wave, [level])
    sound = model.decode(codes, level)
    windows: list[int] = []
    for part in (*model.encoders, *model.decoders):
        part.register_forward_pre_hook(lambda _, given: windows.append(given[0][-1].shape[-1]))
    monkeypatch.setattr(vqvae, "PIECE_SAMPLES", 256)
    close(model.encode_latent(wave, level), latent)
    assert torch.equal(model.encode(wave, [level])[0], codes)
    margin = model._encoder(level).reach(level + 1) + SMALL.hop_lengths[level]
    assert len(windows) > 20 and max(windows) <= 256 + 2 * margin
    windows.clear()
    close(model.decode(codes, level), sound)
    assert max(windows) <= 256 // SMALL.hop_lengths[level] + 2 * model._decoder(level).reach(level + 1)


@pytest.mark.parametrize("level", range(3))
def test_what_a_piece_must_see_is_just_what_it_sees(level: int) -> None:
    model = small()
    hop, frame = SMALL.hop_lengths[level], 40
    wave = torch.randn(1, 1, 80 * hop, requires_grad=True)
    model._encoder(level)(wave)[level][0, :, frame].sum().backward()
    seen = wave.grad[0, 0].nonzero()[:, 0]
    reach = model._encoder(level).reach(level + 1)
    assert reach - 2 * hop < max(frame * hop - int(seen[0]), int(seen[-1]) - frame * hop) <= reach
    latent = torch.randn(1, 4, 80, requires_grad=True)
    model._decoder(level)([None] * level + [latent])[0, 0, frame * hop].backward()
    seen = latent.grad[0].abs().sum(0).nonzero()[:, 0]
    reach = model._decoder(level).reach(level + 1)
    assert reach - 4 < max(frame - int(seen[0]), int(seen[-1]) - frame) <= reach


def test_a_batch_equals_its_items() -> None:
    model = small()
    wave = 0.3 * torch.randn(3, 1, 800)
    together = model.encode(wave)
    for level, codes in enumerate(together):
        alone = [model.encode(item[None], [level])[0] for item in wave]
        assert torch.equal(codes, torch.cat(alone))
        close(model.decode(codes, level), torch.cat([model.decode(item, level) for item in alone]))


@pytest.mark.parametrize("layout", ["separate", "shared"])
def test_saved_and_loaded_it_is_the_same(layout: str, tmp_path) -> None:
    model = small(layout)
    model.save_pretrained(tmp_path)
    other = JukeboxVQVAE.from_pretrained(tmp_path)
    assert other.config == model.config
    wave = 0.3 * torch.randn(1, 1, 320)
    for level, (codes, others) in enumerate(zip(model.encode(wave), other.encode(wave), strict=True)):
        assert torch.equal(codes, others)
        assert torch.equal(model.decode(codes, level), other.decode(codes, level))


def test_the_shared_layout_has_one_autoencoder_whose_levels_add_up() -> None:
    model = small("shared")
    assert (len(model.encoders), len(model.decoders), len(model.codebooks)) == (1, 1, 3)
    wave = 0.3 * torch.randn(1, 1, 320)
    made = model.forward_train(wave)
    (sound,) = made.audio  # of all levels together
    decoder, latents = model._decoder(0), [model.latent(part.codes, i) for i, part in enumerate(made.levels)]
    middle = latents[1] + decoder.stages[2](latents[2])
    close(sound, decoder.out(decoder.stages[0](latents[0] + decoder.stages[1](middle))))
    close(model.decode(made.levels[1].codes, 1), decoder([None, latents[1]]))
    for codes, part in zip(model.encode(wave), made.levels, strict=True):
        assert torch.equal(codes, part.codes)


@pytest.mark.parametrize("layout", ["separate", "shared"])
def test_gradients_pass_the_codes_and_reach_everything(layout: str) -> None:
    model = small(layout).train()
    made = model.forward_train(0.3 * torch.randn(1, 1, 320))
    sum(audio.square().mean() for audio in made.audio).backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in model.parameters())
    model.zero_grad()
    sum(part.commitment for part in model.forward_train(0.3 * torch.randn(1, 1, 320)).levels).backward()
    assert all(p.grad is None for p in model.decoders.parameters())
    assert all(float(p.grad.abs().sum()) > 0 for p in model.encoders.parameters())


def test_mistakes_are_told() -> None:
    model = small()
    with pytest.raises(UserError, match="15 samples is shorter than a code of level 2: give 16"):
        model.encode(torch.zeros(1, 1, 15))
    with pytest.raises(UserError, match=r"no level 3: use 0 \(the finest\) to 2"):
        model.decode(torch.zeros(1, 4, dtype=torch.int64), 3)
    with pytest.raises(UserError, match="100 samples to train on: use a multiple of 16"):
        model.forward_train(torch.zeros(1, 1, 100))
    with pytest.raises(ValueError, match="give one per level"):
        JukeboxVQVAEConfig(downs=(3, 2))
    assert model.decode(torch.zeros(2, 0, dtype=torch.int64), 1).shape == (2, 1, 0)
