"""Intervals: quantiles from tables, a sample by hand, and how often the true mean lies inside."""

import math

import numpy as np
import pytest

from cadenza.evaluate.intervals import bootstrap_interval, mean_interval, t_quantile


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


def test_the_bootstrap_agrees_with_students_t_on_many_normal_values_and_follows_a_crooked_sample() -> None:
    values = np.random.default_rng(0).normal(1.0, 2.0, 400)
    by_t, drawn = mean_interval(values.tolist()), bootstrap_interval(values.tolist())
    assert drawn.mean == by_t.mean
    # Percentiles of 10,000 draws are uncertain by some hundredths of the interval's half width (0.2).
    assert (drawn.low, drawn.high) == pytest.approx((by_t.low, by_t.high), abs=0.01)
    crooked = bootstrap_interval([0.0] * 9 + [10.0])
    assert crooked.low == 0.0  # a third of the resamples misses the one that differs
    assert crooked.high - crooked.mean > crooked.mean - crooked.low
    assert bootstrap_interval([0.0, 1.0], seed=1) == bootstrap_interval([0.0, 1.0], seed=1)
    assert math.isinf(bootstrap_interval([3.0]).high)
