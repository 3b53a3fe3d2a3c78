"""Fréchet distance between sets of windows (FAD, Kilgour et al. 2019), what it would be of endlessly many, and how
sure it is.

In: statistics of a reference, and those of what is judged, or its pieces. Out: equation 1 of that paper,
|m1 - m2|^2 + tr(C1 + C2 - 2 sqrt(C1 C2)), in float64. The last trace is the sum of the singular values of
sqrt(C1) sqrt(C2), both from eigendecompositions of symmetric matrices: exact for singular covariances too, where a
square root of the product (scipy's `sqrtm`) loses half of all digits or fails.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from cadenza.errors import UserError
from cadenza.evaluate.intervals import Interval, jackknife_interval
from cadenza.evaluate.statistics import GaussianStatistics

log = logging.getLogger("cadenza")

Pieces = Sequence[Float[np.ndarray, "_ _"]]
"""Windows of independent pieces, one array for each."""

GROUPS = 50
"""Resampling leaves out pieces by so many groups at most: with more of them intervals are no better, only slower."""

_SIZES, _DRAWS = 6, 4  # of FAD-infinity: sizes from half of all pieces to all, and sets drawn of each


@dataclass(frozen=True)
class FrechetInfinity:
    """The distance that endlessly many pieces would have, read off a line through `values` over 1 / `sizes`.

    Args:
        value: Where the line meets 1 / N = 0; may be a little below 0 for sets that are alike.
        slope: How much is added per 1 / window.
        r_squared: 1 where the line explains all values; far from it, do not trust `value`. 0 for less than three
            sizes (of four pieces and more), which any line explains.
        sizes: Windows that were used, in the mean of the sets drawn.
        values: The mean distance at each size.
    """

    value: float
    slope: float
    r_squared: float
    sizes: tuple[int, ...]
    values: tuple[float, ...]


def least_windows(dim: int) -> int:
    """Windows of `dim` values below which the covariance is regularised, and a warning is logged: two per value.

    So many windows, independent ones of one distribution, still have a plain distance of 2 to 15 % of the embedding's
    whole variance (the steeper its spectrum, the less). FAD-infinity and intervals take most of it away; an interval
    then holds the truth 85 of 100 times, and 95 with twice as many (`benchmarks/distances.py --coverage`).
    """
    return 2 * dim


def frechet_distance(a: GaussianStatistics, b: GaussianStatistics) -> float:
    """The distance of two sets: 0 for equal ones, never negative.

    A set of fewer than `least_windows` has its covariance regularised (`shrunk_covariance`), and a warning names how
    many are needed. Raises UserError for an empty set, and for sets of different embedders.
    """
    _check(a, b)
    covariances = []
    for statistics in (a, b):
        few = _few(statistics.count, statistics.dim, "its covariance is shrunk (OAS)")
        covariances.append(shrunk_covariance(statistics) if few else statistics.covariance)
    first, second = covariances
    mixed = np.linalg.svd(_root(first).T @ _root(second), compute_uv=False).sum()
    away, traces = a.mean - b.mean, float(np.trace(first) + np.trace(second))
    distance = float(away @ away + traces - 2 * mixed)
    # What is left of equal covariances is the rounding of their traces.
    return 0.0 if distance < a.dim * np.finfo(np.float64).eps * traces else distance


def shrunk_covariance(statistics: GaussianStatistics) -> Float64[np.ndarray, "D D"]:
    """The covariance drawn towards a multiple of the identity, its trace as it is: oracle approximating shrinkage
    (Chen, Wiesel, Eldar and Hero 2010, equation 23), which asks for nothing but the covariance and the count."""
    covariance, dim, count = statistics.covariance, statistics.dim, statistics.count
    trace, square = float(np.trace(covariance)), float((covariance**2).sum())
    spread = (count + 1 - 2 / dim) * (square - trace**2 / dim)
    share = min(1.0, ((1 - 2 / dim) * square + trace**2) / spread) if spread > 0 else 1.0
    return (1 - share) * covariance + share * trace / dim * np.eye(dim)


def frechet_per_piece(reference: GaussianStatistics, pieces: Pieces) -> list[float]:
    """The distance of each piece alone (per-song FAD, Gui et al. 2024): for outliers and orders, not as a size.

    As published, without regularisation: a piece has fewer windows than the embedding has values, and what is missing
    is missing in all pieces alike. One window alone counts as a set without spread.
    """
    root, trace = _root(reference.covariance), float(np.trace(reference.covariance))
    distances = []
    for windows in pieces:
        part = GaussianStatistics.of(windows)
        _check(reference, part)
        # As many singular values as there are windows: no matrix of the embedding's size is taken apart.
        centred = (windows - part.mean) / np.sqrt(max(1, part.count - 1))
        mixed = np.linalg.svd(centred @ root, compute_uv=False).sum()
        away = part.mean - reference.mean
        distances.append(max(0.0, float(away @ away + trace + (centred**2).sum() - 2 * mixed)))
    return distances


def frechet_infinity(reference: GaussianStatistics, pieces: Pieces, seed: int = 0) -> FrechetInfinity:
    """FAD-infinity: the distance at several numbers of windows, extrapolated (Chong and Forsyth 2020; Gui et al. 2024).

    Whole pieces are drawn, from half of them to all, without putting back. fadtk draws single windows and puts them
    back, so the set stands in for the distribution, and its line leads to the distance of this very set, bias and all.
    Less than half of the pieces is left to nobody: there the bias is no straight line over 1 / N any more. Nothing is
    regularised, and the reference stays as it is.
    """
    judged = _judge(reference, pieces, GROUPS, seed)
    count, random = len(judged.parts), np.random.default_rng(seed)
    sizes, values = [], []
    for size in sorted({round(share * count) for share in np.linspace(0.5, 1.0, _SIZES)} - {0}):
        draws = 1 if size == count else _DRAWS
        order = random.permutation(count)
        # Turned by a quarter each time, so that every piece is drawn as often as any other.
        sets = [np.roll(order, -draw * count // draws)[:size] for draw in range(draws)]
        totals = [GaussianStatistics.total([judged.parts[number] for number in chosen]) for chosen in sets]
        sizes.append(round(float(np.mean([total.count for total in totals]))))
        values.append(float(np.mean([judged.distance(total) for total in totals])))
    return _line(tuple(sizes), tuple(values))


def frechet_interval(reference: GaussianStatistics, pieces: Pieces, draws: int = GROUPS, seed: int = 0) -> Interval:
    """The distance less its bias, and a 95 % interval of what endlessly many pieces would have.

    One of `draws` groups of pieces is left out at a time (the jackknife); they are drawn by seed. A bootstrap instead
    adds the bias of a small set once more. For the reference as it is: what another one would say is not in it. Nothing
    is regularised. The interval may reach below 0 where the sets are not told apart. With fewer windows than
    `least_windows` it is too narrow or off; a warning says so.
    """
    return jackknife_interval(*_judge(reference, pieces, draws, seed).leave_out(), count=len(pieces))


def frechet_difference(
    reference: GaussianStatistics, a_pieces: Pieces, b_pieces: Pieces, draws: int = GROUPS, seed: int = 0
) -> Interval:
    """How much further from the reference `a` is than `b`, pieces of the same prompts, with its 95 % interval.

    The same pieces are left out of both, so what a prompt does to both systems cancels. Otherwise as
    `frechet_interval`. Raises UserError where the sets do not pair.
    """
    if len(a_pieces) != len(b_pieces):
        raise UserError(f"{len(a_pieces)} pieces beside {len(b_pieces)}: give those of the same prompts, in one order")
    whole, left_out, sizes = _judge(reference, a_pieces, draws, seed).leave_out()
    other, other_left_out, other_sizes = _judge(reference, b_pieces, draws, seed).leave_out()
    differences = [one - two for one, two in zip(left_out, other_left_out, strict=True)]
    both = [one + two for one, two in zip(sizes, other_sizes, strict=True)]
    return jackknife_interval(whole - other, differences, both, len(a_pieces))


# ------------------------------------------------------------------------------------------------------------- inside


@dataclass(frozen=True, eq=False)
class _Judged:
    """Groups of pieces beside a reference whose square root is known."""

    reference: GaussianStatistics
    root: Float64[np.ndarray, "D D"]
    parts: list[GaussianStatistics]

    def distance(self, statistics: GaussianStatistics) -> float:
        """One eigendecomposition instead of three, good to 1e-8 of the variance: what resamples differ by is far more.
        May come out a little below 0."""
        away, covariance = statistics.mean - self.reference.mean, statistics.covariance
        mixed = np.sqrt(np.maximum(np.linalg.eigvalsh(self.root.T @ covariance @ self.root), 0.0)).sum()
        return float(away @ away + (self.root**2).sum() + np.trace(covariance) - 2 * mixed)

    def leave_out(self) -> tuple[float, list[float], list[int]]:
        """The distance of all, of all but each group, and the windows of each group."""
        whole = GaussianStatistics.total(self.parts)
        several = len(self.parts) > 1
        left_out = [self.distance(whole.without(part)) if several else math.nan for part in self.parts]
        return self.distance(whole), left_out, [part.count for part in self.parts]


def _judge(reference: GaussianStatistics, pieces: Pieces, groups: int, seed: int) -> _Judged:
    """Pieces in `groups` groups of (all but) one number, drawn by seed: with fewer pieces, one in each."""
    if not pieces or not reference.count:
        raise UserError(_EMPTY)
    order = np.random.default_rng(seed).permutation(len(pieces))
    parts = []
    for group in np.array_split(order, min(groups, len(pieces))):
        parts.append(GaussianStatistics.of_pieces([pieces[number] for number in group]))
        reference.match(parts[-1])
        if not parts[-1].count:
            raise UserError(_EMPTY)
    count = sum(part.count for part in parts)
    _few(min(count, reference.count), reference.dim, "intervals and FAD-infinity cannot be relied on")
    return _Judged(reference, _root(reference.covariance), parts)


def _line(sizes: tuple[int, ...], values: tuple[float, ...]) -> FrechetInfinity:
    """Least squares over 1 / size; a value alone is taken as it is."""
    if len(sizes) == 1:
        return FrechetInfinity(values[0], 0.0, 0.0, sizes, values)
    over, y = 1 / np.array(sizes, dtype=np.float64), np.array(values)
    slope, value = (float(number) for number in np.polyfit(over, y, 1))
    left, spread = ((y - value - slope * over) ** 2).sum(), ((y - y.mean()) ** 2).sum()
    explained = float(1 - left / spread) if spread > 0 else 1.0
    return FrechetInfinity(value, slope, explained if len(sizes) > 2 else 0.0, sizes, values)


_EMPTY = "a set without windows has no distance: every clip was left out, or none was given"


def _check(a: GaussianStatistics, b: GaussianStatistics) -> None:
    a.match(b)
    if not a.count or not b.count:
        raise UserError(_EMPTY)


def _few(count: int, dim: int, consequence: str) -> bool:
    """Whether a set is too small, which is logged in one line."""
    few = count < least_windows(dim)
    if few:
        log.warning(
            "a set has %d windows, and an embedding of %d values needs %d for a Fréchet distance: %s",
            count, dim, least_windows(dim), consequence,
        )  # fmt: skip
    return few


def _root(covariance: Float64[np.ndarray, "D D"]) -> Float64[np.ndarray, "D D"]:
    """R with R R' = covariance; eigenvalues below rounding, negative ones among them, count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    rounding = len(values) * np.finfo(np.float64).eps * max(0.0, float(values[-1]))
    return vectors * np.sqrt(np.where(values > rounding, values, 0.0))
