"""Kernel Audio Distance (KAD, Chung et al. 2025, arXiv 2502.15602): do two sets of windows differ, without Gaussians.

In: embeddings of a reference and of what is judged. Out: 100 times the unbiased squared maximum mean discrepancy
(Gretton et al. 2012, equation 3) under a Gaussian kernel, in float64, tile by tile, so that memory does not grow with
the sets. The bandwidth is the median distance within the reference, as the paper says; the command line of its package
(kadtk 1.1.0) takes it of the judged set instead, so give that one's `median_distance` to compare with its figures.

Unbiased: of two sets from one distribution it is 0 in the mean, and below 0 half of the time. Of a set beside itself it
is below 0 too, since each window then meets itself in the other set.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

from cadenza.errors import UserError
from cadenza.evaluate.intervals import Interval, jackknife_interval

SCALE = 100.0
"""By which the paper and its package (kadtk) multiply, so that figures are easy to read."""

_TILE = 512  # rows and columns of the kernel at once: 2 MB, which caches hold
_FEW = "{} windows: a kernel distance needs two or more on each side"
_MEDIAN_ROWS = 4096  # rows of the reference that the median is taken of, spread evenly over it: 8 M distances


def kernel_distance(
    reference: Float[np.ndarray, "_ _"], judged: Float[np.ndarray, "_ _"], bandwidth: float | None = None
) -> float:
    """The distance of two sets of at least two windows each.

    Args:
        bandwidth: Of the Gaussian kernel; None: `median_distance` of the reference.

    Raises UserError for sets of other widths or fewer windows, and for values that are not finite.
    """
    _check_widths(reference, judged)
    first, second = _centred(reference, judged)
    bandwidth = _bandwidth(reference, bandwidth)
    within, other = _within(first, bandwidth), _within(second, bandwidth)
    across = _total(first, second, bandwidth)
    n, m = len(first), len(second)
    return SCALE * (within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * across / (n * m))


def kernel_interval(
    reference: Float[np.ndarray, "_ _"],
    pieces: Sequence[Float[np.ndarray, "_ _"]],
    bandwidth: float | None = None,
    draws: int = 50,
    seed: int = 0,
) -> Interval:
    """The distance and its 95 % interval by resampling pieces; the reference stays as it is.

    One of `draws` groups of pieces is left out at a time (the jackknife): a bootstrap would let a window meet itself,
    which is as near as can be. What windows of one piece have in common is a bias too, and goes with it. Where less
    than two windows are left the interval is endless.
    """
    if not pieces:
        raise UserError("no pieces to judge: every clip was left out, or none was given")
    _check_widths(reference, *pieces)
    bandwidth = _bandwidth(reference, bandwidth)
    order = np.random.default_rng(seed).permutation(len(pieces))
    parts = [
        np.concatenate([pieces[number] for number in group]) for group in np.array_split(order, min(draws, len(pieces)))
    ]
    first, *groups = _centred(reference, *parts, least=1)
    sizes = np.array([len(group) for group in groups])
    within = np.zeros((len(groups), len(groups)))
    for i, one in enumerate(groups):
        within[i, i] = _within(one, bandwidth)
        for j in range(i):
            within[i, j] = within[j, i] = _total(one, groups[j], bandwidth)
    across = np.array([_total(first, group, bandwidth) for group in groups])
    n = len(first)
    constant = _within(first, bandwidth) / (n * (n - 1))

    def distance(kept: np.ndarray) -> float:
        m = int(sizes[kept].sum())
        judged = within[np.ix_(kept, kept)].sum() / (m * (m - 1))
        return float(SCALE * (constant + judged - 2 * across[kept].sum() / (n * m)))

    every = np.arange(len(groups))
    if sizes.sum() < 2:
        raise UserError(_FEW.format(1))
    if sizes.sum() - sizes.max() < 2:
        return Interval(distance(every), -math.inf, math.inf, len(pieces))
    left_out = [distance(np.delete(every, i)) for i in every]
    return jackknife_interval(distance(every), left_out, [int(size) for size in sizes], len(pieces))


def median_distance(windows: Float[np.ndarray, "N D"]) -> float:
    """The median distance of two windows, the lower one of two; of 4,096 windows spread evenly over a larger set.

    Raises UserError where it is 0: at least half of all windows are then equal.
    """
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), _MEDIAN_ROWS)).astype(int))
    (known,) = _centred(windows[chosen])
    square = _squares(known, known)
    squares = np.concatenate([row[number + 1 :] for number, row in enumerate(square)])
    middle = (len(squares) - 1) // 2
    median = float(np.partition(squares, middle)[middle])
    if median <= known.shape[1] * np.finfo(np.float64).eps * 4 * float((known**2).sum(axis=1).max()):  # rounding
        raise UserError("most windows of the reference are equal: give one with more than one sound, or a bandwidth")
    return math.sqrt(median)


def _bandwidth(reference: Float[np.ndarray, "N D"], given: float | None) -> float:
    if given is None:
        return median_distance(reference)
    if not 0 < given < math.inf:
        raise UserError(f"bandwidth {given}: give a distance above 0")
    return given


def _check_widths(*sets: Float[np.ndarray, "_ _"]) -> None:
    widths = [windows.shape[1] for windows in sets]
    other = next((width for width in widths if width != widths[0]), None)
    if other is not None:
        raise UserError(f"windows of {other} values beside {widths[0]}: measure both sets with one embedder")


def _centred(
    reference: Float[np.ndarray, "_ D"], *others: Float[np.ndarray, "_ D"], least: int = 2
) -> list[Float64[np.ndarray, "_ D"]]:
    """All sets less the mean of the reference: that changes no distance, and keeps their digits. `least`: windows of
    each of the others; the reference needs two."""
    sets: list[np.ndarray] = []
    for windows in (reference, *others):
        if len(windows) < (least if sets else 2):
            raise UserError(_FEW.format(len(windows)))
        known = windows.astype(np.float64)
        if not np.isfinite(known).all():
            raise UserError("a window is not finite: leave its clip out, or measure it again")
        sets.append(known)
    centre = sets[0].mean(axis=0)
    for known in sets:
        known -= centre
    return sets


def _squares(a: Float64[np.ndarray, "N D"], b: Float64[np.ndarray, "M D"]) -> Float64[np.ndarray, "N M"]:
    """Squared distances of all pairs."""
    squares = a @ b.T
    squares *= -2.0
    squares += (a**2).sum(axis=1)[:, None]
    squares += (b**2).sum(axis=1)
    return np.maximum(squares, 0.0, out=squares)


def _total(a: Float64[np.ndarray, "N D"], b: Float64[np.ndarray, "M D"], bandwidth: float) -> float:
    """The kernel of all pairs, summed."""
    total = 0.0
    for i in range(0, len(a), _TILE):
        for j in range(0, len(b), _TILE):
            total += _tile(a[i : i + _TILE], b[j : j + _TILE], bandwidth)
    return total


def _within(a: Float64[np.ndarray, "N D"], bandwidth: float) -> float:
    """The kernel of all pairs of two different windows of one set, summed: tiles below the diagonal count twice."""
    total = -float(len(a))  # each window beside itself: 1
    for i in range(0, len(a), _TILE):
        for j in range(0, i + 1, _TILE):
            total += (1 if i == j else 2) * _tile(a[i : i + _TILE], a[j : j + _TILE], bandwidth)
    return total


def _tile(a: Float64[np.ndarray, "N D"], b: Float64[np.ndarray, "M D"], bandwidth: float) -> float:
    squares = _squares(a, b)
    squares *= -0.5 / bandwidth**2
    return float(np.exp(squares, out=squares).sum())
