"""Fréchet distances: closed forms, peers' figures, sets that are too small, and intervals that hold the truth."""

import logging

import numpy as np
import pytest
import scipy.linalg

from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Identity
from cadenza.evaluate.frechet import (
    frechet_difference,
    frechet_distance,
    frechet_infinity,
    frechet_interval,
    frechet_per_piece,
    least_windows,
    shrunk_covariance,
)
from cadenza.evaluate.statistics import GaussianStatistics
from fixed_vectors import fixed_vectors


def gaussian(mean: np.ndarray, covariance: np.ndarray, count: int = 10**9) -> GaussianStatistics:
    """The statistics of a set so large that nothing is left to chance."""
    known = GaussianStatistics(len(mean))
    known.count, known.mean = count, mean.astype(float)
    known.scatter = covariance * (count - 1.0)
    return known


def windows(count: int, dim: int, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (count, dim))


def by_sqrtm(a: np.ndarray, b: np.ndarray) -> float:
    """The formula as published, with scipy."""
    first, second, away = np.cov(a, rowvar=False), np.cov(b, rowvar=False), a.mean(axis=0) - b.mean(axis=0)
    mixed = np.trace(np.real(scipy.linalg.sqrtm(first @ second)))
    return float(away @ away + np.trace(first) + np.trace(second) - 2 * mixed)


# --------------------------------------------------------------------------------------------------- the distance


def test_two_gaussians_of_one_basis_have_the_closed_form() -> None:
    """Covariances that commute: |m1 - m2|^2 + sum of (s1 - s2)^2 over their axes."""
    turn = np.linalg.qr(windows(6, 6))[0]
    one, two, away = np.array([1.0, 2, 3, 4, 5, 6]), np.array([2.0, 2, 1, 0.5, 7, 0]), np.arange(6) / 10
    a = gaussian(np.zeros(6), turn * one**2 @ turn.T)
    b = gaussian(away, turn * two**2 @ turn.T)
    expected = float((away**2).sum() + ((one - two) ** 2).sum())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "found",
    [
        2.816509596113413,  # fadtk 1.1.0, calc_frechet_distance (scipy 1.17.1)
        2.8165095961134377,  # frechet-audio-distance 0.3.4, calculate_frechet_distance (scipy 1.17.1)
    ],
)
def test_peers_find_the_same_distance(found: float) -> None:
    a, b = fixed_vectors(60, 8), fixed_vectors(50, 8, 0.4) * 1.2 + 0.5
    assert frechet_distance(GaussianStatistics.of(a), GaussianStatistics.of(b)) == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("dim", [1, 3, 40])
def test_scipy_s_square_root_finds_the_same_distance(dim: int) -> None:
    a = windows(200, dim) @ np.random.default_rng(1).normal(size=(dim, dim))
    b = windows(150, dim, seed=2, scale=1.3, shift=0.2)
    expected = by_sqrtm(a, b) if dim > 1 else (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(GaussianStatistics.of(a), GaussianStatistics.of(b)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_a_set_beside_itself_is_at_zero(scale: float) -> None:
    whole = windows(100, 12) * scale
    flat = whole.copy()
    flat[:, 3:] = 7.0  # nine values that never change
    one = windows(1, 12)
    for kind in (whole, flat, whole[:5], np.tile(one, (30, 1)), one):
        turned = GaussianStatistics.of(kind[::-1])
        assert frechet_distance(GaussianStatistics.of(kind), turned) == pytest.approx(0.0, abs=1e-9 * scale**2)
    assert frechet_distance(GaussianStatistics.of(whole), GaussianStatistics.of(whole)) == 0.0


def test_singular_covariances_are_no_special_case() -> None:
    """A plane against another that it meets at a right angle: nothing of the one's spread is in the other."""
    a, b = gaussian(np.zeros(4), np.diag([4.0, 1, 0, 0])), gaussian(np.zeros(4), np.diag([0.0, 0, 9, 1]))
    assert frechet_distance(a, b) == pytest.approx(15.0, rel=1e-12)
    point = gaussian(np.ones(4), np.zeros((4, 4)))
    assert frechet_distance(a, point) == pytest.approx(4 + 5.0, rel=1e-12)
    assert frechet_distance(point, point) == 0.0


def test_too_few_windows_are_regularised_and_the_warning_names_how_many_are_needed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    large, small = GaussianStatistics.of(windows(2000, 30)), GaussianStatistics.of(windows(20, 30, seed=1))
    with caplog.at_level(logging.WARNING):
        found = frechet_distance(large, small)
    assert [record.getMessage().count("needs 60") for record in caplog.records] == [1]
    plain = by_sqrtm_of_small(large, small)
    assert 0 < found < plain / 3  # of one distribution, so the truth is 0
    caplog.clear()
    enough = GaussianStatistics.of(windows(least_windows(30), 30))
    with caplog.at_level(logging.WARNING):
        frechet_distance(large, enough)
    assert not caplog.records


def by_sqrtm_of_small(large: GaussianStatistics, small: GaussianStatistics) -> float:
    """Without regularisation, by the eigenvalues of the product."""
    mixed = np.sqrt(np.maximum(np.linalg.eigvals(large.covariance @ small.covariance).real, 0.0)).sum()
    away = large.mean - small.mean
    return float(away @ away + np.trace(large.covariance) + np.trace(small.covariance) - 2 * mixed)


def test_shrinkage_keeps_the_trace_and_leaves_a_sphere_alone() -> None:
    few = GaussianStatistics.of(windows(10, 20))
    shrunk = shrunk_covariance(few)
    assert np.trace(shrunk) == pytest.approx(np.trace(few.covariance), rel=1e-12)
    assert np.linalg.eigvalsh(shrunk)[0] > 0.05  # nine directions had a spread at all
    sphere = gaussian(np.zeros(5), 2 * np.eye(5), count=4)
    np.testing.assert_allclose(shrunk_covariance(sphere), 2 * np.eye(5), rtol=1e-12)
    many = GaussianStatistics.of(windows(100_000, 3) * [3.0, 2.0, 1.0])
    np.testing.assert_allclose(shrunk_covariance(many), many.covariance, rtol=1e-3, atol=1e-3)


def test_sets_that_do_not_belong_together_are_refused() -> None:
    known = GaussianStatistics.of(windows(50, 4), Identity("mel", "00"))
    with pytest.raises(UserError, match="embedder 'vggish' beside 'mel'"):
        frechet_distance(known, GaussianStatistics.of(windows(50, 4), Identity("vggish", "00")))
    with pytest.raises(UserError, match="windows of 3 values beside 4"):
        frechet_interval(known, [windows(50, 3)])
    for nothing in (GaussianStatistics(4), GaussianStatistics.of(windows(0, 4))):
        with pytest.raises(UserError, match="without windows"):
            frechet_distance(known, nothing)
    with pytest.raises(UserError, match="without windows"):
        frechet_infinity(known, [])
    for judge in (frechet_infinity, frechet_interval):
        with pytest.raises(UserError, match="without windows"):
            judge(known, [windows(9, 4), windows(0, 4)])
    with pytest.raises(UserError, match="2 pieces beside 1"):
        frechet_difference(known, [windows(9, 4)] * 2, [windows(9, 4)])


# ---------------------------------------------------------------------------------------------------- pieces alone


def test_each_piece_alone_has_the_distance_of_its_own_statistics() -> None:
    reference = GaussianStatistics.of(windows(300, 5))
    pieces = [windows(20, 5, seed=seed, scale=1 + seed / 4) for seed in range(1, 4)]
    expected = [frechet_distance(reference, GaussianStatistics.of(piece)) for piece in pieces]
    np.testing.assert_allclose(frechet_per_piece(reference, pieces), expected, rtol=1e-9)


def test_pieces_of_few_windows_are_ordered_without_regularisation() -> None:
    reference = gaussian(np.zeros(6), np.eye(6))
    one = np.full((1, 6), 0.5)
    line = np.outer([-1.0, 1.0], np.eye(6)[0])  # deviation sqrt 2 along the first axis, none along the others
    found = frechet_per_piece(reference, [one, line])
    assert found == pytest.approx([6 * 0.25 + 6, 5 + (1 - np.sqrt(2)) ** 2], rel=1e-12)


# ------------------------------------------------------------------------------------------- infinity and intervals


def drawn(seed: int, pieces: int = 60, each: int = 4, dim: int = 8, scale: float = 1.2) -> list[np.ndarray]:
    """Windows of a piece share half of their variance."""
    random = np.random.default_rng(seed)
    common, own = random.normal(size=(pieces, 1, dim)), random.normal(size=(pieces, each, dim))
    return list(scale * (common + own) / np.sqrt(2))


REFERENCE = gaussian(np.zeros(8), np.eye(8))
TRUTH = 8 * 0.2**2


def test_infinity_takes_the_bias_of_a_small_set_away() -> None:
    sets = [drawn(seed) for seed in range(12)]
    plain = np.mean([frechet_distance(REFERENCE, GaussianStatistics.of_pieces(pieces)) for pieces in sets])
    found = [frechet_infinity(REFERENCE, pieces) for pieces in sets]
    assert plain - TRUTH > 0.2
    # The deviation of one set is 0.13, of the mean of 12 0.04.
    assert np.mean([one.value for one in found]) == pytest.approx(TRUTH, abs=0.1)
    assert np.mean([one.r_squared for one in found]) > 0.9
    first = found[0]
    assert first.sizes[0] == 120
    assert first.sizes[-1] == 240
    assert first.values[-1] == pytest.approx(frechet_distance(REFERENCE, GaussianStatistics.of_pieces(sets[0])))
    assert first.value + first.slope / 240 == pytest.approx(first.values[-1], abs=0.1)
    assert frechet_infinity(REFERENCE, sets[0], seed=3) == frechet_infinity(REFERENCE, sets[0], seed=3)
    assert frechet_infinity(REFERENCE, sets[0], seed=3) != first
    few = [frechet_infinity(REFERENCE, sets[0][:count]) for count in (1, 3, 4)]
    assert [len(one.sizes) for one in few] == [1, 2, 3]
    assert few[0].r_squared == few[1].r_squared == 0.0 < few[2].r_squared  # a line always goes through two points


def test_ninety_five_of_a_hundred_intervals_hold_the_truth_and_of_a_plain_bootstrap_hardly_any() -> None:
    """`benchmarks/distances.py --coverage` shows the same of 64 and 128 values."""
    sets, random = 80, np.random.default_rng(0)
    held, middles, bootstrapped = 0, [], 0
    for seed in range(sets):
        pieces = drawn(seed)
        found = frechet_interval(REFERENCE, pieces, draws=20)
        held += found.low <= TRUTH <= found.high
        middles.append(found.mean)
        if seed < 10:
            parts = [GaussianStatistics.of(piece) for piece in pieces]
            again = [
                frechet_distance(REFERENCE, GaussianStatistics.total([parts[one] for one in chosen]))
                for chosen in random.integers(len(parts), size=(30, len(parts)))
            ]
            low, high = np.quantile(again, (0.025, 0.975))
            bootstrapped += bool(low <= TRUTH <= high)
    assert held / sets == pytest.approx(0.95, abs=0.05)  # two deviations of a share of 80
    assert np.mean(middles) == pytest.approx(TRUTH, abs=0.04)  # three deviations of the mean
    assert bootstrapped <= 3


def test_one_piece_says_nothing_of_how_pieces_differ() -> None:
    found = frechet_interval(REFERENCE, drawn(0, pieces=1, each=100))
    assert (found.low, found.high, found.count) == (-np.inf, np.inf, 1)
    alone = frechet_infinity(REFERENCE, drawn(0, pieces=1, each=100))
    assert (alone.value, alone.r_squared, alone.sizes) == (found.mean, 0.0, (100,))


def test_few_windows_are_warned_of_before_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        frechet_interval(REFERENCE, drawn(0, pieces=3))
    assert [record.getMessage() for record in caplog.records] == [
        "a set has 12 windows, and an embedding of 8 values needs 16 for a Fréchet distance: "
        "intervals and FAD-infinity cannot be relied on"
    ]


def test_a_difference_of_two_systems_is_surer_than_the_systems_are() -> None:
    """Both play the same pieces; the second one with a little noise."""
    better = drawn(0)
    worse = [
        piece + 0.5 * np.random.default_rng(number).normal(size=piece.shape) for number, piece in enumerate(better)
    ]
    found = frechet_difference(REFERENCE, worse, better)
    alone = frechet_interval(REFERENCE, worse)
    assert found.low > 0
    assert found.count == 60
    assert found.high - found.low < 0.7 * (alone.high - alone.low)
    assert found.mean == pytest.approx(alone.mean - frechet_interval(REFERENCE, better).mean, rel=1e-9)
    same = frechet_difference(REFERENCE, better, better)
    assert (same.low, same.mean, same.high) == (0.0, 0.0, 0.0)
