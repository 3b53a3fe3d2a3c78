"""Strengths from votes: textbook tables, closed forms, systems that never lose, and intervals that hold the truth."""

import math

import numpy as np
import pytest

from cadenza.evaluate.ratings.pairs import PRIOR_VOTES, PairModel, fit_pairs

# Wins of the row against the column, American League East, 1987 (Agresti, Categorical Data Analysis, table 10.10).
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
WINS = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]
STRENGTHS = (1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0)
ERRORS = (0.3433, 0.3396, 0.3367, 0.3359, 0.3339, 0.3319)


def fit(counts: dict[tuple[int, int, int], int], systems: int) -> PairModel:
    """Votes (first, second, outcome), each by a listener of its own."""
    votes = [vote for vote, count in counts.items() for _ in range(count)]
    numbers = list(range(len(votes)))
    first, second, outcome = zip(*votes, strict=True)
    return fit_pairs(first, second, outcome, numbers, numbers, systems)


def test_baseball() -> None:
    wins = {(i, j, -1): WINS[i][j] for i in range(7) for j in range(7) if i != j}
    model = fit(wins, 7)
    last = model.strengths[6].mean
    assert [one.mean - last for one in model.strengths] == pytest.approx(STRENGTHS, abs=5e-5)
    assert model.prior == 0
    assert model.tie == 0
    assert sum(one.mean for one in model.strengths) == pytest.approx(0, abs=1e-9)
    for team, error in enumerate(ERRORS):
        row = next(d for d in model.differences if (d.first, d.second) == (team, 6))
        half = (row.interval.high - row.interval.low) / 2
        assert (
            1.96 * error <= half < 1.96 * error * 1.06
        )  # at least that of independent votes; clustered: a little more
    assert model.chance(0, 6) == pytest.approx(1 / (1 + math.exp(-1.5814)), abs=1e-4)


def test_two_systems_with_ties_have_a_closed_form() -> None:
    model = fit({(0, 1, -1): 12, (1, 0, -1): 5, (0, 1, 0): 6}, 2)
    assert model.strengths[0].mean - model.strengths[1].mean == pytest.approx(math.log(12 / 5), abs=1e-8)
    assert model.tie == pytest.approx(6 / math.sqrt(12 * 5), abs=1e-8)


def test_which_side_is_named_first_makes_no_difference() -> None:
    one = fit({(0, 1, -1): 9, (1, 2, 1): 4, (2, 0, 0): 3, (0, 1, 1): 2, (1, 2, -1): 5}, 3)
    other = fit({(1, 0, 1): 9, (2, 1, -1): 4, (0, 2, 0): 3, (1, 0, -1): 2, (2, 1, 1): 5}, 3)
    assert [s.mean for s in one.strengths] == pytest.approx([s.mean for s in other.strengths], abs=1e-9)


def test_a_system_that_always_wins_stays_finite_and_is_said() -> None:
    model = fit({(0, 1, -1): 20, (1, 2, -1): 6, (1, 2, 1): 4}, 3)
    assert model.prior == PRIOR_VOTES
    means = [one.mean for one in model.strengths]
    assert means[0] > means[1] > means[2]
    assert all(math.isfinite(value) and abs(value) < 10 for value in means)
    assert next(d for d in model.differences if (d.first, d.second) == (0, 1)).interval.low > 0
    more = fit({(0, 1, -1): 200, (1, 2, -1): 60, (1, 2, 1): 40}, 3)
    assert more.strengths[0].mean > means[0]  # what is added loses its weight
    assert fit({(0, 1, -1): 20, (1, 2, -1): 6, (1, 2, 1): 4, (0, 2, 0): 1}, 3).prior == 0  # one tie holds it together


def test_ties_hold_together_only_where_votes_go_both_ways() -> None:
    """Eight won, two tied, none lost: the likelihood grows with strengths and v together, without end."""
    model = fit({(0, 1, -1): 8, (0, 1, 0): 2}, 2)
    assert model.prior == PRIOR_VOTES
    assert model.differences[0].interval.mean == pytest.approx(2.8, abs=0.1)  # it was 26, plus or minus millions
    assert model.differences[0].p_value < 0.1
    chain = {(0, 1, -1): 8, (0, 1, 0): 2, (1, 2, -1): 5, (1, 2, 0): 1}
    assert fit(chain, 3).prior == PRIOR_VOTES
    held = fit(chain | {(0, 2, 0): 1}, 3)  # two steps that one tie spans
    assert held.prior == 0
    assert held.strengths[0].mean < 10
    assert fit({(0, 1, -1): 8, (0, 1, 0): 2, (0, 1, 1): 1}, 2).prior == 0


def test_groups_that_never_met_are_held_together_by_the_prior() -> None:
    model = fit({(0, 1, -1): 6, (0, 1, 1): 4, (2, 3, -1): 4, (2, 3, 1): 6}, 4)
    assert model.prior > 0
    across = next(d for d in model.differences if (d.first, d.second) == (0, 3))
    assert across.interval.low < 0 < across.interval.high


def test_only_ties_say_that_all_are_alike() -> None:
    model = fit({(0, 1, 0): 8, (1, 2, 0): 8}, 3)
    assert [one.mean for one in model.strengths] == pytest.approx([0, 0, 0], abs=1e-9)
    assert all(math.isfinite(one.low) and one.low < 0 < one.high for one in model.strengths)


def test_known_strengths_come_back_and_intervals_hold_them() -> None:
    """Listeners with tastes of their own, eleven to fourteen votes each: independent votes would be too sure."""
    truth = np.array([0.8, 0.0, -0.8])
    random, hits, runs = np.random.default_rng(2), 0, 60
    means = []
    for _ in range(runs):
        votes = []
        for listener in range(14):
            taste = truth + 0.7 * random.normal(size=3)
            for item in range(4):
                for first, second in ((0, 1), (1, 2), (2, 0)):
                    worth = np.exp([taste[first], taste[second], (taste[first] + taste[second]) / 2 - 0.7])
                    outcome = random.choice((-1, 1, 0), p=worth / worth.sum())
                    votes.append((first, second, int(outcome), listener, item))
        model = fit_pairs(*map(list, zip(*votes, strict=True)), 3)
        means.append([one.mean for one in model.strengths])
        hits += model.strengths[0].low <= 0.75 <= model.strengths[0].high
    # Averaging over tastes draws strengths together a little: 0.75 instead of 0.8.
    assert np.mean(means, axis=0) == pytest.approx([0.75, 0, -0.75], abs=0.08)
    assert hits / runs >= 0.9


def test_one_listener_speaks_for_nobody_else() -> None:
    model = fit_pairs([0, 0, 1], [1, 1, 0], [-1, 1, -1], [1, 1, 1], [1, 2, 3], 2)
    assert model.strengths[0].low == -math.inf
    assert model.differences[0].p_value == 1.0
