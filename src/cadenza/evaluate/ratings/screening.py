"""Raters who do not hear what the others hear: ratings in, who is left out and why.

After CrowdMOS (Ribeiro et al. 2011): whose ratings correlate with the mean by less than 0.25 is left out, and the means
are formed anew until all that remain are above. Exactly, here: the mean is that of the *other* remaining raters of each
clip (with themselves in it, few raters would agree with themselves); the rater with the lowest correlation goes first,
one at a time; a rater who gives everything the same value correlates with nothing (0); who shares fewer than five clips
with others is not judged; and of two raters neither is left out, since nobody can say which of them is right.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

LEAST_CORRELATION = 0.25
FEWEST_CLIPS = 5
_FEWEST_RATERS = 3


@dataclass(frozen=True)
class Outlier:
    """A rater who was left out, and the correlation with the others at that moment."""

    listener: Hashable
    correlation: float


def outliers(
    values: Sequence[float],
    listeners: Sequence[Hashable],
    clips: Sequence[Hashable],
    least: float = LEAST_CORRELATION,
) -> list[Outlier]:
    """Who is left out, in the order in which they go. `clips`: what was rated, prompt and system together."""
    people, things = list(dict.fromkeys(listeners)), list(dict.fromkeys(clips))
    table = np.full((len(people), len(things)), np.nan)
    rows, columns = ({name: number for number, name in enumerate(names)} for names in (people, things))
    for value, listener, clip in zip(values, listeners, clips, strict=True):
        table[rows[listener], columns[clip]] = value
    remaining = list(range(len(people)))
    found: list[Outlier] = []
    while len(remaining) >= _FEWEST_RATERS:
        known = table[remaining]
        judged = [(correlation_with_others(known, row), row) for row in range(len(remaining))]
        worst = min(((r, row) for r, row in judged if r is not None), default=(np.inf, -1))
        if worst[0] >= least:
            break
        found.append(Outlier(people[remaining.pop(worst[1])], round(float(worst[0]), 6)))
    return found


def correlation_with_others(table: np.ndarray, row: int) -> float | None:
    """Pearson's r of one rater with the mean of the others, over the clips that they share; None if it tells nothing.

    `table` is [raters, clips], NaN where nothing was rated.
    """
    others = np.delete(table, row, axis=0)
    counts = (~np.isnan(others)).sum(axis=0)
    shared = ~np.isnan(table[row]) & (counts > 0)
    if shared.sum() < FEWEST_CLIPS:
        return None
    own = table[row, shared]
    mean = np.nansum(others[:, shared], axis=0) / counts[shared]
    if np.ptp(mean) == 0:
        return None
    if np.ptp(own) == 0:
        return 0.0
    return float(np.corrcoef(own, mean)[0, 1])
