"""What a VQ-VAE's reconstruction is measured by: samples, their largest errors, and magnitudes of spectra.

In: audio `[B, 1, N]` and what was made of it, and the bandwidth of the data, by which every term is divided. Out:
scalar terms. Jukebox (Dhariwal et al. 2020, arXiv 2005.00341), section 3, and the losses of its published code.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config
from cadenza.errors import UserError
from cadenza.train.distributed import everyone


class Window(NamedTuple):
    """A Fourier transform: its size, hop and the length of its Hann window, samples."""

    n_fft: int
    hop: int
    length: int


SCALES = (Window(2048, 240, 1200), Window(1024, 120, 600), Window(512, 50, 240))
"""Of the multi-spectral loss."""
SINGLE = Window(2048, 256, 1536)
"""Of the plain spectral loss, of spectral convergence and of the data's bandwidth."""
SHORTEST = SINGLE.n_fft // 2 + 1
"""Samples that reflecting the edges needs."""
SILENCE = 2e-3
"""Norm of magnitudes at or below which a sound has no spectral convergence: it counts as 0."""


class VQVAEWeights(Config):
    """Factors of the terms; the defaults are those of the published model."""

    l1: float = Field(0.0, ge=0, description="mean absolute error, over that of the data about zero")
    l2: float = Field(1.0, ge=0, description="mean squared error, over the variance of the data")
    linf: float = Field(0.02, ge=0, description="mean of the largest squared errors, over the variance of the data")
    linf_samples: int = Field(2048, ge=1, description="how many largest errors of each item")
    spectral: float = Field(0.0, ge=0, description="distance of magnitudes at one scale")
    multispectral: float = Field(1.0, ge=0, description="distance of magnitudes, averaged over three scales")
    commitment: float = Field(0.02, ge=0, description="latents toward their codebook entries")


class Bandwidth(Config):
    """How large the data is, so that losses do not depend on its level."""

    l1: float = Field(gt=0, description="mean absolute sample")
    l2: float = Field(gt=0, description="variance of samples")
    spectral: float = Field(gt=0, description="mean over items of the norm of their magnitudes")


class Wanted(NamedTuple):
    """The original, and its magnitudes at every scale: the same for all levels."""

    audio: Float[Tensor, "B 1 N"]
    scales: list[Float[Tensor, "B _ _"]]
    single: Float[Tensor, "B F T"]


class Terms(NamedTuple):
    """Distances of one reconstruction, none of them weighted."""

    l1: Float[Tensor, ""]
    l2: Float[Tensor, ""]
    linf: Float[Tensor, ""]
    spectral: Float[Tensor, ""]
    scales: Float[Tensor, "3"]
    convergence: Float[Tensor, ""]
    """Spectral convergence, an amplitude ratio; it has no gradient."""

    def reconstruction(self, weights: VQVAEWeights) -> Float[Tensor, ""]:
        """The mixture of the three that compare samples."""
        return weights.l1 * self.l1 + weights.l2 * self.l2 + weights.linf * self.linf

    def total(self, weights: VQVAEWeights) -> Float[Tensor, ""]:
        """All that is minimised, but for the commitment."""
        spectra = weights.spectral * self.spectral + weights.multispectral * self.scales.mean()
        return self.reconstruction(weights) + spectra


def magnitudes(audio: Float[Tensor, "B 1 N"], window: Window) -> Float[Tensor, "B F T"]:
    """`|STFT|`: frames centred, edges reflected, a periodic Hann window, not normalised. `N >= SHORTEST`."""
    hann = torch.hann_window(window.length, device=audio.device)
    spectrum = torch.stft(audio[:, 0], window.n_fft, window.hop, window.length, hann, return_complex=True)
    return spectrum.abs()


def wanted(audio: Float[Tensor, "B 1 N"]) -> Wanted:
    """What reconstructions of `audio` are compared with."""
    return Wanted(audio, [magnitudes(audio, window) for window in SCALES], magnitudes(audio, SINGLE))


def compare(made: Float[Tensor, "B 1 N"], original: Wanted, bandwidth: Bandwidth, weights: VQVAEWeights) -> Terms:
    """The distances of a reconstruction. Of terms without weight there are values, but no gradients are kept.

    Args:
        weights: only says which gradients are needed, and how many errors are the largest (`N` at most).
    """
    error = made - original.audio
    squares = error.square()
    largest = squares.flatten(1).topk(weights.linf_samples, dim=1).values

    def apart(window: Window, magnitude: Tensor, weight: float) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and weight > 0):
            return (magnitudes(made, window) - magnitude).flatten(1).norm(dim=1)

    single = apart(SINGLE, original.single, weights.spectral)
    scales = [
        apart(window, magnitude, weights.multispectral).mean()
        for window, magnitude in zip(SCALES, original.scales, strict=True)
    ]
    return Terms(
        l1=error.abs().mean() / bandwidth.l1,
        l2=squares.mean() / bandwidth.l2,
        linf=largest.mean() / bandwidth.l2,
        spectral=single.mean() / bandwidth.spectral,
        scales=torch.stack(scales) / bandwidth.spectral,
        convergence=_convergence(single.detach(), original.single).mean(),
    )


def spectral_convergence(made: Float[Tensor, "B 1 N"], audio: Float[Tensor, "B 1 N"]) -> Float[Tensor, "B"]:
    """`|S(made) - S(audio)| / |S(audio)|` of each item: an amplitude ratio, 1 for silence, 0 at best."""
    original = magnitudes(audio, SINGLE)
    return _convergence((magnitudes(made, SINGLE) - original).flatten(1).norm(dim=1), original)


def measure_bandwidth(segments: Iterable[Float[Tensor, "B 1 N"]]) -> Bandwidth:
    """The bandwidth of these segments, those of all processes together. Raises UserError for silence alone."""
    sums = torch.zeros(6, dtype=torch.float64)
    for audio in segments:
        samples, norms = audio.double(), magnitudes(audio, SINGLE).flatten(1).norm(dim=1)
        found = [samples.numel(), samples.sum(), samples.square().sum(), samples.abs().sum(), len(norms), norms.sum()]
        sums += torch.tensor([float(value) for value in found], dtype=torch.float64)
    totals = [sum(values) for values in zip(*everyone(sums.tolist()), strict=True)]
    count, total, squares, absolutes, items, norm = totals
    if not squares:
        raise UserError("the training data is silent: there is nothing to reconstruct")
    return Bandwidth(l1=absolutes / count, l2=squares / count - (total / count) ** 2, spectral=norm / items)


def _convergence(apart: Tensor, original: Tensor) -> Tensor:
    norm = original.flatten(1).norm(dim=1)
    return torch.where(norm > SILENCE, apart / norm.clamp_min(SILENCE), 0.0)
