"""How sure a figure is: a few values in, their mean and its 95 % interval out.

Student's t: it is right for the few pieces that a measurement of minutes can afford, where resampling is too sure of
itself. The bootstrap, where a source asks for it; whole pieces at a time where values of one piece depend on each
other. Wilson's for shares. The jackknife for figures of a whole set that grow where the set is small, such as
distances. For pairs (the same prompt with and without) give the differences.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

_NORMAL = 1.959963984540054  # 97.5 % of the normal distribution lie below
_BLOCK = 1_000_000  # values drawn at once


@dataclass(frozen=True)
class Interval:
    """A mean of `count` values; the true mean lies within `low .. high` in 95 of 100 such measurements."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        return not self.low <= 0.0 <= self.high

    def record(self) -> dict[str, float | int | None]:
        """As JSON, which knows no infinity: None for the ends of an endless interval."""
        low, high = (end if math.isfinite(end) else None for end in (self.low, self.high))
        return {"mean": self.mean, "low": low, "high": high, "count": self.count}

    def __format__(self, spec: str) -> str:
        """`f"{interval:.2f}"` is "0.31 (0.24 to 0.38)"; "0.31 (no interval)" where it is endless."""
        if math.isinf(self.low) or math.isinf(self.high):
            return f"{self.mean:{spec}} (no interval)"
        return f"{self.mean:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval of independent values. One value alone says nothing of its spread: an endless interval."""
    assert len(values) > 0, "no values"
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    half = t_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half, len(values))


def bootstrap_interval(values: Sequence[float], draws: int = 10_000, seed: int = 0) -> Interval:
    """Mean and 95 % interval by resampling (Efron 1979, percentiles). One value alone: an endless interval.

    For values whose spread is not that of a normal distribution, such as tracks of which one is quite different.
    """
    assert len(values) > 0, "no values"
    known = np.asarray(values, dtype=np.float64)
    if len(known) == 1:
        return Interval(float(known[0]), -math.inf, math.inf, 1)
    low, high = np.quantile(_resampled(known, np.ones(len(known)), draws, seed), (0.025, 0.975))
    return Interval(float(known.mean()), float(low), float(high), len(known))


def cluster_interval(
    values: Sequence[float], pieces: Sequence[Hashable], draws: int = 10_000, seed: int = 0
) -> Interval:
    """Mean of all values, and its 95 % interval by resampling pieces with all that belongs to each (Davison and Hinkley
    1997, section 3.8): for windows or excerpts, of which `pieces` names the piece. `count` is the number of pieces.
    """
    assert len(values) == len(pieces) > 0, f"{len(values)} values of {len(pieces)} pieces"
    numbers = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    of_piece = np.array([numbers[piece] for piece in pieces])
    known = np.asarray(values, dtype=np.float64)
    mean, count = float(known.mean()), len(numbers)
    if count == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    sums, sizes = np.bincount(of_piece, known), np.bincount(of_piece).astype(np.float64)
    low, high = np.quantile(_resampled(sums, sizes, draws, seed), (0.025, 0.975))
    return Interval(mean, float(low), float(high), count)


def share_interval(hits: float, count: int) -> Interval:
    """Share and 95 % interval of `hits` of `count` (Wilson 1927); of part scores, which it makes rather too wide."""
    assert 0 <= hits <= count and count > 0, f"{hits} of {count}"
    share, square = hits / count, _NORMAL**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = _NORMAL / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), count)


def jackknife_interval(whole: float, left_out: Sequence[float], sizes: Sequence[int], count: int) -> Interval:
    """A figure of a whole set less its bias of order 1 / N, and its 95 % interval, by leaving out a group at a time.

    Args:
        whole: The figure of the whole set.
        left_out: The figure of all but one group, for each group.
        sizes: How large each group is; they may differ (Busing, Meijer and van der Leeden 1999).
        count: How many independent pieces there are, for the result to say.

    Student's t with one degree of freedom less than there are groups. A group alone: an endless interval.
    """
    assert len(left_out) == len(sizes) > 0, f"{len(left_out)} figures of {len(sizes)} groups"
    groups = len(sizes)
    if groups == 1:
        return Interval(whole, -math.inf, math.inf, count)
    rest, ratio = np.asarray(left_out, dtype=np.float64), sum(sizes) / np.asarray(sizes, dtype=np.float64)
    pseudo = ratio * whole - (ratio - 1) * rest
    mean = float((pseudo / ratio).sum())
    half = t_quantile(groups - 1) * math.sqrt(float(((pseudo - mean) ** 2 / (ratio - 1)).mean()))
    return Interval(mean, mean - half, mean + half, count)


def t_quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t: exact for 1 and 2 degrees of freedom, else the expansion of Fisher and Cornish
    (1960) around the normal one, within 0.2 %."""
    if degrees == 1:
        return math.tan(0.475 * math.pi)
    if degrees == 2:
        return 0.95 * math.sqrt(2 / (1 - 0.95**2))
    z, n = _NORMAL, float(degrees)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / n**power for power, term in enumerate(terms))


def _resampled(
    sums: Float64[np.ndarray, "N"], sizes: Float64[np.ndarray, "N"], draws: int, seed: int
) -> Float64[np.ndarray, "R"]:
    """The mean over as many pieces as there are, drawn with putting back, for each draw; so many draws at a time that
    memory is bounded."""
    random, count, means = np.random.default_rng(seed), len(sums), []
    rows = max(1, _BLOCK // count)
    for start in range(0, draws, rows):
        drawn = random.integers(count, size=(min(rows, draws - start), count))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return np.concatenate(means)
