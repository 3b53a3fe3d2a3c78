"""What a report comes to in words: the better, the worse and the random one are told apart; doubt is named."""

from cadenza.evaluate.report.build import System, build
from cadenza.evaluate.report.config import ReportConfig, SystemConfig
from cadenza.evaluate.report.verdict import verdicts
from measured_sets import measured_set


def _of(*systems: System) -> dict[str, list[str]]:
    names = tuple(SystemConfig(name=one.name, audio="x") for one in systems)
    config = ReportConfig(systems=names, samples=0, mauve=False)
    return dict(verdicts(build(systems, measured_set("reference", 60, seed=9), config).report))


def test_systems_are_held_against_true_music_and_chance() -> None:
    true = System(measured_set("true", 60, seed=1), "truth", "x")
    good = System(measured_set("good", 60, seed=2), "audio", "x")
    poor = System(measured_set("poor", 60, place=1.0, fit=0.5, seed=3), "audio", "x")
    none = System(measured_set("none", 60, fit=0.0, seed=4), "audio", "x")
    found = _of(true, good, poor, none)
    assert list(found) == ["good", "poor", "none", "good against poor", "good against none", "poor against none"]
    standing = {name: dict(part.split(": ", 1) for part in found[name]) for name in ("good", "poor", "none")}
    assert "Tempo" in standing["good"]["not told from true music"]
    assert "Tempo" in standing["poor"]["short of true music"]
    assert "Text alignment by mel" in standing["none"]["not told from chance"]
    assert found["good against poor"][0].startswith("good is better by ")


def test_too_little_says_nothing() -> None:
    few = System(measured_set("few", 3), "audio", "x")
    also = System(measured_set("also", 3, seed=5), "audio", "x")
    found = _of(System(measured_set("true", 60, seed=1), "truth", "x"), few, also)
    assert any(part.startswith("too little to say: Fréchet distance (FAD) by mel") for part in found["few"])
    assert found["few against also"] == ["nothing is tested, they share fewer than 6 prompts with figures"]


def test_one_clip_is_not_as_good_as_true_music() -> None:
    # A share of one fact lies anywhere between 0 and 0.8, true music too.
    true, one = measured_set("true", 60, seed=1), measured_set("one", 1, fit=0.0)
    found = _of(System(true, "truth", "x"), System(one, "audio", "x"))
    assert not any(part.startswith("not told from true music") for part in found["one"]), found


def test_without_true_music_only_chance_is_beside() -> None:
    found = _of(System(measured_set("good", 60, seed=2), "audio", "x"))
    assert found["good"][0].startswith("better than chance: Text alignment by mel")
    assert "true music" not in str(found["good"])
