"""Kernel Audio Distance: by hand, closed form of Gaussians, kadtk's figures, and intervals that hold the truth."""

import numpy as np
import pytest

from cadenza.errors import UserError
from cadenza.evaluate.kernel import SCALE, kernel_distance, kernel_interval, median_distance
from fixed_vectors import fixed_vectors


def windows(count: int, dim: int = 3, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (count, dim))


def closed_form(shift: float, dim: int, bandwidth: float) -> float:
    """The squared maximum mean discrepancy of N(0, 1) and N(shift, 1) in `dim` values, under a Gaussian kernel."""
    wide = bandwidth**2 + 2
    same = (bandwidth**2 / wide) ** (dim / 2)
    return SCALE * 2 * same * (1 - np.exp(-dim * shift**2 / (2 * wide)))


def test_two_windows_on_each_side_by_hand() -> None:
    a, b = np.array([[0.0], [1.0]]), np.array([[3.0], [5.0]])
    k = [np.exp(-(distance**2) / 2) for distance in (1, 2, 3, 5, 2, 4)]
    expected = 100 * (k[0] + k[1] - (k[2] + k[3] + k[4] + k[5]) / 2)
    assert kernel_distance(a, b, bandwidth=1.0) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("bandwidth", "found"),
    [(2.0, 2.2044070644885116), (None, 4.39320711433242)],  # kadtk 1.1.0, calc_kernel_audio_distance in float64
)
def test_kadtk_finds_the_same(bandwidth: float | None, found: float) -> None:
    """Its second argument gives it the bandwidth: here the reference (its command line hands over the other set). Its
    median is of float32, 1e-7 off, and it adds 1e-8 to twice the squared bandwidth."""
    reference, judged = fixed_vectors(60, 8), fixed_vectors(50, 8, 0.4) * 1.2 + 0.5
    assert kernel_distance(reference, judged, bandwidth) == pytest.approx(found, rel=1e-6)


def test_tiles_of_a_large_set_join_up(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = windows(50), windows(37, seed=1, shift=0.5)
    whole = kernel_distance(a, b), kernel_interval(a, [b[:20], b[20:]])
    monkeypatch.setattr("cadenza.evaluate.kernel._TILE", 7)
    again = kernel_distance(a, b), kernel_interval(a, [b[:20], b[20:]])
    assert again[0] == pytest.approx(whole[0], rel=1e-10)
    assert again[1].high == pytest.approx(whole[1].high, rel=1e-8)


def test_the_mean_over_sets_is_the_distance_of_their_distributions() -> None:
    expected = closed_form(0.5, 3, 2.0)
    found = [kernel_distance(windows(30, seed=s), windows(30, seed=s + 1000, shift=0.5), 2.0) for s in range(200)]
    assert np.mean(found) == pytest.approx(expected, abs=3 * np.std(found) / np.sqrt(200))
    alike = [kernel_distance(windows(30, seed=s), windows(30, seed=s + 1000), 2.0) for s in range(200)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / np.sqrt(200)
    assert min(alike) < 0


def test_a_set_beside_itself_is_below_zero_by_what_windows_that_meet_themselves_add() -> None:
    a = windows(40)
    squares = ((a[:, None] - a[None]) ** 2).sum(-1)
    mean = (np.exp(-squares / 8).sum() - 40) / (40 * 39)
    assert kernel_distance(a, a, 2.0) == pytest.approx(-100 * 2 / 40 * (1 - mean), rel=1e-9)


def test_intervals_hold_the_truth_of_pieces_whose_windows_depend_on_each_other() -> None:
    """The truth for the reference as it is: 4,000 windows stand in for the judged distribution."""
    reference, random = windows(60), np.random.default_rng(5)
    truth = kernel_distance(reference, random.normal(0.5, 1.0, (4000, 3)), 2.0)
    held, middles = 0, []
    for _ in range(60):
        common, own = random.normal(size=(30, 1, 3)), random.normal(size=(30, 3, 3))
        found = kernel_interval(reference, list(0.5 + (common + own) / np.sqrt(2)), 2.0, draws=10)
        held += found.low <= truth <= found.high
        middles.append(found.mean)
    assert held / 60 == pytest.approx(0.95, abs=0.07)  # two and a half deviations of a share of 60
    assert np.mean(middles) == pytest.approx(truth, abs=3 * np.std(middles) / np.sqrt(60) + 0.1)


def test_pieces_of_one_window_have_the_plain_distance_in_the_middle() -> None:
    """The estimate has no bias that leaving out could take away."""
    reference, judged = windows(40), windows(30, seed=1, shift=0.4)
    found = kernel_interval(reference, [row[None] for row in judged], draws=30)
    assert found.mean == pytest.approx(kernel_distance(reference, judged), rel=1e-9)
    assert found.count == 30
    assert np.isinf(kernel_interval(reference, [judged]).high)


def test_too_few_windows_to_leave_any_out_say_nothing_of_how_sure_the_distance_is() -> None:
    reference, judged = windows(40), windows(2, seed=1)
    for pieces in ([judged[:1], judged[1:]], [judged]):
        found = kernel_interval(reference, pieces)
        assert found.mean == pytest.approx(kernel_distance(reference, judged), rel=1e-9)
        assert (found.low, found.high) == (-np.inf, np.inf)


def test_what_all_windows_have_in_common_costs_no_digits() -> None:
    a, b = windows(30), windows(30, seed=1, shift=0.5)
    found = kernel_distance(a + 1e6, b + 1e6)
    assert found == pytest.approx(kernel_distance(a, b), rel=1e-8)  # 1e-10 of a value is lost where 1e6 is added


def test_the_median_is_the_lower_one_of_two_and_of_a_part_of_a_large_set(monkeypatch: pytest.MonkeyPatch) -> None:
    line = np.array([[0.0], [1.0], [3.0], [7.0]])  # distances 1 2 3 4 6 7
    assert median_distance(line) == 3.0
    large = windows(1000)
    whole = median_distance(large)
    monkeypatch.setattr("cadenza.evaluate.kernel._MEDIAN_ROWS", 300)
    assert median_distance(large) == pytest.approx(whole, rel=0.05)
    assert median_distance(large) != whole


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UserError, match="windows of 2 values beside 3"):
        kernel_distance(windows(9), windows(9, 2))
    with pytest.raises(UserError, match="1 windows"):
        kernel_distance(windows(9), windows(1))
    for seed in range(9):  # whatever the products of equal rows are rounded to
        equal = np.repeat(windows(1, 128, seed), 50, axis=0)
        with pytest.raises(UserError, match="windows of the reference are equal"):
            kernel_distance(equal, windows(9, 128))
        with pytest.raises(UserError, match="windows of the reference are equal"):
            median_distance(np.concatenate([equal, windows(19, 128)]))
    for bandwidth in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="give a distance above 0"):
            kernel_distance(windows(9), windows(9), bandwidth)
    with pytest.raises(UserError, match="1 windows"):
        kernel_interval(windows(9), [windows(1)])
    with pytest.raises(UserError, match="not finite"):
        kernel_distance(windows(9), np.full((4, 3), np.inf))
    with pytest.raises(UserError, match="windows of 2 values beside 3"):
        kernel_interval(windows(9), [windows(9), windows(9, 2)])
    with pytest.raises(UserError, match="no pieces"):
        kernel_interval(windows(9), [])
