"""How sure a mean is: a few values in, their mean and its 95 % interval out.

Student's t: it is right for the few pieces that a measurement of minutes can afford, where resampling is too sure of
itself. The bootstrap, where a source asks for it. For pairs (the same prompt with and without) give the differences.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_NORMAL = 1.959963984540054  # 97.5 % of the normal distribution lie below


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

    def __format__(self, spec: str) -> str:
        """`f"{interval:.2f}"` is "0.31 (0.24 to 0.38)"."""
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
    random = np.random.default_rng(seed)
    means = known[random.integers(len(known), size=(draws, len(known)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(known.mean()), float(low), float(high), len(known))


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
