"""Is one system better than another on the same prompts? Paired scores in, difference, interval and p-value out.

The sign-flip test asks nothing of how scores are distributed: were both systems alike, each difference could as well
have the other sign (Fisher 1935). Holm (1979) keeps one doubtful result among many comparisons from counting.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cadenza.errors import UserError
from cadenza.evaluate.intervals import Interval, bootstrap_interval

EXACT_UP_TO = 16
"""Pairs of which all patterns of signs are tried, 65,536; above that they are drawn."""

_BLOCK = 1_000_000  # signs drawn at once


@dataclass(frozen=True)
class PairedTest:
    """Mean of a - b with its 95 % bootstrap interval; `p_value` of both sides; `count` pairs."""

    difference: Interval
    p_value: float
    count: int


def paired_difference(a: Sequence[float], b: Sequence[float], seed: int = 0, draws: int = 100_000) -> PairedTest:
    """How much higher `a` scores than `b`, pair by pair. Raises UserError where they do not pair.

    Exact for up to `EXACT_UP_TO` pairs; beyond, of `draws` patterns of signs and the observed one, so never 0.
    """
    if len(a) != len(b) or not len(a):
        raise UserError(f"{len(a)} scores beside {len(b)}: give those of the same prompts, in one order")
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise UserError("a score is not finite: leave its pair out")
    return PairedTest(bootstrap_interval(differences.tolist(), seed=seed), _flip(differences, draws, seed), len(a))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for how many there are, in their order: below 0.05 counts as if it were the only one."""
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, number in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        highest = max(highest, (len(p_values) - rank) * p_values[number])
        adjusted[number] = min(1.0, highest)
    return adjusted


def _flip(differences: np.ndarray, draws: int, seed: int) -> float:
    """Share of patterns of signs whose sum is as far from 0 as the one observed."""
    count = len(differences)
    least = abs(float(differences.sum())) - 1e-12 * float(np.abs(differences).sum())  # another order, another rounding
    if count <= EXACT_UP_TO:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        return float((np.abs((2 * patterns - 1) @ differences) >= least).mean())
    random, hits = np.random.default_rng(seed), 0
    rows = max(1, _BLOCK // count)
    for start in range(0, draws, rows):
        signs = random.integers(0, 2, size=(min(rows, draws - start), count), dtype=np.int8)
        hits += int((np.abs((2 * signs - 1) @ differences) >= least).sum())
    return (hits + 1) / (draws + 1)
