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

from cadenza.evaluate.spectra import power_spectrum, semitone_peaks

NUM_PITCHES = 96  # eight octaves of semitones from MIDI 24 (C1, 32.7 Hz)
_LOWEST = 24
_SIZE, _HOP = 8192, 4096
_LOW_HZ, _HIGH_HZ = 30.0, 4300.0
_WEAKEST = 0.005  # of the strongest amplitude of a frame


def pitch_peaks(samples: Float32[np.ndarray, "N"]) -> Float32[np.ndarray, "P T"]:
    """Roots of the amplitudes of spectral peaks per semitone and frame (5.4 a second), the loudest of the clip 1."""
    amplitude = np.sqrt(power_spectrum(samples, _SIZE, _HOP))
    pitches, frames, weights = semitone_peaks(amplitude, _LOW_HZ, _HIGH_HZ, _WEAKEST)
    peaks = np.zeros((NUM_PITCHES, amplitude.shape[1]), dtype=np.float32)
    np.add.at(peaks, (np.clip(pitches - _LOWEST, 0, NUM_PITCHES - 1), frames), weights)
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
