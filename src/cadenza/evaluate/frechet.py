"""Fréchet distance between sets of windows (FAD, Kilgour et al. 2019), what it would be of endlessly many, and how
sure it is.

In: statistics of a reference, and those of what is judged, or its pieces. Out: equation 1 of that paper,
|m1 - m2|^2 + tr(C1 + C2 - 2 sqrt(C1 C2)), in float64. The last trace is the sum of the singular values of
sqrt(C1) sqrt(C2), both from eigendecompositions of symmetric matrices: exact for singular covariances too, where a
square root of the product (scipy's `sqrtm`) loses half of all digits or fails.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from cadenza.errors import UserError
from cadenza.evaluate.intervals import Interval, jackknife_interval
from cadenza.evaluate.statistics import GaussianStatistics

log = logging.getLogger("cadenza")

Pieces = Sequence[Float[np.ndarray, "_ D"]]
"""Windows of independent pieces, one array for each."""


@dataclass(frozen=True)
class FrechetInfinity:
    """The distance that endlessly many pieces would have, read off a line through `values` over 1 / `sizes`.

    Args:
        value: Where the line meets 1 / N = 0.
        slope: How much is added per 1 / pieces.
        r_squared: 1 where the line explains all values, 0 where it explains nothing: then do not trust `value`.
        sizes: Pieces that were used.
        values: The mean distance at each size.
    """

    value: float
    slope: float
    r_squared: float
    sizes: tuple[int, ...]
    values: tuple[float, ...]


def least_windows(dim: int) -> int:
    """Windows of `dim` values below which the covariance is regularised, and a warning is logged."""
    return 2 * dim


def frechet_distance(a: GaussianStatistics, b: GaussianStatistics) -> float:
    """The distance of two sets: 0 for equal ones, never negative.

    A set of fewer than `least_windows` has its covariance regularised (`shrunk_covariance`), and a warning names how
    many are needed. Raises UserError for an empty set, and for sets of different embedders.
    """
    _check(a, b)
    for statistics in (a, b):
        _warn(statistics)
    return _distance(a, b, _covariance(a), _covariance(b))


def shrunk_covariance(statistics: GaussianStatistics) -> Float64[np.ndarray, "D D"]:
    """The covariance drawn towards a multiple of the identity: oracle approximating shrinkage (Chen, Wiesel, Eldar and
    Hero 2010, equation 23), which needs only the covariance and the count. The trace stays as it is."""
    covariance, dim = statistics.covariance, statistics.dim
    trace, square = float(np.trace(covariance)), float((covariance**2).sum())
    away = (statistics.count - 1 + 1 - 2 / dim) * (square - trace**2 / dim)
    share = 1.0 if away <= 0 else min(1.0, ((1 - 2 / dim) * square + trace**2) / away)
    return (1 - share) * covariance + share * trace / dim * np.eye(dim)


def frechet_infinity(reference: GaussianStatistics, pieces: Pieces, seed: int = 0) -> FrechetInfinity:
    """FAD-infinity: the distance at several numbers of pieces, extrapolated (Chong and Forsyth 2020; Gui et al. 2024).

    Whole pieces are drawn, without putting back. fadtk puts windows back: its line leads to the distance of this very
    set (tests show it), for the set stands in for the distribution. The reference stays as it is.
    """
    judged = _judge(reference, pieces)
    random = np.random.default_rng(seed)
    count = len(pieces)
    sizes = sorted({max(1, count // parts) for parts in range(1, 6)})
    values = []
    for size in sizes:
        order = random.permutation(count)
        parts = [order[start : start + size] for start in range(0, count - size + 1, size)]
        values.append(float(np.mean([judged.distance(_sum(judged.parts, part)) for part in parts])))
    return _line(tuple(sizes), tuple(values))


def frechet_interval(reference: GaussianStatistics, pieces: Pieces, draws: int = 50, seed: int = 0) -> Interval:
    """The distance less its bias, and a 95 % interval for endlessly many pieces: the reference stays as it is.

    Resampling leaves out one of `draws` groups of pieces at a time (the jackknife), which are drawn by seed.
    """
    judged = _judge(reference, pieces)
    groups = _groups(len(pieces), draws, seed)
    whole, left_out, sizes = judged.leave_out(groups)
    return jackknife_interval(whole, left_out, sizes, len(pieces))


def frechet_difference(
    reference: GaussianStatistics, a_pieces: Pieces, b_pieces: Pieces, draws: int = 50, seed: int = 0
) -> Interval:
    """How much further from the reference `a` is than `b`, pieces of the same prompts, with its 95 % interval.

    The same pieces are left out of both, so what a prompt does to both systems cancels. Raises UserError where the
    sets do not pair.
    """
    if len(a_pieces) != len(b_pieces):
        raise UserError(f"{len(a_pieces)} pieces beside {len(b_pieces)}: give those of the same prompts, in one order")
    groups = _groups(len(a_pieces), draws, seed)
    whole, left_out, sizes = _judge(reference, a_pieces).leave_out(groups)
    other, other_left_out, other_sizes = _judge(reference, b_pieces).leave_out(groups)
    differences = [one - two for one, two in zip(left_out, other_left_out, strict=True)]
    both = [one + two for one, two in zip(sizes, other_sizes, strict=True)]
    return jackknife_interval(whole - other, differences, both, len(a_pieces))


def frechet_per_piece(reference: GaussianStatistics, pieces: Pieces) -> list[float]:
    """The distance of each piece alone (per-song FAD, Gui et al. 2024): for outliers and orders, not as a size.

    As published, without regularisation: a piece has fewer windows than the embedding has dimensions, and what is
    missing is missing in all pieces alike. One window alone counts as a set without spread.
    """
    parts = _judge(reference, pieces).parts
    root = _root(reference.covariance)
    return [_distance(reference, part, root=root) for part in parts]


# ------------------------------------------------------------------------------------------------------------- inside


@dataclass(frozen=True, eq=False)
class _Judged:
    """Pieces beside a reference whose square root is known."""

    reference: GaussianStatistics
    root: Float64[np.ndarray, "D D"]
    trace: float
    parts: list[GaussianStatistics]

    def distance(self, statistics: GaussianStatistics) -> float:
        """As `frechet_distance` does, less exact (1e-8) and twice as fast: differences of resamples are far larger."""
        away, covariance = statistics.mean - self.reference.mean, _covariance(statistics)
        values = np.linalg.eigvalsh(self.root.T @ covariance @ self.root)
        mixed = float(np.sqrt(np.maximum(values, 0.0)).sum())
        return float(away @ away) + self.trace + float(np.trace(covariance)) - 2 * mixed

    def leave_out(self, groups: Sequence[np.ndarray]) -> tuple[float, list[float], list[int]]:
        """The distance of all, of all but each group, and the windows of each group."""
        whole = _sum(self.parts, range(len(self.parts)))
        sums = [_sum(self.parts, group) for group in groups]
        left_out = [self.distance(whole.without(part)) if len(groups) > 1 else float("nan") for part in sums]
        return self.distance(whole), left_out, [part.count for part in sums]


def _judge(reference: GaussianStatistics, pieces: Pieces) -> _Judged:
    if not pieces:
        raise UserError("no pieces to judge: every clip was left out, or none was given")
    parts = [GaussianStatistics.of(windows) for windows in pieces]
    for part in parts:
        _check(reference, part)
    covariance = _covariance(reference)
    return _Judged(reference, _root(covariance), float(np.trace(covariance)), parts)


def _sum(parts: Sequence[GaussianStatistics], chosen: Sequence[int] | range | np.ndarray) -> GaussianStatistics:
    total = GaussianStatistics(parts[0].dim)
    for number in chosen:
        total = total.merge(parts[number])
    return total


def _groups(count: int, draws: int, seed: int) -> list[np.ndarray]:
    """All numbers below `count`, in at most `draws` groups of (all but) one size."""
    order = np.random.default_rng(seed).permutation(count)
    return np.array_split(order, min(draws, count))


def _line(sizes: tuple[int, ...], values: tuple[float, ...]) -> FrechetInfinity:
    """Least squares over 1 / size."""
    if len(sizes) == 1:
        return FrechetInfinity(values[0], 0.0, 0.0, sizes, values)
    over, y = 1 / np.array(sizes, dtype=np.float64), np.array(values)
    slope = float(((over - over.mean()) * (y - y.mean())).sum() / ((over - over.mean()) ** 2).sum())
    value = float(y.mean() - slope * over.mean())
    spread = float(((y - y.mean()) ** 2).sum())
    r_squared = 1.0 if spread == 0.0 else 1 - float(((y - value - slope * over) ** 2).sum()) / spread
    return FrechetInfinity(value, slope, r_squared, sizes, values)


def _check(a: GaussianStatistics, b: GaussianStatistics) -> None:
    a.match(b)
    if not a.count or not b.count:
        raise UserError("a set without windows has no distance: every clip was left out, or none was given")


def _warn(statistics: GaussianStatistics) -> None:
    least = least_windows(statistics.dim)
    if statistics.count < least:
        log.warning(
            "%d windows of %d values: a Fréchet distance needs %d or more; the covariance is shrunk (OAS), "
            "and the figure holds only beside figures of as many windows",
            statistics.count, statistics.dim, least,
        )  # fmt: skip


def _covariance(statistics: GaussianStatistics) -> Float64[np.ndarray, "D D"]:
    return shrunk_covariance(statistics) if statistics.count < least_windows(statistics.dim) else statistics.covariance


def _root(covariance: Float64[np.ndarray, "D D"]) -> Float64[np.ndarray, "D D"]:
    """R with R R' = covariance; eigenvalues below rounding, negative ones among them, count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    values[values < len(values) * np.finfo(np.float64).eps * max(0.0, values[-1])] = 0.0
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _distance(
    a: GaussianStatistics,
    b: GaussianStatistics,
    a_covariance: Float64[np.ndarray, "D D"] | None = None,
    b_covariance: Float64[np.ndarray, "D D"] | None = None,
    root: Float64[np.ndarray, "D D"] | None = None,
) -> float:
    first = a.covariance if a_covariance is None else a_covariance
    second = b.covariance if b_covariance is None else b_covariance
    root = _root(first) if root is None else root
    mixed = float(np.linalg.svd(root.T @ _root(second), compute_uv=False).sum())
    away, traces = a.mean - b.mean, float(np.trace(first) + np.trace(second))
    distance = float(away @ away) + traces - 2 * mixed
    # What is left of equal covariances is rounding of their traces.
    return 0.0 if distance < a.dim * np.finfo(np.float64).eps * traces else distance
