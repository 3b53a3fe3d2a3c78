"""Sets of prompts side by side: known shares, a known difference, and a verdict with the width of its doubt."""

from collections.abc import Sequence

import pytest

from cadenza.evaluate.report.build import System, build
from cadenza.evaluate.report.clipwise import Column
from cadenza.evaluate.report.compare import Contender
from cadenza.evaluate.report.config import ReportConfig, SystemConfig
from cadenza.evaluate.report.gaps import gaps, set_differences
from cadenza.evaluate.report.metrics import metric
from cadenza.evaluate.report.summary import summary
from cadenza.evaluate.report.verdict import verdicts
from measured_sets import measured_set


def contender(name: str, scores: Sequence[float]) -> Contender:
    """One clip per prompt with these scores of instruments."""
    return Contender(measured_set(name, len(scores)), [Column(metric("instruments"), [[score] for score in scores])])


def sets(one: Contender, first: int) -> dict[str, str]:
    prompts = [clip.piece for clip in one.measured.clips]
    return {prompt: "embedded" if place < first else "strangers" for place, prompt in enumerate(prompts)}


def test_a_system_on_two_sets() -> None:
    one = contender("ours", [1.0] * 90 + [0.0] * 10 + [1.0] * 48 + [0.0] * 12)
    first, second = gaps([one], sets(one, 100))
    assert (first.prompts, first.result.value, first.count, first.difference) == ("embedded", 0.9, 100, None)
    assert (second.prompts, second.result.value, second.count) == ("strangers", 0.8, 60)
    assert second.difference is not None and second.difference.value == pytest.approx(-0.1)
    assert second.difference.low is not None and second.difference.high is not None
    # Standard error: root of 0.09 / 100 + 0.16 / 60.
    assert second.difference.low == pytest.approx(-0.1 - 1.96 * 0.0597, abs=0.02)
    assert second.difference.high == pytest.approx(-0.1 + 1.96 * 0.0597, abs=0.02)
    assert (second.within, second.surely) == (True, False)


@pytest.mark.parametrize(("good", "within", "surely"), [(270, True, True), (225, True, False), (210, False, False)])
def test_fifteen_points(good: int, within: bool, surely: bool) -> None:
    one = contender("ours", [1.0] * 270 + [0.0] * 30 + [1.0] * good + [0.0] * (300 - good))
    second = gaps([one], sets(one, 300))[1]
    assert (second.within, second.surely) == (within, surely)


def test_two_systems_on_each_set_and_none_on_one() -> None:
    a = contender("a", [1.0] * 20 + [0.0] * 20)
    b = contender("b", [0.0] * 20 + [0.0] * 20)
    found = set_differences([a, b], sets(a, 20))
    assert [(one.prompts, one.difference.value, one.count) for one in found] == [
        ("embedded", 1.0, 20),
        ("strangers", 0.0, 20),
    ]
    assert gaps([a], sets(a, 40)) == [] and set_differences([a, b], sets(a, 40)) == []
    few = contender("few", [1.0] * 8)
    assert [one.prompts for one in set_differences([few, few], sets(few, 6))] == ["embedded"]


def test_the_report_says_it() -> None:
    ours, theirs = measured_set("ours", 40), measured_set("theirs", 40, seed=1)
    names = tuple(SystemConfig(name=one.name, audio="x") for one in (ours, theirs))
    of_prompt = {clip.piece: "embedded" if place < 20 else "strangers" for place, clip in enumerate(ours.clips)}
    config = ReportConfig(systems=names, samples=0, mauve=False, reference=None, prompts=("embedded", "strangers"))
    systems = [System(one, "audio", "x") for one in (ours, theirs)]
    report = build(systems, None, config, sets=of_prompt).report
    said = dict(verdicts(report))["ours, strangers at most 15 points below embedded"]
    assert any(part.startswith("Instruments yes") and "of 20 prompts against" in part for part in said)
    assert "| strangers, Instruments: ours, theirs |" in summary(report)
    assert build(systems, None, config).report.gaps == ()
