"""Reading what is to be judged: folders, manifests, takes and prompts, and everything that may be wrong with them."""

import json
from pathlib import Path

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.clips import Asked, asked_from_text, read_clips, read_prompts, read_sound
from cadenza.testing import tone


def write(path: Path, seconds: float = 1.2, rate: int = 8000, channels: int = 1, **metadata: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = tone(440.0, seconds, rate, channels)
    return Audio(audio.samples, rate, dict(metadata)).write(path, None)


def reasons(clips: object) -> dict[str, str]:
    return {refused.name: refused.reason for refused in clips.refused}  # type: ignore[attr-defined]


def prompts(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_folder_lists_what_is_wrong_and_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "b.wav", rate=16000)
    write(tmp_path / "deep" / "a.flac", channels=2, seconds=2.0)
    write(tmp_path / "b.flac")
    write(tmp_path / "short.wav", seconds=0.2)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.mp3").write_text("not audio")
    cut = write(tmp_path / "cut.wav")
    cut.write_bytes(cut.read_bytes()[:9000])
    (tmp_path / "film.mp4").touch()
    clips = read_clips(tmp_path)
    assert clips.name == tmp_path.name
    assert [clip.id for clip in clips.clips] == ["b", "deep/a"]
    found = reasons(clips)
    assert found.keys() == {"b.wav", "short.wav", "empty.wav", "text.mp3", "cut.wav", "film.mp4"}
    assert "second recording of id 'b'" in found["b.wav"]
    assert "too short: 0.2 s" in found["short.wav"]
    assert "empty (0 bytes)" in found["empty.wav"]
    assert "cut short" in found["cut.wav"]
    assert not any(str(tmp_path) in reason for reason in found.values())


def test_nothing_left_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(UserError, match=r"nothing to judge \(1 refused, the first: empty.wav"):
        read_clips(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_clips(tmp_path / "nowhere")


def test_takes_are_paired_with_prompts_by_name(tmp_path: Path) -> None:
    takes = tmp_path / "takes"
    for name in ("two.wav", "one.wav", "one__2.wav", "stranger.wav"):
        write(takes / name)
    asked = prompts(
        tmp_path / "p.jsonl",
        {"id": "one", "text": "a song", "tempo_bpm": 90, "instruments": ["piano", "drums/percussion"]},
        {"id": "two", "key": "minor", "tempo_range": [60, 80], "duration": 3},
        {"id": "three", "text": "nobody played this"},
    )
    clips = read_clips(takes, asked)
    assert [(clip.id, clip.piece) for clip in clips.clips] == [("one", "one"), ("one__2", "one"), ("two", "two")]
    assert clips.clips[0].asked == Asked("a song", 90.0, None, ("piano", "drums/percussion"))
    assert clips.clips[2].asked == Asked("", (60.0, 80.0), "minor", duration_seconds=3.0)
    found = reasons(clips)
    assert "without a prompt" in found["stranger.wav"]
    assert found["three"] == "a prompt without a take"
    (takes / "prompts.jsonl").write_bytes(asked.read_bytes())
    assert read_clips(takes).clips == clips.clips


def test_what_takes_say_of_themselves(tmp_path: Path) -> None:
    write(tmp_path / "a" / "ours.flac", seed=3, text="slow piano in D minor", prompt={"data": "x" * 5000})
    write(tmp_path / "a" / "bare.wav")
    (tmp_path / "record.json").write_text('{"model": "theirs", "seed": 1}')
    (tmp_path / "a" / "record.json").write_text('{"seed": 2}')
    bare, ours = read_clips(tmp_path).clips
    assert bare.record == {"model": "theirs", "seed": 2}
    assert ours.record == {"model": "theirs", "seed": 3, "text": "slow piano in D minor"}
    assert ours.asked == Asked("slow piano in D minor", (40.0, 86.0), "D minor", ("piano",), parsed=True)
    assert read_clips(tmp_path, parse_texts=False).clips[1].asked == Asked("slow piano in D minor")
    (tmp_path / "record.json").write_text("[1]")
    with pytest.raises(UserError, match="JSON object"):
        read_clips(tmp_path)


def test_lines_of_a_manifest_that_are_no_entries_are_listed(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    good = json.dumps({"path": "a.wav", "duration": 1.2, "sample_rate": 8000})
    (tmp_path / "manifest.jsonl").write_text(f'{good}\n{{"path": "cut off\n{{"path": 5}}\n')
    clips = read_clips(tmp_path)
    assert [clip.id for clip in clips.clips] == ["a"]
    assert list(reasons(clips)) == ["line 2 of the manifest", "line 3 of the manifest"]
    assert all(reason.startswith("not an entry: ") for reason in reasons(clips).values())
    (tmp_path / "manifest.jsonl").write_text('{"path": 5}\nnonsense\n')
    with pytest.raises(UserError, match="line 1 is not a manifest entry"):
        read_clips(tmp_path)


@pytest.mark.parametrize(
    ("fact", "value", "doubt"),
    [
        ("instruments", None, None),
        ("instruments", 5, "its instruments 5 were not used"),
        ("key", "", None),
        ("tempo_bpm", True, "its tempo True was not used"),
        ("piece", None, None),
    ],
)
def test_strange_facts_of_a_manifest(tmp_path: Path, fact: str, value: object, doubt: str | None) -> None:
    write(tmp_path / "a.wav")
    prompts(tmp_path / "manifest.jsonl", {"path": "a.wav", "duration": 1.2, "sample_rate": 8000, fact: value})
    clips = read_clips(tmp_path)
    assert clips.clips[0].asked == Asked()
    assert clips.clips[0].piece == "a"
    assert [reason.split(":")[0] for reason in reasons(clips).values()] == ([doubt] if doubt else [])


def test_manifest_gives_facts_and_pieces(tmp_path: Path) -> None:
    for name in ("x.wav", "y.wav"):
        write(tmp_path / name)
    common = {"duration": 1.2, "sample_rate": 8000}
    rows = (
        {"path": "x.wav", "seed": 7, "captions": ["one", "two"], "genre": "jazz", "instruments": ["piano"],
         "tempo_bpm": 75.0, "key": "F major", **common},
        {"path": "y.wav", "id": "why", "info": {"key": "g minor", "bpm": 90.0, "instrument": "flute, harp"}, **common},
        {"path": "gone.wav", **common},
        {"path": "y.wav", "id": "odd", "key": "H dur", "captions": ["a harp"], **common},
    )  # fmt: skip
    prompts(tmp_path / "manifest.jsonl", *rows)
    clips = read_clips(tmp_path)
    assert clips == read_clips(tmp_path / "manifest.jsonl", name=tmp_path.name)
    x, y, odd = clips.clips
    assert (x.piece, x.asked) == ("7", Asked("one", 75.0, "F major", ("piano",), "jazz"))
    assert (y.id, y.piece, y.asked) == ("why", "why", Asked("", 90.0, "G minor", ("flute", "harp")))
    assert odd.asked == Asked("a harp", instruments=("harp",), parsed=True)
    assert reasons(clips).keys() == {"gone.wav", "odd"}


def test_facts_are_only_those_of_the_text() -> None:
    assert asked_from_text("something nice") == Asked("something nice")
    assert asked_from_text("techno").parsed


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "no id"}, "line 1: id"),
        ({"id": "a", "tempo": 3}, "line 1: tempo"),
        ({"id": "a", "tempo_bpm": -3}, "greater than 0"),
        ({"id": "a", "tempo_bpm": [90, 80]}, "90 to 80 bpm"),
        ({"id": "a", "tempo_bpm": 90, "tempo_range": [80, 90]}, "give one of them"),
        ({"id": "a", "key": "H dur"}, "line 1: key 'H dur'"),
        ({"id": "a", "melody": "gone.wav"}, "melody gone.wav"),
    ],
)
def test_prompts_that_are_none(tmp_path: Path, row: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_prompts(prompts(tmp_path / "p.jsonl", row))


def test_prompts_must_differ_and_be_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 2: a second prompt of id 'a'"):
        read_prompts(prompts(tmp_path / "p.jsonl", {"id": "a"}, {"id": "a"}))
    with pytest.raises(UserError, match="holds no prompts"):
        read_prompts(prompts(tmp_path / "p.jsonl"))
    with pytest.raises(UserError, match="cannot be read"):
        read_prompts(tmp_path / "gone.jsonl")


def test_samples_are_not_kept(tmp_path: Path) -> None:
    """A set of thousands holds places, no sound."""
    write(tmp_path / "a.wav")
    (clip,) = read_clips(tmp_path / "a.wav").clips
    assert not any(isinstance(value, np.ndarray) for value in vars(clip).values())


def test_a_header_that_promises_the_impossible_is_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FLAC file can claim 2^36 samples."""
    path = write(tmp_path / "a.flac")
    assert read_sound(path, 0.0, 0.1).num_samples == 800

    def read(*given: object) -> Audio:
        raise MemoryError

    monkeypatch.setattr(Audio, "read", read)
    with pytest.raises(UserError, match="damaged: MemoryError while it was read"):
        read_sound(path)


def test_recordings_that_answer_no_prompt(tmp_path: Path) -> None:
    tone(440.0, 1.5).write(tmp_path / "song.wav")
    with pytest.raises(UserError, match=r"song.wav: no recording is named as a prompt is; name them p1.wav"):
        read_clips(tmp_path, {"p1": Asked("a waltz")})
