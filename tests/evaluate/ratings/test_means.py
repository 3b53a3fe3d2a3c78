"""Means over crossed listeners and items: balanced designs by hand, and intervals that hold what they promise."""

import math

import numpy as np
import pytest

from cadenza.evaluate.ratings.means import crossed_mean, two_sided


def test_a_balanced_table_is_the_analysis_of_variance() -> None:
    """Three listeners, four items: mean squares by hand (Cornfield and Tukey's expectations)."""
    table = np.array([[50.0, 60, 70, 65], [40, 55, 62, 58], [52, 66, 71, 73]])
    rows, columns = np.indices(table.shape)
    found = crossed_mean(table.ravel().tolist(), rows.ravel().tolist(), columns.ravel().tolist())
    mean = table.mean()
    by_row, by_column = table.mean(axis=1), table.mean(axis=0)
    ms_rows = 4 * np.square(by_row - mean).sum() / 2
    ms_columns = 3 * np.square(by_column - mean).sum() / 3
    rest = table - by_row[:, None] - by_column + mean
    ms_rest = np.square(rest).sum() / 6
    assert found.interval.mean == pytest.approx(mean)
    assert found.residual_sd == pytest.approx(math.sqrt(ms_rest))
    assert found.listener_sd == pytest.approx(math.sqrt((ms_rows - ms_rest) / 4))
    assert found.item_sd == pytest.approx(math.sqrt((ms_columns - ms_rest) / 3))
    error = math.sqrt((ms_rows + ms_columns - ms_rest) / 12)
    degrees = int(error**4 / ((ms_rows / 12) ** 2 / 2 + (ms_columns / 12) ** 2 / 3 + (ms_rest / 12) ** 2 / 6))
    assert found.degrees == degrees
    half = {2: 4.302653, 3: 3.182446, 4: 2.776445, 5: 2.570582}[degrees] * error
    assert found.interval.high - mean == pytest.approx(half, rel=2e-3)  # the expansion of the quantile


@pytest.mark.parametrize(
    ("listeners", "items", "sds", "share"),
    [
        (12, 10, (10, 10, 10), 1.0),
        (12, 10, (10, 10, 10), 0.4),
        (6, 20, (15, 5, 10), 0.5),
        (20, 6, (5, 10, 10), 1.0),
        (30, 30, (10, 0, 20), 0.2),
        (4, 3, (0, 15, 5), 1.0),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(
    listeners: int, items: int, sds: tuple[float, float, float], share: float
) -> None:
    """Four hundred tests with new listeners and items each: 95 % must hold the mean that all were drawn around."""
    random = np.random.default_rng(0)
    hits, plain, runs = 0, 0, 400
    for _ in range(runs):
        table = 50 + sds[0] * random.normal(size=(listeners, 1)) + sds[1] * random.normal(size=(1, items))
        table = table + sds[2] * random.normal(size=table.shape)
        rows, columns = np.nonzero(random.random(table.shape) < share)
        values = table[rows, columns]
        interval = crossed_mean(values.tolist(), rows.tolist(), columns.tolist()).interval
        hits += interval.low <= 50 <= interval.high
        plain += abs(values.mean() - 50) <= 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    # Binomial: two standard errors of 400 runs are 2.2 %; it may be rather too wide where a variance is zero.
    assert 0.925 <= hits / runs <= 1.0
    assert plain / runs < hits / runs, "as if all ratings were independent: too sure"


def test_few_who_do_not_differ_are_no_reason_to_know_nothing() -> None:
    """Neither listeners nor items spread more than chance: degrees of freedom are not fewer than items allow."""
    found = crossed_mean(
        [40.0, 60, 50, 62, 41, 49, 52, 51, 39, 45, 48, 58], [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3, [1, 2, 3] * 4
    )
    assert (found.listener_sd, found.item_sd) == (0, 0)
    assert found.degrees == 2
    assert found.interval.high - found.interval.low < 26  # on a scale of 100; one degree of freedom made it 75


def test_components_come_back_from_a_sparse_design() -> None:
    random = np.random.default_rng(1)
    rows, columns = np.nonzero(random.random((400, 300)) < 0.1)
    values = (8 * random.normal(size=400))[rows] + (5 * random.normal(size=300))[columns]
    found = crossed_mean((values + 12 * random.normal(size=len(rows))).tolist(), rows.tolist(), columns.tolist())
    assert (found.listener_sd, found.item_sd, found.residual_sd) == pytest.approx((8, 5, 12), rel=0.1)


def test_one_listener_or_one_item_says_nothing_of_others() -> None:
    for listeners, items in (([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [7, 7, 7])):
        found = crossed_mean([1.0, 2.0, 6.0], listeners, items)
        assert (found.interval.mean, found.interval.low, found.interval.high) == (3.0, -math.inf, math.inf)
        assert found.p_value == 1.0


def test_where_nobody_rates_twice_the_spread_of_all_counts() -> None:
    found = crossed_mean([1.0, 2.0, 3.0, 4.0], [1, 2, 3, 4], [1, 2, 3, 4])
    assert found.interval.high - 2.5 == pytest.approx(3.182446 * math.sqrt(5 / 3 / 4), rel=2e-3)
    assert math.isnan(found.listener_sd)


def test_no_spread_is_no_doubt() -> None:
    found = crossed_mean([5.0] * 4, [1, 1, 2, 2], [1, 2, 1, 2])
    assert (found.interval.low, found.interval.high, found.p_value) == (5.0, 5.0, 0.0)
    assert crossed_mean([0.0] * 4, [1, 1, 2, 2], [1, 2, 1, 2]).p_value == 1.0


@pytest.mark.parametrize(
    ("degrees", "tails"),
    [
        (1, (0.814452841844515, 0.242237883181687, 0.0903344706017331)),
        (2, (0.792485660840178, 0.129611720221511, 0.0198039411803931)),
        (3, (0.783763292039919, 0.0877066470080656, 0.0059862556977071)),
        (4, (0.77912142827746, 0.0667665448119881, 0.00219212980669294)),
        (7, (0.772890050402134, 0.0409922185857529, 0.000211554851945872)),
        (30, (0.766246105284353, 0.0181156490680667, 8.86995866722065e-08)),
        (301, (0.764384228894489, 0.012951321789375, 1.67050859397389e-11)),
        (1000, (0.764239504167244, 0.0125785678010908, 4.68750256677144e-12)),
    ],
)
def test_tails_of_student_are_those_of_scipy(degrees: int, tails: tuple[float, ...]) -> None:
    """`2 * scipy.stats.t.sf(t, degrees)` of SciPy 1.17."""
    for t, tail in zip((0.3, -2.5, 7.0), tails, strict=True):
        assert two_sided(t, degrees) == pytest.approx(tail, abs=1e-13)
    assert two_sided(0.0, degrees) == 1.0
