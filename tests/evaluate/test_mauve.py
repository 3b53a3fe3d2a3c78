"""MAUVE Audio Divergence: mauve-text's figures, known shares of clusters, and what cannot be compared."""

import math

import numpy as np
import pytest

from cadenza.errors import UserError
from cadenza.evaluate.mauve import frontier_area, mauve_divergence, mauve_interval
from fixed_vectors import fixed_vectors


def clusters(shares: list[float], phase: float) -> np.ndarray:
    """60 vectors around the corners of a simplex, so far apart that every k-means finds them."""
    which = np.repeat(np.arange(6), np.round(np.array(shares) * 60).astype(int))
    return 5 * np.eye(6)[which] + 0.05 * fixed_vectors(len(which), 6, phase)


P, Q = [0.1, 0.2, 0.3, 0.1, 0.2, 0.1], [0.3, 0.1, 0.1, 0.2, 0.1, 0.2]


def test_mauve_text_finds_the_same_area() -> None:
    """mauve-text 0.4.0, compute_mauve's frontier and scikit-learn 1.9.1's area."""
    p, q = np.array([0.1, 0.4, 0.0, 0.3, 0.2]), np.array([0.25, 0.25, 0.2, 0.0, 0.3])
    assert frontier_area(p, q) == pytest.approx(0.30918611192433143, rel=1e-9)
    assert frontier_area(q, p) == pytest.approx(0.30918611192433143, rel=1e-9)
    one, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert frontier_area(one, other) == pytest.approx(0.0040720962619612555, rel=1e-9)
    assert frontier_area(p, p) == pytest.approx(1.0, abs=1e-12)


def test_mauve_text_finds_the_same_divergence_where_clusters_are_plain() -> None:
    """mauve-text 0.4.0 (faiss 1.15.1), compute_mauve with its own number of clusters; MAD is -ln of it."""
    found = mauve_divergence(clusters(P, 0.0), clusters(Q, 1.0))
    assert found == pytest.approx(0.30241094506234034, abs=1e-6)
    assert mauve_divergence(clusters(Q, 1.0), clusters(P, 0.0)) == pytest.approx(found, abs=1e-9)


def test_a_set_beside_itself_is_at_zero_and_a_set_elsewhere_far_away() -> None:
    here = np.random.default_rng(0).normal(size=(100, 8))
    assert mauve_divergence(here, here[::-1].copy()) == pytest.approx(0.0, abs=1e-9)
    there = -np.abs(here) - 5
    assert mauve_divergence(np.abs(here) + 5, there) > 3  # 5.5 of sets that share no cluster


def test_what_is_drawn_follows_the_seed() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(200, 8)), random.normal(0.3, 1, size=(200, 8))
    assert mauve_divergence(a, b, seed=1) == mauve_divergence(a, b, seed=1)
    assert mauve_divergence(a, b, seed=1) != mauve_divergence(a, b, seed=2)
    assert mauve_interval(a, [b[:90], b[90:]], seed=1) == mauve_interval(a, [b[:90], b[90:]], seed=1)


def test_equal_vectors_and_silence_are_clustered_too() -> None:
    assert mauve_divergence(np.zeros((30, 4)), np.zeros((30, 4))) == 0.0
    assert mauve_divergence(np.zeros((30, 4)), np.ones((30, 4))) > 3


def test_intervals_hold_the_divergence_of_known_shares() -> None:
    reference = clusters(P, 0.0)
    truth = -math.log(frontier_area(np.array(P), np.array(Q)))
    random, held = np.random.default_rng(0), 0
    for _ in range(60):
        which = random.choice(6, size=200, p=Q)
        judged = 5 * np.eye(6)[which] + 0.05 * fixed_vectors(200, 6, 1.0)
        found = mauve_interval(reference, np.split(judged, 200), clusters=6, draws=25)
        held += found.low <= truth <= found.high
        assert found.count == 200
    assert held / 60 == pytest.approx(0.95, abs=0.07)  # two and a half deviations of a share of 60


def test_clips_of_one_piece_say_no_more_than_the_piece() -> None:
    reference, random = clusters(P, 0.0), np.random.default_rng(0)
    judged = 5 * np.eye(6)[random.choice(6, size=40, p=Q)]
    alone = mauve_interval(reference, np.split(judged, 40), clusters=6, draws=40)
    thrice = mauve_interval(reference, [np.repeat(one, 3, axis=0) for one in np.split(judged, 40)], 6, draws=40)
    assert thrice.count == 40
    assert (thrice.low, thrice.high) == pytest.approx((alone.low, alone.high), rel=1e-6)


def test_what_cannot_be_compared_is_refused() -> None:
    some = np.ones((20, 4))
    with pytest.raises(UserError, match="vectors of 3 values beside 4"):
        mauve_divergence(some, np.ones((20, 3)))
    with pytest.raises(UserError, match="20 and 20 vectors in 50 clusters"):
        mauve_divergence(some, some, clusters=50)
    with pytest.raises(UserError, match="0 vectors"):
        mauve_divergence(some, np.ones((0, 4)))
    with pytest.raises(UserError, match="not finite"):
        mauve_divergence(some, some * np.nan)
    with pytest.raises(UserError, match="no pieces"):
        mauve_interval(some, [])
    with pytest.raises(UserError, match="a piece without vectors"):
        mauve_interval(some, [some, np.ones((0, 4))])
    assert math.isinf(mauve_interval(some, [some]).high)
