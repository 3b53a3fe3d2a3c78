"""Phases for magnitude spectrograms: a first guess in one pass, then a few Griffin-Lim iterations.

In: magnitudes `[B, F, T]` of a Hann-windowed transform. Out: complex spectra `[B, F, T]`. Beauregard et al. 2015
("Single pass spectrogram inversion"): every spectral peak is a sinusoid whose phase advances with its frequency.
Griffin & Lim 1984: replace the phases by those of the signal that comes out.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor

from cadenza.nn.spectral import InverseSTFT


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
    """Spectra by peak tracking, and the phases to go on with.

    A bin takes the sinusoid of the nearest peak; its frequency is that of the parabola through the peak and its
    neighbours. Angles refer to the middle of a frame, where bins of one sinusoid differ by the window's alternating
    sign alone.
    """
    batch, bins, frames = magnitude.shape
    if angle is None:
        angle = magnitude.new_zeros(batch, bins)
    if not frames:
        return torch.complex(magnitude, magnitude), angle
    padded = F.pad(magnitude, (0, 0, 1, 1))
    below, above = padded[:, :-2], padded[:, 2:]
    is_peak = (magnitude > below) & (magnitude >= above)
    curve = (below - 2 * magnitude + above).clamp_max(-1e-12)
    index = torch.arange(bins, device=magnitude.device)[:, None]
    frequency = index + (0.5 * (below - above) / curve).clamp(-0.5, 0.5)
    # Nearest peak below and above each bin; bins without one are their own.
    left = torch.where(is_peak, index, -bins).cummax(dim=1).values
    right = torch.where(is_peak, index, 2 * bins).flip(1).cummin(dim=1).values.flip(1)
    nearest = torch.where(index - left <= right - index, left, right)
    nearest = torch.where((nearest < 0) | (nearest >= bins), index, nearest)
    advance = (2 * math.pi * hop / n_fft) * frequency.gather(1, nearest)
    angles = []
    for t in range(frames):
        angle = (angle.gather(1, nearest[..., t]) + advance[..., t]) % (2 * math.pi)
        angles.append(angle)
    sign = 1.0 - 2.0 * (index % 2)
    return torch.polar(magnitude, torch.stack(angles, dim=-1)) * sign, angle


def refine(spectrum: Complex[Tensor, "B F T"], inverse: InverseSTFT, iterations: int) -> Complex[Tensor, "B F T"]:
    """Griffin-Lim: the magnitudes stay, the phases become consistent with their neighbours'."""
    magnitude = spectrum.abs()
    for _ in range(iterations):
        analysed = inverse.analyse(inverse(spectrum))
        spectrum = analysed * (magnitude / analysed.abs().clamp_min(1e-8))
    return spectrum


class PhaseReconstruction:
    """Magnitudes to spectra with `iterations` of refinement; streams exactly: an iteration sees only its neighbours."""

    def __init__(self, n_fft: int, hop: int, iterations: int) -> None:
        self.n_fft, self.hop, self.iterations = n_fft, hop, iterations
        # One inverse and one forward transform reach a window's overlap in both directions.
        self.reach = iterations * (n_fft // hop - 1)

    def stream(
        self, magnitude: Float[Tensor, "B F t"], inverse: InverseSTFT, state: PhaseState, last: bool
    ) -> Complex[Tensor, "B F u"]:
        """The next frames -> spectra of the frames that nothing to come can change."""
        guess, state.angle = first_guess(magnitude, self.n_fft, self.hop, state.angle)
        frames = guess if state.frames is None else torch.cat([state.frames, guess], dim=-1)
        ready = frames.shape[-1] if last else max(state.finished, frames.shape[-1] - self.reach)
        if ready == state.finished:
            state.frames = frames
            return frames[..., :0]
        done = refine(frames, inverse, self.iterations)[..., state.finished : ready]
        keep = max(0, ready - self.reach)
        state.frames, state.finished = frames[..., keep:], ready - keep
        return done
