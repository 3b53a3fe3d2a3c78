"""Motifs and how they vary: rhythm and contour of a bar, without pitches.

A piece has one germ. Themes are made from it and from a contrast by the old devices - sequence, inversion,
augmentation, fragment, ornament - so that a chorus is related to its verse.
"""

from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from cadenza.corpus.score import Meter

_CELLS: dict[float, tuple[tuple[float, tuple[float, ...]], ...]] = {
    # beat length in quarters -> (busyness from 0 to 1, durations that fill one or two beats)
    1.0: (
        (0.0, (2.0,)),
        (0.1, (1.0,)),
        (0.3, (1.5, 0.5)),
        (0.35, (1.0, 1.0)),
        (0.5, (0.5, 0.5)),
        (0.5, (0.5, 1.0, 0.5)),
        (0.6, (0.75, 0.25)),
        (0.75, (0.5, 0.25, 0.25)),
        (0.8, (0.25, 0.25, 0.5)),
        (1.0, (0.25, 0.25, 0.25, 0.25)),
    ),
    1.5: (
        (0.0, (3.0,)),
        (0.1, (1.5,)),
        (0.4, (1.0, 0.5)),
        (0.8, (0.5, 0.5, 0.5)),
        (0.7, (0.75, 0.25, 0.5)),
    ),
}


@dataclass(frozen=True)
class Motif:
    """One bar of melody: durations in quarter notes, scale steps to each note from the one before it, and rests.

    The first step leads from the bar's anchor, a chord tone that the phrase chooses.
    """

    durations: tuple[float, ...]
    steps: tuple[int, ...]
    rests: tuple[bool, ...]


@dataclass(frozen=True)
class Theme:
    """Eight bars in two phrases that ask and answer: motifs, and the height of each bar's anchor in scale steps."""

    motifs: tuple[Motif, ...]
    heights: tuple[int, ...]


def draw_motif(rng: np.random.Generator, meter: Meter, density: float, finest: float = 0.25) -> Motif:
    """A motif whose busyness follows `density` (0 long notes, 1 running notes).

    Args:
        finest: shortest note allowed, in quarter notes; fast pieces use longer ones.
    """
    durations: list[float] = []
    cells = [(b, c) for b, c in _CELLS[meter.beat_quarters] if min(c) >= finest]
    while (left := meter.bar_quarters - sum(durations)) > 1e-6:
        fitting = [(b, c) for b, c in cells if sum(c) <= left + 1e-6]
        weights = np.array([np.exp(-(((b - density) / 0.22) ** 2)) + 1e-4 for b, _ in fitting])
        durations += fitting[int(rng.choice(len(fitting), p=weights / weights.sum()))][1]
    steps, direction = [0], 1 if rng.random() < 0.5 else -1
    for _ in durations[1:]:
        leap = rng.random()
        size = 0 if leap < 0.1 else 1 if leap < 0.72 else 2 if leap < 0.92 else 3
        # A leap turns back by step; otherwise the line keeps its direction for a while.
        if abs(steps[-1]) >= 2:
            direction, size = (-1 if steps[-1] > 0 else 1), min(size, 1)
        elif rng.random() < 0.3:
            direction = -direction
        steps.append(direction * size)
    rests = tuple(bool(i > 0 and d <= 1.0 and rng.random() < 0.08) for i, d in enumerate(durations))
    return Motif(tuple(durations), tuple(steps), rests)


def invert(motif: Motif) -> Motif:
    """The contour upside down."""
    return replace(motif, steps=tuple(-step for step in motif.steps))


def augment(motif: Motif, meter: Meter) -> Motif:
    """Twice as slow: the notes of the first half fill the bar."""
    ends = list(accumulate(motif.durations))
    count = max(1, sum(end <= meter.bar_quarters / 2 + 1e-6 for end in ends))
    durations = [2 * d for d in motif.durations[:count]]
    durations[-1] += meter.bar_quarters - sum(durations)
    if durations[-1] <= 0:
        return Motif((meter.bar_quarters,), (0,), (False,))
    return Motif(tuple(durations), motif.steps[:count], (False,) * count)


def fragment(motif: Motif, meter: Meter) -> Motif:
    """Its first half, twice, the second time a step lower."""
    ends = list(accumulate(motif.durations))
    count = next((i + 1 for i, end in enumerate(ends) if abs(end - meter.bar_quarters / 2) < 1e-6), 0)
    if not count:
        return motif
    back = -sum(motif.steps[:count]) - 1
    steps = (*motif.steps[:count], back, *motif.steps[1:count])
    return Motif(motif.durations[:count] * 2, steps, motif.rests[:count] * 2)


def join(rng: np.random.Generator, motif: Motif) -> Motif:
    """Two neighbours become one longer note."""
    if len(motif.durations) < 3:
        return motif
    at = int(rng.integers(len(motif.durations) - 1))
    durations, steps, rests = list(motif.durations), list(motif.steps), list(motif.rests)
    durations[at] += durations.pop(at + 1)
    steps.pop(at + 1)
    rests.pop(at + 1)
    return Motif(tuple(durations), tuple(steps), tuple(rests))


def vary(rng: np.random.Generator, motif: Motif, meter: Meter) -> Motif:
    """One change that leaves the motif recognisable."""
    kind = int(rng.integers(4))
    if kind == 0:
        return invert(motif)
    if kind == 1:
        return fragment(motif, meter)
    if kind == 2:
        return join(rng, motif)
    steps = list(motif.steps)
    steps[-1] = int(rng.integers(-2, 3))
    return replace(motif, steps=tuple(steps))


_CONTOURS = (
    # Anchors of eight bars in scale steps above the tonic, mostly on its triad; the climax is in the second phrase.
    (0, 2, 4, 1, 0, 4, 5, 0),
    (0, 4, 2, 1, 0, 4, 7, 0),
    (2, 0, 4, 1, 2, 4, 5, 0),
    (0, 0, 2, 4, 0, 4, 5, 0),
    (-3, 0, 2, 1, -3, 0, 4, 0),
    (4, 2, 0, 1, 4, 5, 2, 0),
    (0, 4, 2, 4, 0, 4, 5, 0),
)


def draw_theme(
    rng: np.random.Generator, meter: Meter, germ: Motif, density: float, finest: float = 0.25, breath: float = 0.3
) -> Theme:
    """Eight bars from a germ: two phrases that begin alike and end apart.

    Args:
        breath: how likely a bar of the question is left half open for an answer.
    """
    contrast = draw_motif(rng, meter, density, finest)
    shape = int(rng.integers(4))
    if shape == 0:
        question = [germ, germ, fragment(germ, meter), contrast]
    elif shape == 1:
        question = [germ, contrast, germ, contrast]
    elif shape == 2:
        question = [germ, contrast, vary(rng, germ, meter), contrast]
    else:
        question = [germ, augment(germ, meter), vary(rng, germ, meter), augment(contrast, meter)]
    if rng.random() < breath:
        question[1] = _open(question[1], meter)
    answer = [*question[:2], vary(rng, question[2], meter), question[3]]
    return Theme((*question, *answer), _CONTOURS[int(rng.integers(len(_CONTOURS)))])


def _open(motif: Motif, meter: Meter) -> Motif:
    """The motif with its second half silent: somebody else may answer."""
    starts = [end - d for end, d in zip(accumulate(motif.durations), motif.durations, strict=True)]
    rests = tuple(r or s >= meter.middle_quarters - 1e-6 for r, s in zip(motif.rests, starts, strict=True))
    return replace(motif, rests=rests)
