"""Losses of a VQ-VAE: those that the reference recorded, and values worked out by hand."""

import json
import math

import pytest
import torch

from cadenza.errors import UserError
from cadenza.train.vqvae_losses import (
    SCALES,
    SINGLE,
    Bandwidth,
    VQVAEWeights,
    compare,
    magnitudes,
    measure_bandwidth,
    spectral_convergence,
    wanted,
)
from jukebox.vqvae_oracle import FOLDER, audio, recorded

PUBLISHED = VQVAEWeights()


def their_bandwidth() -> Bandwidth:
    values = json.loads((FOLDER / "config.json").read_text())["bandwidth"]
    return Bandwidth(l1=values["l1"], l2=values["l2"], spectral=values["spec"])


@pytest.mark.parametrize("run", ["train_init", "train_restart", "train_resume"])
def test_every_term_is_that_of_the_reference(run: str) -> None:
    io, original, total = recorded(), wanted(audio(f"{run}.wav")), torch.zeros(())
    for level in range(3):
        terms = compare(audio(f"{run}.decoded.level{level}"), original, their_bandwidth(), PUBLISHED)
        found = {f"loss.recon.level{level}": terms.reconstruction(PUBLISHED)}
        found[f"loss.spectral.level{level}"] = terms.spectral
        found[f"loss.multispectral.level{level}"] = terms.scales.mean()
        for window, value in zip(SCALES, terms.scales, strict=True):
            found[f"loss.multispectral.level{level}.nfft{window.n_fft}"] = value
        if level == 0:
            sizes = {"l1_loss": terms.l1, "l2_loss": terms.l2, "linf_loss": terms.linf}
            sizes["spectral_convergence"] = terms.convergence
            found |= {f"level0_metric.{name}": value for name, value in sizes.items()}
        for name, value in found.items():
            torch.testing.assert_close(value, io[f"{run}.{name}"], rtol=1e-5, atol=0)  # measured: 1e-6
        total = total + terms.total(PUBLISHED) + PUBLISHED.commitment * io[f"{run}.loss.commit.level{level}"]
    torch.testing.assert_close(total, io[f"{run}.loss.total"], rtol=1e-5, atol=0)


def test_only_the_largest_errors_count_in_linf() -> None:
    sound = torch.zeros(2, 1, 2048)
    made = sound.clone()
    made[0, 0, :4] = torch.tensor([1.0, 2.0, 3.0, 0.5])
    weights = VQVAEWeights(linf_samples=2)
    terms = compare(made, wanted(sound), Bandwidth(l1=1.0, l2=0.5, spectral=1.0), weights)
    assert float(terms.linf) == pytest.approx((9 + 4) / 2 / 2 / 0.5)  # of two items one is right
    assert float(terms.l1) == pytest.approx(6.5 / 4096)
    assert float(terms.l2) == pytest.approx(14.25 / 4096 / 0.5)


def test_magnitudes_of_a_tone() -> None:
    """A full-scale cosine at bin 64 has half the window's sum at that bin: 1536 / 2 / 2."""
    time = torch.arange(8192)
    found = magnitudes(torch.cos(2 * torch.pi * 64 / 2048 * time)[None, None], SINGLE)
    assert found.shape == (1, 1025, 8192 // 256 + 1)
    torch.testing.assert_close(found[0, 64, 8:-8], torch.full((17,), 384.0), rtol=1e-4, atol=0)


def test_spectral_convergence_is_an_amplitude_ratio() -> None:
    sound = torch.randn(3, 1, 4096, generator=torch.Generator().manual_seed(0))
    sound[2] = 0.0
    made = sound * torch.tensor([0.5, 0.0, 1.0])[:, None, None]
    torch.testing.assert_close(spectral_convergence(made, sound), torch.tensor([0.5, 1.0, 0.0]))


def test_equal_sounds_have_no_distance_and_no_gradient_that_is_not_a_number() -> None:
    sound = torch.randn(1, 1, 4096, generator=torch.Generator().manual_seed(0))
    made = sound.clone().requires_grad_()
    weights = VQVAEWeights(l1=1.0, spectral=1.0)
    total = compare(made, wanted(sound), their_bandwidth(), weights).total(weights)
    total.backward()
    assert float(total.detach()) == 0
    assert bool(torch.isfinite(made.grad).all())


@pytest.mark.parametrize(("spectral", "multispectral"), [(0.0, 1.0), (1.0, 0.0)])
def test_spectra_have_gradients_where_they_have_a_weight(spectral: float, multispectral: float) -> None:
    sound = torch.randn(1, 1, 4096, generator=torch.Generator().manual_seed(0))
    weights = VQVAEWeights(spectral=spectral, multispectral=multispectral)
    terms = compare((0.5 * sound).requires_grad_(), wanted(sound), their_bandwidth(), weights)
    assert (terms.spectral.requires_grad, terms.scales.requires_grad) == (spectral > 0, multispectral > 0)
    assert not terms.convergence.requires_grad


def test_bandwidth_of_noise() -> None:
    noise = 0.1 + 0.5 * torch.randn(8, 1, 44100, generator=torch.Generator().manual_seed(0))
    found = measure_bandwidth(noise.split(1))
    assert found.l2 == pytest.approx(0.25, rel=0.01)  # about its mean
    assert found.l1 == pytest.approx(float(noise.abs().mean()), rel=1e-6)
    # Each bin has the window's energy, 3/8 of its length, times the power (and the mean's bins, which are two).
    bins = 1025 * (44100 // 256 + 1) * 0.375 * 1536 * 0.25
    assert found.spectral == pytest.approx(math.sqrt(bins), rel=0.03)
    with pytest.raises(UserError, match="silent"):
        measure_bandwidth([torch.zeros(1, 1, 4096)])
