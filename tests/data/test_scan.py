"""Scanning a folder: what can be used is listed, what cannot is listed too, and nothing else changes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from cadenza.audio import Audio
from cadenza.data.manifest import Entry, read_manifest, write_manifest
from cadenza.data.scan import SKIPPED, find_recordings, scan
from cadenza.errors import UserError
from data.recordings import save, transcode, tune


def skipped(folder: Path) -> dict[str, str]:
    path = folder / SKIPPED
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {row["path"]: row["reason"] for row in rows}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three tunes, and everything that can be wrong."""
    save(tune(1), tmp_path / "a.wav")
    save(tune(2), tmp_path / "deep" / "b.mp3")
    save(tune(3), tmp_path / "deep" / "c.ogg")
    transcode(tmp_path / "a.wav", tmp_path / "same.flac")
    save(Audio(tune(2).samples * np.float32(0.2), 16000).resample(22050), tmp_path / "deep" / "quiet.wav")
    (tmp_path / "noise.wav").write_bytes(b"RIFF" + bytes(range(200)))
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mp3").touch()
    save(Audio(np.zeros(32000, np.float32), 16000), tmp_path / "silent.flac")
    save(tune(4, 0.8), tmp_path / "short.wav")
    soundfile.write(tmp_path / "nan.wav", np.full(32000, np.nan, np.float32), 16000, subtype="FLOAT")
    for name in ("song.m4a", "cover.jpg", ".hidden.wav"):
        (tmp_path / name).write_bytes(b"x")
    os.symlink(tmp_path, tmp_path / "deep" / "loop")
    return tmp_path


def test_a_folder_with_everything_in_it(folder: Path):
    report = scan(folder)
    entries = read_manifest(folder)
    assert report.entries == entries
    assert {entry.id for entry in entries} == {"a", "deep/c", "deep/quiet"}  # the copy of a higher rate is kept
    reasons = skipped(folder)
    assert {path: reason.split(":")[0] for path, reason in reasons.items()} == {
        "same.flac": "duplicate",
        "deep/b.mp3": "duplicate",
        "noise.wav": "damaged",
        "cut.wav": "damaged",
        "empty.mp3": "damaged",
        "nan.wav": "damaged",
        "silent.flac": "silent",
        "short.wav": "short",
        "song.m4a": "foreign format",
    }
    assert reasons["same.flac"] == "duplicate: the same samples as a.wav"
    assert "a copy of deep/quiet.wav" in reasons["deep/b.mp3"]
    lines = "\n".join(report.lines())
    assert "3 recordings" in lines and "4 damaged, 2 duplicate, 1 foreign format" in lines
    assert "3 without a caption" in lines
    a = next(entry for entry in entries if entry.id == "a")
    assert (a.duration, a.sample_rate, a.tags["channels"]) == (3.0, 16000, 1)
    assert a.tags["loudness_lufs"] == pytest.approx(Audio.read(a.path).loudness_lufs(), abs=0.01)
    assert a.amplitude == pytest.approx(np.abs(Audio.read(a.path).samples).max(), abs=1e-5)
    row = json.loads((folder / "manifest.jsonl").read_text().splitlines()[0])
    assert row["path"] == "a.wav" and "split" not in row


def test_the_shortest_length_is_a_choice_and_costs_no_reading(folder: Path, monkeypatch: pytest.MonkeyPatch):
    scan(folder)
    monkeypatch.setattr("cadenza.data.measure.measure", None)
    assert "short" in {entry.id for entry in scan(folder, min_seconds=0.5).entries}
    assert "short.wav" not in skipped(folder)


def test_captions(tmp_path: Path):
    for seed, name in enumerate(("told", "fields", "named tune_01", "both"), start=10):
        save(tune(seed, 1.0), tmp_path / f"{name}.wav")
    (tmp_path / "told.txt").write_text("A tune\n")
    (tmp_path / "fields.json").write_text(json.dumps({"genre": "Jazz", "bpm": 90, "artist": "Me"}))
    (tmp_path / "both.json").write_text('{"description": "Words", "bpm": "fast"}')

    def captions(names: bool) -> dict[str, tuple[str, ...]]:
        return {entry.id: entry.captions for entry in scan(tmp_path, captions_from_names=names).entries}

    assert captions(False) == {
        "told": ("A tune",), "fields": ("Jazz at 90 bpm",), "named tune_01": (), "both": ("Words",)
    }  # fmt: skip
    assert skipped(tmp_path)["both.json"].startswith("field left out: bpm is 'fast'")
    assert captions(True)["named tune_01"][0].startswith("named tune")
    assert captions(False)["named tune_01"] == ()  # what was made from names is made anew, or not at all
    (tmp_path / "fields.json").write_text(json.dumps({"genre": "Rock", "bpm": 90}))
    assert captions(False)["fields"] == ("Rock at 90 bpm",)
    entry = next(entry for entry in read_manifest(tmp_path) if entry.id == "fields")
    assert entry.info == {"genre": "rock", "bpm": 90.0}
    (tmp_path / "both.json").unlink()
    assert captions(False)["both"] == ("Words",)  # nothing beside it any more: the manifest remembers


def test_what_only_the_manifest_knows_stays(tmp_path: Path):
    for seed in (1, 2):
        save(tune(seed, 1.0), tmp_path / f"{seed}.wav")
    entries = scan(tmp_path).entries
    edited = entries[0].model_copy(update={"split": "valid", "weight": 2.0, "captions": ("by hand",)})
    edited = Entry.model_validate(edited.model_dump() | {"vocals": 0.1, "split": "valid", "id": "mine"})
    write_manifest(tmp_path / "manifest.jsonl", [edited, entries[1]])
    save(tune(3, 1.0), tmp_path / "3.wav")
    report = scan(tmp_path)
    first = report.entries[0]
    assert (first.id, first.split, first.weight, first.tags["vocals"]) == ("mine", "valid", 2.0, 0.1)
    assert first.captions == ("by hand",)
    assert [entry.has_split for entry in report.entries] == [True, False, False]
    assert any("2 are in no split yet" in line for line in report.lines())
    (tmp_path / "2.wav").unlink()
    assert any("1 of the manifest before" in line for line in scan(tmp_path).lines())


def test_the_described_copy_is_kept(tmp_path: Path):
    save(tune(1).resample(44100), tmp_path / "a.wav")
    save(tune(1), tmp_path / "z.mp3")
    (tmp_path / "z.txt").write_text("known\n")
    assert [entry.id for entry in scan(tmp_path).entries] == ["z"]


def test_a_better_copy_does_not_leave_its_split(tmp_path: Path):
    save(tune(1), tmp_path / "z.wav")
    entries = scan(tmp_path).entries
    write_manifest(tmp_path / "manifest.jsonl", [entries[0].model_copy(update={"split": "test"})])
    save(tune(1).resample(44100), tmp_path / "a.wav")
    (tmp_path / "a.txt").write_text("known\n")
    assert [(entry.id, entry.split) for entry in scan(tmp_path).entries] == [("z", "test")]
    assert skipped(tmp_path)["a.wav"].startswith("duplicate: a copy of z.wav")


def test_names_that_differ_in_their_extension_only(tmp_path: Path):
    save(tune(1, 1.0), tmp_path / "a.wav")
    save(tune(2, 1.0), tmp_path / "a.flac")
    save(tune(3, 1.0), tmp_path / "b.wav")
    assert [entry.id for entry in scan(tmp_path).entries] == ["a.flac", "a.wav", "b"]
    save(tune(4, 1.0), tmp_path / "a.wav.mp3")
    save(tune(5, 1.0), tmp_path / "b.flac")
    # What has a name keeps it, and no two are the same.
    assert [entry.id for entry in scan(tmp_path).entries] == ["a.flac", "a.wav", "a.wav.mp3", "b.flac", "b"]


def test_of_two_ways_to_a_folder_the_first_by_name_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(tune(1, 1.0), tmp_path / "real" / "x.wav")
    for name in ("zebra", "ape"):
        os.symlink("real", tmp_path / name)
    walk = os.walk

    def reversed_walk(*args: Any, **kwargs: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        for place, folders, names in walk(*args, **kwargs):
            folders.sort(reverse=True)  # a disk may name them in any order
            yield place, folders, names

    monkeypatch.setattr(os, "walk", reversed_walk)
    assert find_recordings(tmp_path)[0] == [str(tmp_path / "ape" / "x.wav")]


def test_titles_may_be_numbers_but_genres_are_not(tmp_path: Path):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 16000, 1) as file:
        file.title, file.artist, file.genre = "1999", "311", "(17)"
        file.write(tune(1, 1.0).samples[0])
    assert scan(tmp_path).entries[0].info == {"title": "1999", "artist": "311"}


def test_the_manifest_may_be_elsewhere(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("out") / "new" / "manifest.jsonl"
    save(tune(1, 1.0), tmp_path / "a.wav")
    entries = scan(tmp_path, out).entries
    assert read_manifest(out) == entries
    assert json.loads(out.read_text())["path"] == str(tmp_path / "a.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(tune(1, 1.0), tmp_path / "in" / "a.wav")
    # In place of its rights, which do not stop the user under whom tests may run.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "in")
    with pytest.raises(UserError, match=r"in cannot be written to: .* --out FILE"):
        scan(tmp_path / "in")
    assert len(scan(tmp_path / "in", tmp_path / "manifest.jsonl").entries) == 1


def test_mistakes(tmp_path: Path):
    with pytest.raises(UserError, match="no such folder"):
        scan(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no recordings in it"):
        scan(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(UserError, match=r"none of 1 file can be used: .*skipped\.jsonl says why"):
        scan(tmp_path)
    assert "a.wav" in skipped(tmp_path)
    with pytest.raises(UserError, match="give the name of a file"):
        scan(tmp_path, tmp_path)
    with pytest.raises(UserError, match="give the manifest another name"):
        scan(tmp_path, tmp_path / SKIPPED)
    save(tune(1, 1.0), tmp_path / "b.wav")
    (tmp_path / "manifest.jsonl").touch()  # an empty one tells nothing, and stops nothing
    assert [entry.id for entry in scan(tmp_path).entries] == ["b"]
