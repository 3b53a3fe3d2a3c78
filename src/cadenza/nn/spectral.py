"""Short-time Fourier transforms, mel filter banks, and an inverse transform that can be streamed.

In: waveforms `[B, N]`. Out: spectra `[B, F, T]` and back. Frame `t` covers samples
`t * hop - (n_fft - hop) / 2 ... + n_fft`, so that `T = N / hop` exactly and no frame looks further than it must.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn


def mel_filters(num_mels: int, n_fft: int, sample_rate: int, low_hz: float, high_hz: float) -> Float[Tensor, "M F"]:
    """Triangular filters, equally spaced on the HTK mel scale `2595 log10(1 + f / 700)`, peak 1."""

    def to_mel(hz: float) -> float:
        return 2595.0 * math.log10(1.0 + hz / 700.0)

    mels = torch.linspace(to_mel(low_hz), to_mel(high_hz), num_mels + 2, dtype=torch.float64)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp_min(0).float()


def tone_filters(
    num_tones: int, tones_per_octave: int, n_fft: int, sample_rate: int, low_hz: float
) -> Float[Tensor, "M F"]:
    """Triangular filters equally spaced in pitch from `low_hz` up, never narrower than a bin of the transform."""
    centres = low_hz * 2.0 ** (torch.arange(num_tones, dtype=torch.float64) / tones_per_octave)
    width = (centres * (2.0 ** (1 / tones_per_octave) - 1)).clamp_min(sample_rate / n_fft)
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    return (1 - (bins - centres[:, None]).abs() / width[:, None]).clamp_min(0).float()


class LogBands(nn.Module):
    """Log magnitudes in bands, `log(floor + filters |STFT|)`: `[B, N] -> [B, M, N / hop]`; `N` a multiple of `hop`.

    Args:
        tones_per_octave: None: mel bands up to Nyquist; else bands equally spaced in pitch from 55 Hz (A1) up.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop: int,
        num_bands: int,
        tones_per_octave: int | None = None,
        floor: float = 1e-4,
    ) -> None:
        super().__init__()
        self.sample_rate, self.num_bands, self.tones_per_octave = sample_rate, num_bands, tones_per_octave
        self.n_fft, self.hop, self.floor = n_fft, hop, floor
        self.reset_buffers()

    def reset_buffers(self) -> None:
        """Compute the constants: at construction, and again after a meta-device build."""
        window = torch.hann_window(self.n_fft)
        self.register_buffer("window", window / window.sum(), persistent=False)
        if self.tones_per_octave is None:
            filters = mel_filters(self.num_bands, self.n_fft, self.sample_rate, 20.0, self.sample_rate / 2)
        else:
            filters = tone_filters(self.num_bands, self.tones_per_octave, self.n_fft, self.sample_rate, 55.0)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, audio: Float[Tensor, "B N"]) -> Float[Tensor, "B M T"]:
        pad = self.n_fft - self.hop
        padded = F.pad(audio.float(), (pad // 2, pad - pad // 2))
        spectrum = torch.stft(padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        return torch.log(self.floor + torch.matmul(self.filters, spectrum.abs()))


@dataclass
class InverseState:
    """Overlapping samples of the frames so far, their window envelope, and how much of the left edge is trimmed."""

    tail: Tensor | None = None
    envelope: Tensor | None = None
    trimmed: int = 0


class InverseSTFT(nn.Module):
    """Windowed inverse transform with overlap-add, `[B, F, T] complex -> [B, T * hop]`.

    Griffin & Lim 1984, equation 6: the sum of windowed frames over the sum of squared windows. The `(n_fft - hop)`
    surplus samples are trimmed half on each side ("same" padding, as in Vocos, Siuzdak 2023).
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        assert n_fft % hop == 0
        assert (n_fft - hop) % 2 == 0
        self.n_fft, self.hop, self.overlap = n_fft, hop, n_fft - hop
        self.reset_buffers()

    def reset_buffers(self) -> None:
        """Compute the window: at construction, and again after a meta-device build."""
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)

    def forward(self, spectrum: Complex[Tensor, "B F T"]) -> Float[Tensor, "B N"]:
        return self.stream(spectrum, InverseState(), last=True)

    def analyse(self, audio: Float[Tensor, "B N"]) -> Complex[Tensor, "B F T"]:
        """The forward transform that this inverts, `N` a multiple of `hop`."""
        padded = F.pad(audio, (self.overlap // 2, self.overlap // 2))
        return torch.stft(padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)

    def stream(self, spectrum: Tensor, state: InverseState, last: bool) -> Tensor:
        """Next frames -> the samples that no later frame will touch."""
        batch, frames = spectrum.shape[0], spectrum.shape[-1]
        if frames:
            pieces = torch.fft.irfft(spectrum.transpose(1, 2), self.n_fft) * self.window
            squares = self.window.square().expand(frames, self.n_fft)
            audio, envelope = self._overlap_add(pieces), self._overlap_add(squares[None])[0]
            if state.tail is not None and state.envelope is not None:
                audio = torch.cat([audio[:, : self.overlap] + state.tail, audio[:, self.overlap :]], dim=1)
                envelope = torch.cat([envelope[: self.overlap] + state.envelope, envelope[self.overlap :]])
            done = frames * self.hop
            state.tail, state.envelope = audio[:, done:], envelope[done:]
            audio, envelope = audio[:, :done], envelope[:done]
        else:
            audio, envelope = self.window.new_empty(batch, 0), self.window.new_empty(0)
        if last and state.tail is not None and state.envelope is not None:
            kept = self.overlap // 2
            audio = torch.cat([audio, state.tail[:, :kept]], dim=1)
            envelope = torch.cat([envelope, state.envelope[:kept]])
        cut = min(self.overlap // 2 - state.trimmed, audio.shape[1])
        state.trimmed += cut
        return audio[:, cut:] / envelope[cut:].clamp_min(1e-8)

    def _overlap_add(self, pieces: Tensor) -> Tensor:
        """`[B, T, n_fft] -> [B, (T - 1) * hop + n_fft]`."""
        batch, frames, _ = pieces.shape
        overlaps = self.n_fft // self.hop
        hops = pieces.unflatten(2, (overlaps, self.hop))
        total = pieces.new_zeros(batch, frames + overlaps - 1, self.hop)
        for i in range(overlaps):
            total[:, i : i + frames] += hops[:, :, i]
        return total.flatten(1)
