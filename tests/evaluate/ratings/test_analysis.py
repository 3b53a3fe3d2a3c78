"""Answers to figures: what goes where, who is left out, and what a page makes of it."""

import json
from dataclasses import replace

import pytest

from cadenza.errors import UserError
from cadenza.evaluate.ratings.analysis import analyse
from cadenza.evaluate.ratings.page import Mark, render, whiskers
from cadenza.evaluate.ratings.records import Preference, Rating, Results, Rules

RESULTS = Results(
    test="t",
    title="T & t",
    systems=("a", "b"),
    ratings=tuple(
        Rating(listener, "ovl", system, f"p{item}", base + 3 * item + 2 * listener + (listener * item) % 3)
        for listener in range(4)
        for item in range(5)
        for system, base in (("a", 40.0), ("b", 60.0))
    ),
    preferences=tuple(
        Preference(listener, f"p{item}", "a", "b", 1 if (listener + item) % 3 else -2)
        for listener in range(4)
        for item in range(5)
    ),
    checks={0: (3, 0), 1: (3, 1), 2: (3, 0), 3: (3, 0)},
    listeners={0: "headphones", 1: "headphones", 2: "speakers", 3: "headphones", 4: "built-in"},
    items={"ovl": 10, "pairs": 5},
)


def test_differences_are_of_one_listener_at_one_prompt() -> None:
    found = analyse(RESULTS, Rules())
    (row,) = found["questions"]["ovl"]["filtered"]["differences"]
    assert (row["first"], row["second"], row["mean"], row["low"], row["high"]) == ("a", "b", -20, -20, -20)
    assert row["p_holm"] == 0
    ahead = found["questions"]["ovl"]["all"]["systems"]
    assert ahead["b"]["mean"] - ahead["a"]["mean"] == pytest.approx(20)
    assert (ahead["a"]["listeners"], ahead["a"]["items"], ahead["a"]["count"]) == (4, 5, 20)


def test_pairs_count_votes_and_strengths() -> None:
    pairs = analyse(RESULTS, Rules())["pairs"]["all"]
    (row,) = pairs["differences"]
    assert (row["won"], row["lost"], row["tied"]) == (7, 13, 0)
    assert row["chance"] == pytest.approx(7 / 20, abs=1e-5)
    assert row["strength"]["mean"] == pytest.approx((7 * 2 - 13) / 20)
    assert pairs["side_a"]["mean"] == pytest.approx(7 / 20)
    votes = tuple(replace(vote, turned=vote.item == "p0") for vote in RESULTS.preferences)
    side = analyse(replace(RESULTS, preferences=votes), Rules())["pairs"]["all"]
    # Of the four votes about p0 two are for "a", which stood on side B: two others are for side A now.
    assert side["side_a"]["mean"] == pytest.approx((7 - 2 + 2) / 20)
    assert side["strengths"] == pairs["strengths"]


def test_everybody_is_counted_and_the_careless_left_out_with_a_reason() -> None:
    found = analyse(RESULTS, Rules(failures_allowed=0))
    people = found["listeners"]
    assert (people["count"], people["answered"]) == (5, 4)
    assert people["heard_with"] == {"built-in": 1, "headphones": 3, "speakers": 1}
    assert people["excluded"] == [{"listener": 1, "reason": "failed 1 of 3 attention checks"}]
    assert found["questions"]["ovl"]["filtered"]["listeners"] == 3
    assert found["questions"]["ovl"]["ratings_per_item"] == {"wanted": 5, "fewest": 3, "items": 10, "below": 10}
    nobody = analyse(replace(RESULTS, checks=dict.fromkeys(range(4), (1, 1))), Rules(failures_allowed=0))
    assert nobody["questions"]["ovl"]["filtered"] is None
    assert nobody["pairs"]["filtered"] is None
    assert "nobody is left" in render(nobody, {})


def test_the_same_answers_give_the_same_object_and_plain_json() -> None:
    first, again = (json.dumps(analyse(RESULTS, Rules()), allow_nan=False) for _ in range(2))
    assert first == again


def test_one_listener_one_prompt_and_one_system_are_figures_without_intervals() -> None:
    few = replace(RESULTS, ratings=RESULTS.ratings[:1], preferences=RESULTS.preferences[:1])
    found = analyse(few, Rules())
    row = found["questions"]["ovl"]["all"]["systems"]["a"]
    assert (row["mean"], row["low"], row["high"]) == (40.0, None, None)
    assert found["pairs"]["all"]["prior"] > 0
    assert "(no interval)" in render(found, {})


def test_no_answers_are_said() -> None:
    with pytest.raises(UserError, match="no answers yet"):
        analyse(replace(RESULTS, ratings=(), preferences=()), Rules())


def test_words_of_others_stay_words() -> None:
    evil = replace(
        RESULTS, title="<script>x</script>", questions={"ovl": "a < b"}, notes=({"prompt": "<p>", "note": "n"},)
    )
    page = render(analyse(evil, Rules()), {"ovl": "<i>"})
    assert "<script" not in page
    assert "<p></td>" not in page
    assert "a &lt; b" in page


def test_marks_lie_where_their_values_are() -> None:
    drawn = whiskers([("low", [Mark(0.0, 0.0, 0.0, "main", "")]), ("high", [Mark(100.0, 90.0, 100.0, "all", "")])])
    assert 'cx="200.0"' in drawn
    assert 'cx="740.0"' in drawn
    assert whiskers([]) == ""
    assert "<svg" in whiskers([("one", [Mark(5.0, None, None, "paper", "")])])
