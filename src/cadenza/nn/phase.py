"""Phases for magnitude spectrograms: a first guess in one pass, then a few Griffin-Lim iterations.

In: magnitudes `[B, F, T]` of a Hann-windowed transform. Out: complex spectra `[B, F, T]`. Beauregard et al. 2015
("Single pass spectrogram inversion"): every spectral peak is a sinusoid whose phase advances with its frequency.
Griffin & Lim 1984: replace the phases by those of the signal that comes out.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn

from cadenza.nn.spectral import InverseState, InverseSTFT


@dataclass
class PhaseState:
    """A streamed reconstruction: the running phase of every bin, and the frames that later ones may still change."""

    angle: Tensor | None = None
    frames: Tensor | None = None
    """Complex first guesses `[B, F, t]`: left context, then frames whose right context is not complete."""
    finished: int = 0
    """How many of those frames are left context, that is, returned already."""


def first_guess(
    magnitude: Float[Tensor, "B F T"], n_fft: int, hop: int, angle: Float[Tensor, "B F"] | None = None
) -> tuple[Complex[Tensor, "B F T"], Float[Tensor, "B F"]]:
    """Spectra by peak tracking, and the angles to go on with, in turns.

    A bin takes the sinusoid of the nearest peak; its frequency is that of the parabola through the peak and its
    neighbours. Angles refer to the middle of a frame, where bins of one sinusoid differ by the window's alternating
    sign alone. A peak's angle is that of its own bin in the frame before plus its advance, so angles are sums along
    chains of peaks; they are added up by doubling, all frames at once.
    """
    batch, bins, frames = magnitude.shape
    if angle is None:
        angle = magnitude.new_zeros(batch, bins)
    if not frames:
        return torch.complex(magnitude, magnitude), angle
    levels = magnitude.transpose(1, 2).contiguous()  # [B, T, F]
    padded = F.pad(levels, (1, 1))
    is_peak = (levels > padded[..., :-2]) & (levels >= padded[..., 2:])
    is_peak |= ~is_peak.any(dim=2, keepdim=True)  # without a peak, every bin is its own
    place = is_peak.flatten().nonzero()[:, 0]
    frame, index = place // bins, place % bins
    below, level, above = (padded.flatten()[place + 2 * frame + i] for i in range(3))  # padded by two bins a frame
    curve = (below - 2 * level + above).clamp_max(-1e-12)
    offset = (0.5 * (below - above) / curve).clamp(-0.5, 0.5)
    advance = (index * hop % n_fft + offset * hop) / n_fft  # turns: sums lose less than those of radians
    # Whose a bin is: of two peaks around it the nearer one, the lower one if they are equally near.
    middle = (place[:-1] + place[1:]) // 2 + 1
    border = torch.where(frame[:-1] == frame[1:], middle, (frame[:-1] + 1) * bins)
    edges = F.pad(border, (1, 1))
    edges[-1] = levels.numel()
    peaks = torch.arange(len(place) + 1, device=place.device)
    owner = torch.repeat_interleave(peaks[:-1], edges.diff(), output_size=levels.numel())
    # The first frame's peaks go on from the angles given; their chains end at an extra peak of angle zero.
    begins = frame % frames == 0
    before = torch.where(begins, len(place), owner[(place - bins).clamp_min(0)])
    before = torch.cat([before, peaks[-1:]])
    turns = F.pad((advance + torch.where(begins, angle[frame // frames, index], 0)) % 1.0, (0, 1))
    for _ in range((frames - 1).bit_length()):
        turns = (turns + turns[before]) % 1.0
        before = before[before]
    direction = torch.polar(torch.ones_like(turns), 2 * math.pi * turns)[owner].view_as(levels)
    sign = 1.0 - 2.0 * (torch.arange(bins, device=place.device) % 2)
    last = turns[owner.view_as(levels)[:, -1]]
    return (direction * (levels * sign)).transpose(1, 2), last


def refine(spectrum: Complex[Tensor, "B F T"], inverse: InverseSTFT, iterations: int) -> Complex[Tensor, "B F T"]:
    """Griffin-Lim: the magnitudes stay, the phases become consistent with their neighbours'."""
    magnitude = spectrum.abs()
    for _ in range(iterations):
        analysed = inverse.analyse(inverse(spectrum))
        spectrum = analysed * (magnitude / analysed.abs().clamp_min(1e-8))
    return spectrum


@dataclass
class BandState:
    """A streamed synthesis: of phases, and of the inverse transform."""

    phases: PhaseState = field(default_factory=PhaseState)
    inverse: InverseState = field(default_factory=InverseState)


class Band(nn.Module):
    """Magnitudes of one transform, or of its lowest bins, to sound, with `iterations` of refinement.

    Streams exactly: an iteration sees only its neighbours.
    """

    def __init__(self, n_fft: int, hop: int, iterations: int) -> None:
        super().__init__()
        self.n_fft, self.hop, self.iterations = n_fft, hop, iterations
        self.inverse = InverseSTFT(n_fft, hop)
        # One inverse and one forward transform reach a window's overlap in both directions.
        self.reach = iterations * (n_fft // hop - 1)

    def widen(self, spectrum: Complex[Tensor, "B F T"]) -> Complex[Tensor, "B G T"]:
        """Zeros for the bins above."""
        return F.pad(spectrum, (0, 0, 0, self.n_fft // 2 + 1 - spectrum.shape[1]))

    def stream(self, magnitude: Float[Tensor, "B F t"], state: BandState, last: bool) -> Float[Tensor, "B n"]:
        """The next frames -> the samples that nothing to come can change."""
        return self.inverse.stream(self._spectrum(magnitude, state.phases, last), state.inverse, last)

    def _spectrum(self, magnitude: Tensor, state: PhaseState, last: bool) -> Tensor:
        guess, state.angle = first_guess(magnitude, self.n_fft, self.hop, state.angle)
        frames = guess if state.frames is None else torch.cat([state.frames, guess], dim=-1)
        ready = frames.shape[-1] if last else max(state.finished, frames.shape[-1] - self.reach)
        if ready == state.finished:
            state.frames = frames
            return self.widen(frames[..., :0])
        done = refine(self.widen(frames), self.inverse, self.iterations)[..., state.finished : ready]
        keep = max(0, ready - self.reach)
        state.frames, state.finished = frames[..., keep:], ready - keep
        return done
