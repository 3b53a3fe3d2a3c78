"""Relative volume of the mel error: how loud, band by band, what a reconstruction does wrong is beside the original.

A pair of sounds in, decibels out; below 0 the error is softer than the music. San Roman et al. 2023 ("From Discrete
Tokens to High-Fidelity Audio Using Multi-Band Diffusion", arXiv 2308.02560) report its negative as Mel-SNR. Values that
the paper leaves open (the mel scale, the window's normalisation) are ours, so figures compare among themselves only.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cadenza.nn.spectral import mel_filters

NUM_MELS = 80
SIZE, HOP = 512, 128  # samples
MOST_GAIN_DB = 25.0
"""Originals softer than this below full scale are not brought to unit power."""
FLOOR_DB = -25.0
"""Below this, relative to the original's power, a band counts as this loud."""
MOST_DB = 25.0
"""An error louder or softer than its band by more counts as so much."""
NUM_GROUPS = 4

RVM_DEFINITION = (
    "mean over frames and 80 HTK mel bands (512 samples, hop 128, window of unit energy) of the level of the error of "
    "the mel amplitude relative to the original's, dB, within +-25; bands without a bin left out; both sounds divided "
    "by the original's RMS, bands of the original not below -25 dB; lower is better"
)


class RelativeVolume(NamedTuple):
    """In dB: the mean over all mel bands, and over each quarter of them, the lowest first."""

    mean: float
    groups: tuple[float, ...]


def relative_volume(made: Float[Tensor, "*C N"], original: Float[Tensor, "*C N"], sample_rate: int) -> RelativeVolume:
    """The relative volume of the mel error of `made` (`RVM_DEFINITION`); both of `sample_rate`, channels averaged."""
    assert made.shape == original.shape
    x, y = made.float().reshape(-1, made.shape[-1]), original.float().reshape(-1, original.shape[-1])
    level = y.square().mean().sqrt().clamp_min(10 ** (-MOST_GAIN_DB / 20))
    wrong, wanted = _mel(x / level, sample_rate), _mel(y / level, sample_rate)
    wrong = wrong - wanted
    relative = _decibels(wrong.abs(), -120.0) - _decibels(wanted, FLOOR_DB)
    bands = relative.clamp(-MOST_DB, MOST_DB).mean((0, 2))
    return RelativeVolume(float(bands.mean()), tuple(float(group.mean()) for group in bands.chunk(NUM_GROUPS)))


def _mel(audio: Float[Tensor, "C N"], sample_rate: int) -> Float[Tensor, "C M T"]:
    """Amplitudes in mel bands; frames are centred, the ends filled with silence."""
    window, filters = _analysis(sample_rate)
    window, filters = window.to(audio.device), filters.to(audio.device)
    spectrum = torch.stft(audio, SIZE, HOP, window=window, pad_mode="constant", return_complex=True)
    return (filters @ spectrum.abs().square()).sqrt()


@lru_cache(maxsize=4)
def _analysis(sample_rate: int) -> tuple[Float[Tensor, "S"], Float[Tensor, "M F"]]:
    window = torch.hann_window(SIZE)
    filters = mel_filters(NUM_MELS, SIZE, sample_rate, 0.0, sample_rate / 2)
    reached = filters.amax(1) > 0  # the lowest triangles are narrower than a bin, and some lie between two
    return window / window.square().sum().sqrt(), filters[reached]


def _decibels(amplitude: Tensor, least: float) -> Tensor:
    return 20 * torch.log10(amplitude.clamp_min(math.pow(10, least / 20)))
