"""Paired tests: exact patterns of signs, scipy's permutation test, errors of the first kind, Holm by hand."""

import numpy as np
import pytest
import scipy.stats

from cadenza.errors import UserError
from cadenza.evaluate.paired import EXACT_UP_TO, holm, paired_difference


def test_all_of_one_sign_is_one_pattern_in_so_many_on_either_side() -> None:
    found = paired_difference([2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 1.0, 1.0, 1.0])
    assert found.p_value == 2 / 2**5
    assert found.count == 5
    assert found.difference.mean == 3.0
    assert found.difference.excludes_zero
    assert paired_difference([1.0, 2.0], [1.0, 2.0]).p_value == 1.0
    assert paired_difference([1.0], [0.0]).p_value == 1.0


def test_equal_sums_in_another_order_count() -> None:
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last digit."""
    values = [0.1, 0.2, 0.3, -0.1, -0.2, 0.7]
    turned = values[::-1]
    zeros = [0.0] * 6
    assert paired_difference(values, zeros).p_value == paired_difference(turned, zeros).p_value
    assert paired_difference([0.1, 0.2, 0.3, -0.6, 0.1, -0.1], zeros).p_value == 1.0  # 0 but for rounding


@pytest.mark.parametrize("count", [10, 40])
def test_scipy_finds_the_same(count: int) -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0.3, 1, count), random.normal(0, 1, count)
    found = paired_difference(a.tolist(), b.tolist(), draws=20_000)
    expected = scipy.stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=20_000,
        vectorized=True, rng=np.random.default_rng(1),
    ).pvalue  # fmt: skip
    # Drawn patterns: two shares of 20,000 differ by 0.005 now and then; up to 16 pairs both try all.
    assert found.p_value == pytest.approx(expected, abs=1e-12 if count <= EXACT_UP_TO else 0.015)


def test_drawn_patterns_agree_with_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.random.default_rng(1).normal(0.4, 1, 12).tolist(), [0.0] * 12
    exact = paired_difference(a, b).p_value
    monkeypatch.setattr("cadenza.evaluate.paired.EXACT_UP_TO", 5)
    drawn = paired_difference(a, b, draws=20_000)
    assert drawn.p_value == pytest.approx(exact, abs=0.015)
    assert drawn == paired_difference(a, b, draws=20_000)
    assert paired_difference([9.0] * 30, [0.0] * 30, draws=999).p_value == 1 / 1000  # the observed one counts


def test_five_of_a_hundred_equal_systems_differ() -> None:
    random = np.random.default_rng(0)
    found = [paired_difference(random.normal(size=10).tolist(), [0.0] * 10).p_value < 0.05 for _ in range(200)]
    assert np.mean(found) == pytest.approx(0.05, abs=0.04)  # nearly three deviations of a share of 200


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_what_does_not_pair_is_refused() -> None:
    with pytest.raises(UserError, match="2 scores beside 1"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(UserError, match="0 scores"):
        paired_difference([], [])
    with pytest.raises(UserError, match="not finite"):
        paired_difference([1.0, float("nan")], [1.0, 2.0])
