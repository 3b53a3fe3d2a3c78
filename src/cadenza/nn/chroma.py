"""Chromagrams: which of the twelve pitch classes sound, frame by frame.

In: waveforms `[B, N]`. Out: `[B, T, C]`, T = 1 + N // hop; class 0 is C. The measure that MusicGen's melody models were
trained with (Copet et al. 2023, section 3.2): a power spectrogram folded into pitch classes by Gaussian filters (Ellis
2007, "Chroma feature analysis and synthesis", as in librosa's chroma filter bank), each frame divided by its largest.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_LOWEST_A = 27.5
"""Hz: octaves are counted from here."""
_CENTRE_OCTAVE, _OCTAVE_WIDTH = 5.0, 2.0
"""Frequencies count by a Gaussian around octave 5 (880 Hz), so that neither rumble nor hiss decides."""
_TUNED_BY = (80.0, 2000.0)
"""Hz: between these a tuning is found; higher partials are out of tune with the scale (the 7th by 31 cents)."""
_FLOOR = 1e-6
"""Frames whose largest value is below this stay as small as they are, instead of being raised to 1."""


def chroma_filters(num_chroma: int, n_fft: int, sample_rate: int, tuning: float = 0.0) -> Float[Tensor, "C F"]:
    """Weights from the bins of a transform to pitch classes that lie `tuning` semitones above those of A = 440 Hz.

    A bin at pitch p (in classes above A) counts for class c by `exp(-2 d^2 / w^2)`: d is the distance on the circle, w
    the width of the bin, at least one class. Every bin's weights have length 1, then the octave's weight.
    """
    frequencies = torch.arange(1, n_fft, dtype=torch.float64) * sample_rate / n_fft
    pitches = num_chroma * (torch.log2(frequencies / _LOWEST_A) - tuning / 12)
    pitches = torch.cat([pitches[:1] - 1.5 * num_chroma, pitches])  # 0 Hz has no pitch: far below the first bin
    widths = F.pad(pitches.diff().clamp_min(1.0), (0, 1), value=1.0)
    distance = pitches - torch.arange(num_chroma, dtype=torch.float64)[:, None]
    half = round(num_chroma / 2)
    distance = torch.remainder(distance + half, num_chroma) - half
    weights = F.normalize(torch.exp(-2 * (distance / widths).square()), dim=0)
    weights *= torch.exp(-0.5 * ((pitches / num_chroma - _CENTRE_OCTAVE) / _OCTAVE_WIDTH).square())
    weights = weights.roll(-3 * (num_chroma // 12), dims=0)  # from A to C as the first
    return weights[:, : 1 + n_fft // 2].float()


class Chromagram(nn.Module):
    """`filters |STFT|^2`, divided by its maximum in every frame. Frame t is centred at sample `t * hop`."""

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int = 32000, n_fft: int = 16384, hop: int = 4096, num_chroma: int = 12) -> None:
        super().__init__()
        self.sample_rate, self.n_fft, self.hop, self.num_chroma = sample_rate, n_fft, hop, num_chroma
        self.reset_buffers()

    def reset_buffers(self) -> None:
        """Compute the constants: at construction, and again after a meta-device build."""
        window = torch.hann_window(self.n_fft)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        filters = chroma_filters(self.num_chroma, self.n_fft, self.sample_rate)
        self.register_buffer("filters", filters, persistent=False)

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.hop

    def num_frames(self, num_samples: int) -> int:
        return 1 + max(num_samples, self.n_fft) // self.hop

    def forward(
        self, wave: Float[Tensor, "B N"], quiet_db: float | None = None, tuning: float = 0.0
    ) -> Float[Tensor, "B T C"]:
        """Silent frames are all 0, and frames that are `quiet_db` below the loudest of their wave if that is given.

        `tuning`: how many semitones the music lies above A = 440 Hz; see `tuning_of`. A wave shorter than the window
        is padded with zeros on both sides to be as long.
        """
        filters = self.filters
        if tuning:
            filters = chroma_filters(self.num_chroma, self.n_fft, self.sample_rate, tuning).to(filters)
        chroma = torch.einsum("cf,bft->btc", filters, self._power(wave))
        if quiet_db is not None:
            energy = chroma.sum(2, keepdim=True)
            chroma = chroma * (energy > energy.amax(1, keepdim=True) * 10 ** (-quiet_db / 10))
        return F.normalize(chroma, p=float("inf"), dim=2, eps=_FLOOR)

    def tuning_of(self, wave: Float[Tensor, "N"]) -> float:
        """Semitones, -0.5 to 0.5, by which the music lies above A = 440 Hz: who hums has no tuning fork.

        The circular mean, weighted by power, of how far the peaks of all spectra lie from the nearest semitone (peaks
        interpolated by a parabola through three log powers). 0 for silence.
        """
        power = self._power(wave[None])[0] + 1e-20
        low, high = (round(hz * self.n_fft / self.sample_rate) for hz in _TUNED_BY)
        left, middle, right = (power[low + i : high + i].log() for i in (-1, 0, 1))
        is_peak = (middle > left) & (middle >= right) & (power[low:high] > 1e-4 * power.max())
        offset = (0.5 * (left - right) / (left - 2 * middle + right).clamp_max(-1e-9)).clamp(-0.5, 0.5)
        bins = torch.arange(low, high, device=wave.device)[:, None] + offset
        semitones = 12 * torch.log2(bins * self.sample_rate / self.n_fft / _LOWEST_A)
        weight = power[low:high] * is_peak
        x, y = (float((weight * part(2 * math.pi * semitones)).sum()) for part in (torch.cos, torch.sin))
        return math.atan2(y, x) / (2 * math.pi) if x or y else 0.0

    def _power(self, wave: Float[Tensor, "B N"]) -> Float[Tensor, "B F T"]:
        missing = max(0, self.n_fft - wave.shape[1])
        wave = F.pad(wave, (missing // 2, missing - missing // 2))
        spectrum = torch.stft(
            wave, self.n_fft, self.hop, window=self.window, center=True, pad_mode="reflect", return_complex=True
        )
        return spectrum.real.square() + spectrum.imag.square()


def strongest(chroma: Float[Tensor, "*B C"], keep_silence: bool = False) -> Float[Tensor, "*B C"]:
    """One-hot: the strongest class of every frame, the first of equals.

    So silence is class 0, as in MusicGen, unless `keep_silence`: then frames of zeros stay zeros.
    """
    chosen = F.one_hot(chroma.argmax(-1), chroma.shape[-1]).to(chroma.dtype)
    return chosen * (chroma > 0).any(-1, keepdim=True) if keep_silence else chosen
