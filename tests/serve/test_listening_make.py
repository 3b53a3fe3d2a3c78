"""A test folder: blind, alike in everything but the music, whole in itself, and the same bytes from the same seed."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.serve.listening import ListeningTest
from cadenza.serve.listening_clips import low_passed, matched_levels, squeezed
from cadenza.serve.listening_config import ListeningConfig, checked, read_config
from cadenza.serve.listening_design import Design
from cadenza.serve.listening_make import Made, make_test
from cadenza.testing import noise, tone

RATE = 8000


def write_takes(folder: Path, system: str, prompts: int = 3, seconds: float = 1.0, rate: int = RATE) -> Path:
    """Takes of a system: noise of its own colour and level, with the prompt in the file."""
    place = folder / system
    place.mkdir(parents=True, exist_ok=True)
    for number in range(prompts):
        made = noise(seconds, rate, level=0.02 * (1 + len(system)), seed=number)
        Audio(made.samples, rate, {"text": f"prompt {number}"}).write(place / f"p{number}.wav", None)
    return place


def config(folder: Path, systems: str = "a bb ccc", **settings: object) -> ListeningConfig:
    folders = {name: write_takes(folder, name) for name in systems.split()}
    plain: dict[str, object] = {"protocols": ["ovl"], "least_seconds": 0.5, "checks": 0, "training_screens": 0}
    return checked({"systems": folders, **plain, **settings}, "test")


def key_of(made: Made) -> dict[str, dict[str, dict[str, object]]]:
    return json.loads((made.folder / "key.json").read_text())


def test_clips_differ_in_nothing_but_the_music(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", "a bb")
    write_takes(tmp_path / "takes", "bb", seconds=1.4, rate=16000)
    tone(300.0, 0.8, RATE, channels=2, level=0.01).write(tmp_path / "takes" / "a" / "p1.wav", None)
    made = make_test(settings, tmp_path / "test")
    files = sorted((made.folder / "clips").iterdir())
    assert len(files) == 6 + 1  # and the noise to set the volume by
    key = key_of(made)
    for prompt, seconds in (("p0", 1.0), ("p1", 0.8), ("p2", 1.0)):
        names = [name for name, (of, *_) in key["clips"].items() if of == prompt]
        clips = [Audio.read(made.folder / "clips" / f"{name}.flac") for name in names]
        assert [(clip.sample_rate, clip.channels) for clip in clips] == [(16000, 2)] * 2
        assert [clip.duration_seconds for clip in clips] == pytest.approx([seconds] * 2, abs=1e-3)
        levels = [clip.loudness_lufs() for clip in clips]
        assert levels == pytest.approx([-14.0] * 2, abs=0.15)  # what limiting a peak may cost
        assert all(clip.metadata == {} for clip in clips)
        assert all(np.abs(clip.samples[:, [0, -1]]).max() < 1e-3 for clip in clips)  # no click at the ends
    assert {"prompt": "p1", "note": "bb: the first 0.80 s of 1.40 s"} in made.notes


def test_the_level_gives_way_where_peaks_allow_no_more(tmp_path: Path) -> None:
    """A click over faint noise: all clips of the prompt come down with it, and it is said."""
    settings = config(tmp_path / "takes", "a bb")
    quiet = noise(1.0, RATE, level=0.003).samples.copy()
    quiet[0, 4000:4004] = 0.9
    Audio(quiet, RATE).write(tmp_path / "takes" / "bb" / "p1.wav", None)
    made = make_test(settings, tmp_path / "test")
    key = key_of(made)
    level = key["levels_lufs"]["p1"]
    assert level < -20
    assert key["levels_lufs"]["p0"] == -14.0
    names = [name for name, (of, *_) in key["clips"].items() if of == "p1"]
    levels = [Audio.read(made.folder / "clips" / f"{name}.flac").loudness_lufs() for name in names]
    assert levels == pytest.approx([level] * 2, abs=0.15)
    assert any(note["prompt"] == "p1" and "the peaks of bb allow no more" in note["note"] for note in made.notes)


def test_nothing_that_is_sent_tells_a_system(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", "secretone secrettwo", protocols=["ovl", "rel", "pairs"], checks=2)
    made = make_test(settings, tmp_path / "test")
    assert "secret" in (made.folder / "key.json").read_text()
    for path in made.folder.rglob("*"):
        if path.is_file() and path.name != "key.json":
            assert b"secret" not in path.read_bytes(), path
            assert "secret" not in path.name
    sizes = {path.stat().st_mtime_ns for path in (made.folder / "clips").iterdir()}
    assert sizes  # read without the key:
    (made.folder / "key.json").unlink()
    assert ListeningTest(made.folder).design.sections


def test_the_same_seed_gives_the_same_bytes_and_another_other_names(tmp_path: Path) -> None:
    def files(out: str, seed: int) -> dict[str, bytes]:
        made = make_test(config(tmp_path / "takes", protocols=["ovl", "pairs"], checks=3, seed=seed), tmp_path / out)
        return {p.relative_to(made.folder).as_posix(): p.read_bytes() for p in made.folder.rglob("*") if p.is_file()}

    first, again, other = files("one", 1), files("two", 1), files("three", 2)
    assert first == again
    assert set(first) & set(other) == {"test.json", "key.json"}
    assert str(tmp_path).encode() not in b"".join(first.values())


def test_anchors_are_known_bad_versions_of_the_reference(tmp_path: Path) -> None:
    write_takes(tmp_path / "takes", "real", rate=16000)
    settings = config(tmp_path / "takes", "a", anchors=["lowpass", "opus", "lowpass"])
    settings = checked(
        {**settings.model_dump(), "systems": {"a": tmp_path / "takes/a", "real": tmp_path / "takes/real"}}
        | {"reference": "real"},
        "test",
    )
    made = make_test(settings, tmp_path / "test")
    key = key_of(made)
    assert key["systems"] == ["a", "real", "anchor-lowpass", "anchor-opus"]
    name = next(name for name, (_, system, _) in key["clips"].items() if system == "anchor-lowpass")
    clip = Audio.read(made.folder / "clips" / f"{name}.flac")
    power = np.abs(np.fft.rfft(clip.samples[0])) ** 2
    above = np.fft.rfftfreq(clip.num_samples, 1 / clip.sample_rate) > 3700
    assert power[above].sum() < 1e-4 * power.sum()


@pytest.mark.parametrize("make", [low_passed, squeezed])
def test_an_anchor_is_as_long_as_its_clip(make: Callable[[Audio], Audio]) -> None:
    clip = noise(1.0, 44100, channels=2)
    made = make(clip)
    assert (made.num_samples, made.channels, made.sample_rate) == (44100, 2, 44100)
    assert not np.allclose(made.samples, clip.samples, atol=0.01)


def test_levels_meet_at_the_target_where_all_reach_it() -> None:
    sounds = {("a", 0): tone(440.0, 1.0, RATE, level=0.9), ("b", 0): tone(440.0, 1.0, RATE, level=0.01)}
    made, level, softest = matched_levels(sounds, -20.0)
    assert (level, softest) == (-20.0, None)
    assert [sound.loudness_lufs() for sound in made.values()] == pytest.approx([-20, -20], abs=0.05)


def test_every_question_has_its_screens(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", protocols=["ovl", "rel", "jukebox", "pairs"], diversity_clips=3, checks=7)
    design = make_test(settings, tmp_path / "test").design
    assert [section.protocol for section in design.sections] == [
        "ovl",
        "rel",
        "coherence",
        "musicality",
        "diversity",
        "novelty",
        "pairs",
    ]
    sizes = {
        section.protocol: (len(section.blocks), len(section.blocks[0].screens), len(section.blocks[0].screens[0].clips))
        for section in design.sections
    }
    assert sizes["ovl"] == sizes["rel"] == sizes["novelty"] == (3, 3, 1)
    assert sizes["diversity"] == (1, 3, 3)  # the three prompts by each system
    assert sizes["pairs"] == (9, 1, 2)  # three pairs of three prompts
    texts = {section.protocol: section.blocks[0].text for section in design.sections}
    assert texts["ovl"] == texts["coherence"] == ""  # who sees the text judges how it matches
    assert texts["rel"] == texts["pairs"] == "prompt 0"
    assert all(section.checks for section in design.sections)
    known = design.screens()  # an attention check without the text that all others have would be found out
    assert {section.protocol: known[section.checks[0].id][1] for section in design.sections} == texts
    assert Design.read(tmp_path / "test") == design


@pytest.mark.parametrize("protocol", ["diversity", "pairs"])
def test_who_does_not_listen_can_fail_more_checks_than_are_allowed(tmp_path: Path, protocol: str) -> None:
    settings = config(tmp_path / "takes", "a bb", protocols=[protocol], checks=3)
    (section,) = make_test(settings, tmp_path / "test").design.sections
    assert len(section.checks) == 3 > settings.failures_allowed + 1
    clips = [name for screen in section.checks for name in screen.clips]
    assert len(clips) == len(set(clips))


def test_several_takes_of_a_prompt_are_what_diversity_is_about(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", "a bb", protocols=["diversity"], diversity_clips=2)
    for system in ("a", "bb"):
        for number in range(3):
            noise(1.0, RATE, seed=9).write(tmp_path / "takes" / system / f"p{number}__2.wav", None)
    made = make_test(settings, tmp_path / "test")
    (section,) = made.design.sections
    assert len(section.blocks) == 3
    clips = key_of(made)["clips"]
    for block in section.blocks:
        for screen in block.screens:
            ((prompt, system),) = {tuple(clips[name][:2]) for name in screen.clips}
            assert prompt in ("p0", "p1", "p2")
            assert sorted(clips[name][2] for name in screen.clips) == [0, 1]


# --------------------------------------------------------------------------------------------------------- bad input


def test_systems_without_a_common_prompt_are_refused(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", "a bb")
    for path in list((tmp_path / "takes" / "bb").iterdir()):
        path.rename(path.with_name(f"other{path.name}"))
    with pytest.raises(UserError, match=r"no prompt that all systems have \(a: p0, p1, p2; bb: otherp0"):
        make_test(settings, tmp_path / "test")
    assert not (tmp_path / "test").exists()


def test_clips_that_cannot_be_heard_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", "a bb")
    (tmp_path / "takes" / "a" / "p0.wav").write_bytes(b"no sound")
    Audio(np.zeros(RATE, np.float32), RATE).write(tmp_path / "takes" / "bb" / "p1.wav", None)
    made = make_test(settings, tmp_path / "test")
    assert made.prompts == 1
    reasons = {(item["system"], item["what"]): item["reason"] for item in made.left_out}
    assert "not audio" in reasons["a", "p0.wav"]
    assert reasons["bb", "p0"] == "not every system has it"
    assert reasons["all", "p1"] == "bb: silent"
    assert key_of(made)["left_out"] == made.left_out


def test_nothing_that_can_be_heard_is_said(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", "a bb")
    for path in (tmp_path / "takes" / "bb").iterdir():
        Audio(np.zeros(RATE, np.float32), RATE).write(path, None)
    with pytest.raises(UserError, match="no prompt can be heard by all systems"):
        make_test(settings, tmp_path / "test")
    assert not (tmp_path / "test").exists()


def test_a_test_is_never_overwritten(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", "a")
    make_test(settings, tmp_path / "test")
    with pytest.raises(UserError, match="never overwritten"):
        make_test(settings, tmp_path / "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocols": ["pairs"]}, "pairs need two systems"),
        ({"protocols": ["mos"]}, "protocol 'mos' is not one of ovl, rel"),
        ({"protocols": []}, "protocols"),
        ({"systems": {}}, "systems"),
        ({"reference": "b"}, "reference 'b' is not one of the systems"),
        ({"reference_least": 85}, "needs the name of the reference"),
        ({"reference_least": 85, "reference": "a", "protocols": ["rel"]}, "and the protocol ovl"),
        ({"systems": {"anchor-opus": "a"}, "anchors": ["opus"]}, "'anchor-opus' is what an anchor is called"),
        ({"questions": {"rel": "?"}}, "'rel' is not asked in this test"),
        ({"published": [{"source": "s", "protocol": "rel", "system": "x", "value": 1}]}, "'rel' is not asked"),
        (
            {
                "systems": {"a": "a", "b": "b"},
                "protocols": ["pairs"],
                "published": [{"source": "s", "protocol": "pairs", "system": "x", "value": 1}],
            },
            "of pairs there is none",
        ),
        ({"loudness_lufs": 3}, "loudness_lufs"),
        ({"sytems": {}}, "sytems"),
    ],
)
def test_settings_that_make_no_test_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        checked({"systems": {"a": "a"}, "protocols": ["ovl"]} | change, "test.yaml")


def test_rel_needs_texts_and_diversity_clips(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", "a", protocols=["rel"])
    for path in (tmp_path / "takes" / "a").iterdir():
        noise(1.0, RATE).write(path, None)
    with pytest.raises(UserError, match="no take says what it was asked for"):
        make_test(settings, tmp_path / "test")
    settings = config(tmp_path / "more", "a", protocols=["diversity"], diversity_clips=4)
    with pytest.raises(UserError, match="diversity compares 4 clips and there are 3 prompts"):
        make_test(settings, tmp_path / "test")


def test_what_systems_were_asked_differently_is_left_out_of_rel(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", "a bb", protocols=["rel", "ovl"])
    other = Audio(noise(1.0, RATE).samples, RATE, {"text": "something else"})
    other.write(tmp_path / "takes" / "bb" / "p1.wav", None)
    made = make_test(settings, tmp_path / "test")
    assert [len(section.blocks) for section in made.design.sections] == [2, 3]
    assert made.left_out == [
        {"system": "all", "what": "p1 (rel)", "reason": "the systems were asked for different things"}
    ]


def test_prompts_can_be_drawn_and_takes_come_from_several_folders(tmp_path: Path) -> None:
    settings = config(tmp_path / "takes", "a bb", protocols=["diversity"], diversity_clips=2, most_prompts=2)
    both = (tmp_path / "takes" / "a", tmp_path / "takes" / "bb")
    made = make_test(settings.model_copy(update={"systems": {"a": both}}), tmp_path / "test")
    (section,) = made.design.sections
    assert made.prompts == len(section.blocks) == 2
    assert {tuple(entry[1:]) for entry in key_of(made)["clips"].values()} == {("a", 0), ("a", 1)}


def test_a_file_of_settings_is_read_from_its_own_folder(tmp_path: Path) -> None:
    write_takes(tmp_path, "a")
    (tmp_path / "test.yaml").write_text("systems: {a: a, b: [a, a]}\nprotocols: jukebox\n")
    settings = read_config(tmp_path / "test.yaml")
    assert settings.systems == {"a": (tmp_path / "a",), "b": (tmp_path / "a", tmp_path / "a")}
    assert settings.protocols == ("coherence", "musicality", "diversity", "novelty")
    for content in ("systems: [", "- 1", "\x00"):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(UserError, match=r"bad\.yaml"):
            read_config(tmp_path / "bad.yaml")
