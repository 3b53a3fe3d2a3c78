"""Tests between systems: found where there is a difference, not where there is none, corrected for their number."""

from dataclasses import replace

import pytest

from cadenza.evaluate.report.clipwise import columns
from cadenza.evaluate.report.compare import Contender, compare
from cadenza.evaluate.report.figures import Test
from measured_sets import measured_set


@pytest.fixture(scope="module")
def tests() -> dict[str, Test]:
    true = measured_set("true", 60)
    sets = [measured_set("good", 20, seed=1), measured_set("bad", 20, place=1.0, fit=0.2, seed=2)]
    found = compare([Contender(one, columns(one, true)) for one in sets], true)
    return {test.metric: test for test in found}


def test_the_better_one_is_named(tests: dict[str, Test]) -> None:
    for name in ("fad", "song_distance", "text_alignment", "tempo"):
        assert tests[name].verdict == "good is better", name
        assert (tests[name].first, tests[name].second, tests[name].count) == ("good", "bad", 20)
    assert (tests["fad"].difference.value or 0) < 0 < (tests["text_alignment"].difference.value or 0)


def test_what_is_alike_is_not_told_apart(tests: dict[str, Test]) -> None:
    assert tests["instruments"].verdict == tests["repetition"].verdict == "cannot be told apart"
    assert tests["instruments"].p_value == 1.0


def test_p_values_are_corrected(tests: dict[str, Test]) -> None:
    count = sum(test.p_value is not None for test in tests.values())
    smallest = min(test.p_value for test in tests.values() if test.p_value is not None)
    assert min(test.p_holm for test in tests.values() if test.p_holm is not None) == pytest.approx(count * smallest)
    assert tests["fad"].p_value is None and tests["fad"].p_holm is None


def test_only_common_prompts_count_and_few_give_no_test() -> None:
    one, two = measured_set("one", 20), measured_set("two", 20, seed=4)
    part = two.of(two.ids[12:])
    found = compare([Contender(one, columns(one)), Contender(part, columns(part))], None)
    assert found and {test.count for test in found} == {8}
    few = two.of(two.ids[:5])  # all of five to one side: p = 0.0625
    assert compare([Contender(one, columns(one)), Contender(few, columns(few))], measured_set("true", 30)) == []


def test_takes_of_a_prompt_are_one_score() -> None:
    # Twice the takes are not twice the evidence.
    one = measured_set("one", 20)
    clips = tuple(replace(clip, piece=f"{number // 2}") for number, clip in enumerate(one.clips))
    one = replace(one, clips=clips)
    contender = Contender(one, columns(one))
    scores = contender.by_prompt("repetition")
    assert len(scores) == 10 and scores["0"] == pytest.approx((0 + 1 / 20) / 2)


def test_systems_of_other_prompts_are_not_paired() -> None:
    one, two = measured_set("one"), measured_set("two")
    two = replace(two, clips=tuple(replace(clip, piece=f"other {clip.piece}") for clip in two.clips))
    assert compare([Contender(one, columns(one)), Contender(two, columns(two))], measured_set("true", 30)) == []
