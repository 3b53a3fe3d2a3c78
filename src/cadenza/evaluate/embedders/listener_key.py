"""Which key, learnt: the pitches of a clip to the probability of every key.

In: mono samples at 22,050 Hz. Out: logits over 12 tonics, major and minor. As in `evaluate.key` only spectral peaks
count, each at the nearest semitone; but here octaves stay apart and the network learns which tones, in which company,
make a tonic. Every step of it is the same for all transpositions, so no key can be preferred.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from cadenza.evaluate.spectra import SAMPLE_RATE, power_spectrum

NUM_PITCHES = 96  # eight octaves of semitones from MIDI 24 (C1, 32.7 Hz)
_LOWEST = 24
_SIZE, _HOP = 8192, 4096
_LOW_HZ, _HIGH_HZ = 30.0, 4300.0
_SEMITONE_WIDTH = 0.25  # standard deviation of the weight of a peak around equal temperament, semitones
_WEAKEST = 0.005  # of the strongest amplitude of a frame


def pitch_peaks(samples: Float32[np.ndarray, "N"]) -> Float32[np.ndarray, "P T"]:
    """Roots of the amplitudes of spectral peaks per semitone and frame (5.4 a second), the loudest of the clip 1."""
    amplitude = np.sqrt(power_spectrum(samples, _SIZE, _HOP))
    low, high = (round(edge * _SIZE / SAMPLE_RATE) for edge in (_LOW_HZ, _HIGH_HZ))
    middle = amplitude[low:high]
    is_peak = (middle > amplitude[low - 1 : high - 1]) & (middle >= amplitude[low + 1 : high + 1])
    bins, frames = np.nonzero(is_peak & (middle > _WEAKEST * amplitude.max(axis=0, initial=0.0)))
    bins += low
    # A parabola through the three logarithms finds the frequency between the bins.
    left, top, right = (np.log(amplitude[bins + shift, frames] + 1e-12) for shift in (-1, 0, 1))
    offset = 0.5 * (left - right) / np.minimum(left - 2 * top + right, -1e-6)
    pitch = 69.0 + 12.0 * np.log2((bins + offset) * SAMPLE_RATE / _SIZE / 440.0)
    nearest = np.round(pitch)
    weight = np.exp(0.5 * top - 0.5 * ((pitch - nearest) / _SEMITONE_WIDTH) ** 2)
    peaks = np.zeros((NUM_PITCHES, amplitude.shape[1]), dtype=np.float32)
    np.add.at(peaks, (np.clip(nearest.astype(int) - _LOWEST, 0, NUM_PITCHES - 1), frames), weight)
    return peaks / np.float32(np.sqrt(amplitude.max()) + 1e-9)


class KeyNetwork(nn.Module):
    """[B, pitches, T] peaks to logits [B, 2, 12] (major, minor; C first).

    Convolutions over pitch and time; mean and maximum over time; octaves folded; then each tonic hears all twelve
    classes from itself upwards.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = width // 3
        self.first = nn.Conv2d(1, channels, (13, 3), (1, 2), (6, 1), bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, (13, 3), 1, (6, 1), bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.classes = nn.Conv1d(4 * channels, width, 12, bias=False)
        self.classes_norm = nn.BatchNorm1d(width)
        self.output = nn.Conv1d(width, 2, 12)

    def forward(self, peaks: Float[Tensor, "B P T"]) -> Float[Tensor, "B 2 12"]:
        hidden = F.relu(self.first_norm(self.first(torch.log1p(20.0 * peaks)[:, None])))
        hidden = hidden + F.relu(self.second_norm(self.second(hidden)))
        hidden = torch.cat([hidden.mean(dim=-1), hidden.amax(dim=-1)], dim=1).unflatten(2, (NUM_PITCHES // 12, 12))
        hidden = torch.cat([hidden.mean(dim=2), hidden.amax(dim=2)], dim=1)
        hidden = F.relu(self.classes_norm(self.classes(_all_around(hidden))))
        return self.output(_all_around(hidden))


def _all_around(classes: Float[Tensor, "B C 12"]) -> Float[Tensor, "B C 23"]:
    return F.pad(classes, (0, 11), mode="circular")
