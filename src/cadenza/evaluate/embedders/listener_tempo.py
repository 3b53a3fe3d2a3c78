"""How fast, learnt: the onsets of a clip to the probability of every tempo.

In: mono samples at 22,050 Hz. Out: logits over 256 tempos of 30 to 480 beats per minute, 64 an octave. What begins in
eight groups of mel bands is correlated with itself, and taken apart into its frequencies, as in
`evaluate.tempo` (Peeters 2006), but which of half, double and triple is felt as the beat is learnt: at every tempo the
network looks at those beside it. It hears nothing but rhythm, so no genre or timbre can suggest a tempo to it.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from cadenza.evaluate.spectra import SAMPLE_RATE, mel_decibels

NUM_TEMPOS, PER_OCTAVE, SLOWEST_BPM = 256, 64, 30.0
TEMPOS_BPM = SLOWEST_BPM * 2.0 ** (np.arange(NUM_TEMPOS) / PER_OCTAVE)
NUM_CURVES = 18  # self-similarity and frequencies of eight groups of bands and of their mean

_HOP = 256
_FRAME_RATE = SAMPLE_RATE / _HOP
_GROUPS = 8
_RATIOS = (1, 2, 1 / 2, 3, 1 / 3, 4, 1 / 4, 3 / 2, 2 / 3, 4 / 3, 3 / 4)


def onset_bands(samples: Float32[np.ndarray, "N"]) -> Float32[np.ndarray, "G T"]:
    """How much begins in eight groups of five mel bands, 86 frames a second: the mean rise in decibels."""
    level = mel_decibels(samples, SAMPLE_RATE, 1024, _HOP, 5 * _GROUPS, floor_db=-60.0)
    rise = np.pad(np.maximum(level[:, 2:] - level[:, :-2], 0.0), ((0, 0), (1, 1)))
    return rise.reshape(_GROUPS, 5, -1).mean(axis=1).astype(np.float32)


def tempo_curves(onsets: Float32[np.ndarray, "G T"]) -> Float32[np.ndarray, "F M"]:
    """Two curves over tempos for every group and their mean: correlation a beat later, and share of that frequency."""
    bands = np.concatenate([onsets, onsets.mean(axis=0, keepdims=True)]).astype(np.float64)
    size = bands.shape[1]
    width = 87  # frames of a second: what lasts is no onset
    trend = np.stack(
        [np.convolve(np.pad(band, width // 2, mode="edge"), np.ones(width) / width, "valid") for band in bands]
    )
    novelty = np.maximum(bands - trend, 0.0)
    novelty -= novelty.mean(axis=1, keepdims=True)
    products = np.fft.irfft(np.abs(np.fft.rfft(novelty, 2 * size)) ** 2)[:, :size] / np.arange(size, 0, -1)
    energy = np.maximum(products[:, :1], 0.02 * products[:-1, 0].mean() + 1e-9)  # a silent band correlates with nothing
    lags = 60.0 * _FRAME_RATE / TEMPOS_BPM
    windowed = novelty * np.hanning(size)
    points = 16384 * (1 + size // 16384)
    spectrum = np.abs(np.fft.rfft(windowed, points)) / (np.abs(windowed).sum(axis=1, keepdims=True) + 1e-6)
    frequencies = np.fft.rfftfreq(points, 1.0 / _FRAME_RATE)
    similarity = [np.interp(lags, np.arange(size), row) * (lags < 0.8 * size) for row in products / energy]
    pulse = [2.0 * np.interp(TEMPOS_BPM / 60.0, frequencies, row) for row in spectrum]
    return np.stack([*similarity, *pulse]).astype(np.float32)


class TempoNetwork(nn.Module):
    """[B, curves, tempos] to logits [B, tempos]: twice, every tempo hears what is at simple ratios of it.

    Shifting the curves shifts the answer, but for one learnt number per tempo: how likely it is to be felt at all.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.curves_norm = nn.BatchNorm1d(NUM_CURVES)
        self.input = nn.Conv1d(NUM_CURVES, width // 2, 5, padding=2)
        self.input_norm = nn.BatchNorm1d(width // 2)
        self.first = nn.Conv1d(width // 2 * len(_RATIOS), width, 1, bias=False)
        self.first_norm = nn.BatchNorm1d(width)
        self.second = nn.Conv1d(width * len(_RATIOS), width, 1, bias=False)
        self.second_norm = nn.BatchNorm1d(width)
        self.output = nn.Conv1d(width, 1, 3, padding=1)
        self.felt = nn.Parameter(torch.zeros(NUM_TEMPOS))

    def forward(self, curves: Float[Tensor, "B F M"]) -> Float[Tensor, "B M"]:
        hidden = F.relu(self.input_norm(self.input(self.curves_norm(curves))))
        hidden = F.relu(self.first_norm(self.first(_at_ratios(hidden))))
        hidden = F.dropout(hidden, 0.1, self.training)
        hidden = hidden + F.relu(self.second_norm(self.second(_at_ratios(hidden))))
        return self.output(hidden)[:, 0] + self.felt


def _at_ratios(hidden: Float[Tensor, "B C M"]) -> Float[Tensor, "B R M"]:
    """Beside what is at a tempo, what is at its multiples and parts; nothing beyond the ends."""
    shifts = [round(float(np.log2(ratio)) * PER_OCTAVE) for ratio in _RATIOS]
    most = max(abs(shift) for shift in shifts)
    padded = F.pad(hidden, (most, most))
    return torch.cat([padded[..., most + shift : most + shift + NUM_TEMPOS] for shift in shifts], dim=1)


def most_probable_tempo(probabilities: Float32[np.ndarray, "M"]) -> tuple[float, float]:
    """Beats per minute and the probability that they are right: the mean over the peak, 2 % to both sides."""
    peak = int(probabilities.argmax())
    near = slice(max(0, peak - 2), peak + 3)
    weight = probabilities[near].astype(np.float64)
    place = float((weight * np.arange(NUM_TEMPOS)[near]).sum() / weight.sum())
    return SLOWEST_BPM * 2.0 ** (place / PER_OCTAVE), float(weight.sum())
