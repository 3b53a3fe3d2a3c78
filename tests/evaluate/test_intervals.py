"""Intervals: quantiles from tables, a sample by hand, and how often the true mean lies inside."""

import math

import numpy as np
import pytest

from cadenza.evaluate.intervals import (
    bootstrap_interval,
    cluster_interval,
    jackknife_interval,
    mean_interval,
    share_interval,
    t_quantile,
)


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
    assert f"{found:.1f}" == "3.0 (no interval)"


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


def test_pieces_of_one_value_are_the_plain_bootstrap_and_pieces_of_equal_values_are_as_few_as_they_are() -> None:
    values = np.random.default_rng(0).normal(1.0, 2.0, 50).tolist()
    plain = bootstrap_interval(values)
    alone = cluster_interval(values, range(50))
    assert (alone.low, alone.high) == pytest.approx((plain.low, plain.high), rel=1e-12)
    thrice = cluster_interval([value for value in values for _ in range(3)], [n for n in range(50) for _ in range(3)])
    assert thrice.count == 50
    assert (thrice.low, thrice.high) == pytest.approx((plain.low, plain.high), rel=1e-12)
    assert cluster_interval([1.0, 2.0], ["a", "a"]).high == math.inf


def test_long_pieces_weigh_more_in_the_mean() -> None:
    found = cluster_interval([0.0, 0.0, 0.0, 1.0], ["long", "long", "long", "short"])
    assert (found.mean, found.low, found.high) == (0.25, 0.0, 1.0)


def test_shares_stay_within_0_and_1() -> None:
    """Wilson 1927: 8 of 10 lie within 0.490 and 0.943; none and all are not sure either."""
    found = share_interval(8, 10)
    assert (found.mean, found.count) == (0.8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    none, every = share_interval(0, 10), share_interval(10, 10)
    assert (none.low, none.high) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert (every.low, every.high) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_leaving_out_one_value_at_a_time_gives_students_interval_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=12)
    left_out = [float(np.delete(values, i).mean()) for i in range(12)]
    found, by_t = jackknife_interval(float(values.mean()), left_out, [1] * 12, 12), mean_interval(values.tolist())
    assert (found.mean, found.low, found.high) == pytest.approx((by_t.mean, by_t.low, by_t.high), rel=1e-9)


def test_leaving_out_takes_the_bias_of_a_variance_away_in_groups_of_any_size() -> None:
    """The variance over N is too small by 1 / N of it."""
    values = np.random.default_rng(0).normal(size=60)
    left_out = [float(np.delete(values, i).var()) for i in range(60)]
    found = jackknife_interval(float(values.var()), left_out, [1] * 60, 60)
    assert found.mean == pytest.approx(values.var(ddof=1), rel=1e-9)
    sizes = [1, 2, 3, 4, 5, 15, 10, 20]
    groups = np.split(np.arange(60), np.cumsum(sizes)[:-1])
    means = jackknife_interval(float(values.mean()), [float(np.delete(values, g).mean()) for g in groups], sizes, 60)
    assert means.mean == pytest.approx(values.mean(), rel=1e-9)
    assert math.isinf(jackknife_interval(1.0, [math.nan], [4], 4).low)


def test_draws_in_blocks_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=30).tolist()
    whole = bootstrap_interval(values, draws=500)
    monkeypatch.setattr("cadenza.evaluate.intervals._BLOCK", 100)
    assert bootstrap_interval(values, draws=500) == whole
