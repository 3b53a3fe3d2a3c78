"""Frequency bands: audio split into parts that sum to it, and the weight of each changed.

In: audio `[B, C, N]`. Out: bands `[n, B, C, N]`, their standard deviations, or their weighted sum. Cut-offs lie evenly
in mel between 0 and half the sample rate; each low-pass filter is a windowed sinc, and a band is the difference of two
neighbours. Multi-Band Diffusion (San Roman et al. 2023, arXiv 2308.02560, sections 3.2 and 3.4).

Convolutions are made by overlapping Fourier transforms of blocks, so that memory does not grow with the clip, and a
weighted sum is one filter, not one for each band.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cadenza.errors import UserError

_ZEROS = 8
"""Crossings of zero of the lowest filter, both sides together."""
_CHUNK = 1 << 17
"""Samples that are split at once."""
_SILENCE = 1e-10
"""Deviations below it count as it: what is not there cannot be made louder."""
_ROUNDING = 1e-14
"""Power that every band is taken to hold, relative to the audio's: the rounding of float32 samples."""


def mel_cutoffs(sample_rate: int, num_bands: int) -> np.ndarray:
    """Where `num_bands` bands meet, in hertz."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    return 700 * (10 ** (np.linspace(0, top, num_bands + 1)[1:-1] / 2595) - 1)


class BandSplitter(nn.Module):
    """`band_0 = lowpass_0(x)`, `band_i = lowpass_i(x) - lowpass_(i-1)(x)`, and the last is what is left of `x`.

    All filters are `2 * half_length + 1` samples long; beyond its ends audio goes on as its first and last sample.
    """

    filters: Tensor

    def __init__(self, sample_rate: int, num_bands: int) -> None:
        super().__init__()
        if num_bands < 1:
            raise UserError(f"{num_bands} frequency bands: use 1 or more")
        self.sample_rate, self.num_bands = sample_rate, num_bands
        cutoffs = mel_cutoffs(sample_rate, num_bands) / sample_rate
        self.half_length = int(_ZEROS / cutoffs[0] / 2) if num_bands > 1 else 0
        # A transform of a few filters' length wastes little on the overlap.
        self._block = max(4096, 1 << (8 * self.half_length).bit_length())
        self.reset_buffers()

    def reset_buffers(self) -> None:
        """The low-pass filters `[n - 1, taps]`; no file holds them."""
        cutoffs = mel_cutoffs(self.sample_rate, self.num_bands)[:, None] / self.sample_rate
        time = np.arange(-self.half_length, self.half_length + 1)
        filters = 2 * cutoffs * np.hanning(len(time)) * np.sinc(2 * cutoffs * time)
        filters = filters / filters.sum(axis=1, keepdims=True) if len(filters) else filters
        device = self.filters.device if hasattr(self, "filters") and not self.filters.is_meta else torch.device("cpu")
        self.register_buffer("filters", torch.from_numpy(filters.astype(np.float32)).to(device), persistent=False)

    def forward(self, audio: Float[Tensor, "B C N"]) -> Float[Tensor, "n B C N"]:
        """The bands; they sum to the audio."""
        return torch.cat(list(self._split(audio)), dim=-1)

    def stds(self, audio: Float[Tensor, "B C N"]) -> Float[Tensor, "n B C"]:
        """Standard deviation of each band of each channel over time, without keeping the bands."""
        mean, square = self.moments(audio)
        return (square - mean**2).clamp(min=0).sqrt().to(audio.dtype)

    def moments(self, audio: Float[Tensor, "B C N"]) -> tuple[Float[Tensor, "n B C"], Float[Tensor, "n B C"]]:
        """Mean and mean square of each band of each channel, in float64."""
        mean, product = self._products(audio.flatten(0, 1)[:, None])
        return mean.view(-1, *audio.shape[:2]), product.view(-1, *audio.shape[:2])

    def covariances(self, audio: Float[Tensor, "B C N"]) -> Float[Tensor, "n B C C"]:
        """How the channels of each band go together, in float64."""
        mean, product = self._products(audio)
        return product - mean[..., None] * mean[..., None, :]

    def weighted(self, audio: Float[Tensor, "B C N"], weights: Float[Tensor, "n *rows"]) -> Float[Tensor, "B C N"]:
        """`sum_b weights_b band_b(audio)`, weights the same for all (`[n]`) or per item and channel (`[n, B, C]`)."""
        if self.num_bands == 1:
            return audio * weights[0][..., None]
        # Differences of neighbours weigh the low-pass filters, and the last weight the audio itself.
        filters = torch.einsum("n...,nt->...t", weights[:-1] - weights[1:], self.filters)
        filters[..., self.half_length] += weights[-1]
        return torch.cat([part[0] for _, part in self._convolved(audio, filters[None])], dim=-1)

    def _split(self, audio: Tensor) -> Iterator[Tensor]:
        """The bands `[n, B, C, m]`, chunk by chunk."""
        if self.num_bands == 1:
            yield audio[None]
            return
        for start, low in self._convolved(audio, self.filters):
            whole = audio[None, ..., start : start + low.shape[-1]]
            yield torch.cat([low[:1], low[1:] - low[:-1], whole - low[-1:]])

    def _products(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Means `[n, B, C]` of the bands, and of the products of their channels `[n, B, C, C]`, in float64.

        Without the bands: what comes out of a filter is as strong as the audio's correlation with itself, weighted by
        the filter's, says. That holds for a filter that runs in and out; these ends are made and taken off.
        """
        if self.num_bands == 1:
            whole = audio.double()
            return whole.mean(-1)[None], (whole @ whole.mT)[None] / audio.shape[-1]
        reach = 2 * self.half_length
        size = 1 << (2 * reach + 1).bit_length()
        spectra = torch.fft.rfft(self._band_filters(), size)
        weights = torch.fft.irfft(spectra.abs().square(), size)[:, : reach + 1]
        padded = F.pad(audio, (self.half_length, self.half_length), mode="replicate")
        correlation = self._correlation(padded, reach)
        both_ways = correlation + correlation.mT
        both_ways[0] /= 2  # at no delay, both ways are one
        products = torch.einsum("nt,tbcd->nbcd", weights, both_ways)
        sums = spectra[:, 0].real[:, None, None] * padded.sum(-1, dtype=torch.float64)
        ends = torch.stack([padded[..., :reach], padded[..., -reach:]]).double()
        made = torch.fft.irfft(torch.fft.rfft(ends, size) * spectra[:, None, None, None], size)
        ramps = torch.cat([made[:, 0, ..., :reach], made[:, 1, ..., reach : 2 * reach]], dim=-1)
        rounding = torch.diag_embed(_ROUNDING * correlation[0].diagonal(dim1=-2, dim2=-1))
        sums, products = sums - ramps.sum(-1), products - ramps @ ramps.mT + rounding
        return sums / audio.shape[-1], products / audio.shape[-1]

    def _band_filters(self) -> Float[Tensor, "n taps"]:
        """What makes the bands of the audio, in float64."""
        low = self.filters.double()
        whole = torch.zeros_like(low[:1])
        whole[:, self.half_length] = 1
        return torch.cat([low, whole]).diff(dim=0, prepend=torch.zeros_like(whole))

    def _correlation(self, audio: Tensor, reach: int) -> Float[Tensor, "delays B C C"]:
        """Sum over time of each channel with each other one, delayed by 0 to `reach`; float64, block by block."""
        hop = self._block - reach
        padded = F.pad(audio, (0, reach + -audio.shape[-1] % hop))
        blocks = padded.unfold(-1, self._block, hop)
        total: Tensor | float = 0.0
        step = max(1, _CHUNK // hop)
        for first in range(0, blocks.shape[-2], step):
            later = blocks[:, :, first : first + step].double()
            now, later = torch.fft.rfft(later[..., :hop], self._block), torch.fft.rfft(later)
            total = total + torch.einsum("bckf,bdkf->bcdf", now.conj(), later)
        return torch.fft.irfft(total, self._block)[..., : reach + 1].movedim(-1, 0)

    def _convolved(self, audio: Tensor, filters: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Audio through filters `[f, taps]` or `[f, B, C, taps]`: (first sample, `[f, B, C, m]`), chunk by chunk."""
        size, hop = audio.shape[-1], self._block - 2 * self.half_length
        spectra = torch.fft.rfft(filters, self._block)[..., None, :]
        if filters.ndim == 2:
            spectra = spectra[:, None, None]
        padded = F.pad(audio, (self.half_length, self.half_length + -size % hop), mode="replicate")
        blocks = padded.unfold(-1, self._block, hop)
        step = max(1, _CHUNK // hop)
        for first in range(0, blocks.shape[-2], step):
            made = torch.fft.irfft(torch.fft.rfft(blocks[:, :, first : first + step]) * spectra, self._block)
            start = first * hop
            yield start, made[..., 2 * self.half_length :].flatten(-2)[..., : size - start]


def match_spectrum(
    audio: Float[Tensor, "B C N"],
    reference: Float[Tensor, "B C M"],
    splitter: BandSplitter,
    strictness: float = 1.0,
    together: bool = False,
) -> Float[Tensor, "B C N"]:
    """Give each band of the audio the standard deviation that it has in the reference, to the power `strictness`.

    `together` takes deviations over the whole batch, as the original does; else each channel of each item has its own.
    """
    ours, theirs = (_deviation(splitter, part, together) for part in (audio, reference))
    return splitter.weighted(audio, (theirs / ours.clamp(min=_SILENCE)) ** strictness)


def _deviation(splitter: BandSplitter, audio: Tensor, together: bool) -> Tensor:
    if not together:
        return splitter.stds(audio)
    mean, square = (part.mean((1, 2)) for part in splitter.moments(audio))
    return (square - mean**2).clamp(min=0).sqrt().to(audio.dtype)
