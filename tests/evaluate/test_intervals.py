"""Intervals: quantiles from tables, a sample by hand, and how often the true mean lies inside."""

import math

import numpy as np
import pytest

from cadenza.evaluate.intervals import mean_interval, t_quantile


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (5, 2.5706), (9, 2.2622), (49, 2.0096), (10000, 1.9602)],
)
def test_quantiles_are_those_of_the_tables(degrees: int, expected: float) -> None:
    assert t_quantile(degrees) == pytest.approx(expected, rel=2e-3)  # the expansion is coarsest at 3 degrees


def test_a_sample_by_hand() -> None:
    """Mean 2, deviation 1, three values: 2 -+ 4.3027 / sqrt 3."""
    found = mean_interval([1.0, 2.0, 3.0])
    assert (found.mean, found.count) == (2.0, 3)
    assert found.high - 2.0 == pytest.approx(2.4842, rel=1e-3)
    assert 2.0 - found.low == pytest.approx(found.high - 2.0)
    assert not found.excludes_zero
    assert mean_interval([1.0, 1.1, 1.2]).excludes_zero
    assert f"{found:.1f}" == "2.0 (-0.5 to 4.5)"


def test_one_value_alone_is_not_sure_of_anything() -> None:
    found = mean_interval([3.0])
    assert (found.mean, found.low, found.high) == (3.0, -math.inf, math.inf)


@pytest.mark.parametrize("count", [4, 50])
def test_ninety_five_of_a_hundred_hold_the_true_mean(count: int) -> None:
    draws = np.random.default_rng(0).normal(1.5, 2.0, size=(1000, count))
    inside = np.mean([found.low <= 1.5 <= found.high for found in (mean_interval(list(row)) for row in draws)])
    assert inside == pytest.approx(0.95, abs=0.02)  # three deviations of a share of 1000
