"""Who does not hear what the others hear is left out, and nobody else."""

import numpy as np
import pytest

from cadenza.evaluate.ratings.agreement import krippendorff_alpha
from cadenza.evaluate.ratings.screening import Outlier, correlation_with_others, outliers


def ratings(table: np.ndarray) -> tuple[list[float], list[int], list[int]]:
    rows, columns = np.nonzero(~np.isnan(table))
    return table[rows, columns].tolist(), rows.tolist(), columns.tolist()


def careful(listeners: int = 8, clips: int = 30, spread: float = 12.0) -> np.ndarray:
    random = np.random.default_rng(4)
    table = random.uniform(20, 90, size=clips) + 10 * random.normal(size=(listeners, 1))
    return table + spread * random.normal(size=table.shape)


def test_who_listens_stays() -> None:
    assert outliers(*ratings(careful())) == []


def test_random_clickers_and_constant_and_contrary_raters_go() -> None:
    table = careful()
    table[1] = np.random.default_rng(9).uniform(1, 100, size=30)
    table[4] = 50.0
    table[6] = 100 - table[6]
    found = outliers(*ratings(table))
    assert found[0].listener == 6
    assert {one.listener for one in found} == {1, 4, 6}
    assert found[0].correlation < -0.5
    assert Outlier(4, 0.0) in found


def test_removal_goes_on_until_all_agree() -> None:
    """Half of the raters are noise, which hides one another at first: only anew formed means show who listens."""
    table = careful(listeners=10)
    table[:4] = np.random.default_rng(3).uniform(1, 100, size=(4, 30))
    assert {one.listener for one in outliers(*ratings(table))} == {0, 1, 2, 3}


def test_the_correlation_is_with_the_others_alone() -> None:
    table = np.array([[1.0, 2, 3, 4, 5], [2.0, 1, 4, 3, 9], [4.0, 1, 0, 3, np.nan]])
    expected = np.corrcoef(table[0], [3.0, 1, 2, 3, 9])[0, 1]
    assert correlation_with_others(table, 0) == pytest.approx(expected)
    assert correlation_with_others(table, 2) is None  # four clips are too few


def test_two_raters_cannot_judge_each_other() -> None:
    table = careful(listeners=2)
    table[1] = 100 - table[1]
    assert outliers(*ratings(table)) == []


def test_alpha_of_krippendorffs_own_example() -> None:
    """Four observers, twelve units, values missing: 0.849 (Krippendorff 2011, interval metric)."""
    gap = None
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, gap, gap, gap],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, gap, 3],
        [gap, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, gap],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, gap],
    ]
    values = [(value, unit) for row in table for unit, value in enumerate(row) if value is not None]
    alpha = krippendorff_alpha([value for value, _ in values], [unit for _, unit in values])
    assert alpha == pytest.approx(0.849, abs=5e-4)


def test_alpha_is_one_for_agreement_and_nought_for_chance() -> None:
    assert krippendorff_alpha([1, 1, 5, 5], "aabb") == 1.0
    random = np.random.default_rng(0)
    assert abs(krippendorff_alpha(random.normal(size=4000).tolist(), np.repeat(range(1000), 4).tolist())) < 0.05
    assert np.isnan(krippendorff_alpha([1, 2], "ab"))
    assert np.isnan(krippendorff_alpha([3, 3, 3, 3], "aabb"))
