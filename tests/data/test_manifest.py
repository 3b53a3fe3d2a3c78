"""Manifests: ours, audiocraft's, and broken ones."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from cadenza.data.manifest import Entry, manifest_path, read_manifest, write_manifest
from cadenza.errors import UserError


def test_what_is_written_is_read_again(tmp_path: Path):
    audio = tmp_path / "audio" / "a.flac"
    entry = Entry(
        path=str(audio), duration=2.5, sample_rate=32000, id="a", captions=("x", "y"), genre="jazz", tempo_bpm=90
    )
    write_manifest(tmp_path / "manifest.jsonl", [entry])
    assert json.loads((tmp_path / "manifest.jsonl").read_text())["path"] == "audio/a.flac"
    (found,) = read_manifest(tmp_path, missing="keep")
    assert found == entry
    assert found.tags == {"genre": "jazz", "tempo_bpm": 90}


def test_audiocraft_manifests_are_read(tmp_path: Path):
    row = {
        "path": "/music/b.wav",
        "duration": 3.0,
        "sample_rate": 44100,
        "amplitude": None,
        "weight": None,
        "info_path": None,
    }
    with gzip.open(tmp_path / "data.jsonl.gz", "wt") as file:
        file.write(json.dumps(row) + "\n\n")
    (entry,) = read_manifest(tmp_path, missing="keep")
    assert (entry.path, entry.id, entry.split, entry.weight) == ("/music/b.wav", "b", "train", None)


def test_splits_are_selected(tmp_path: Path):
    entries = [Entry(path=f"{i}.wav", duration=1, sample_rate=8000, split=s) for i, s in enumerate(("train", "valid"))]
    write_manifest(tmp_path / "manifest.jsonl", entries)
    assert [entry.id for entry in read_manifest(tmp_path, "valid", missing="keep")] == ["1"]
    with pytest.raises(UserError, match="no entries of split 'test'"):
        read_manifest(tmp_path, "test")


@pytest.mark.parametrize("line", ["{", '{"path": "a.wav"}', '{"path": "a.wav", "duration": -1, "sample_rate": 8000}'])
def test_a_broken_line_is_named(line: str, tmp_path: Path):
    good = '{"path": "a.wav", "duration": 1, "sample_rate": 8000}\n'
    (tmp_path / "manifest.jsonl").write_text(good + line + "\n")
    with pytest.raises(UserError, match="line 2"):
        read_manifest(tmp_path)


# mtime=0, named ids: else a test's name holds the time of day, and two workers disagree.
@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"{}" * 99, mtime=0)[:-9], gzip.compress(b"\xff\xfe", mtime=0)],
    ids=["no gzip", "cut short", "no text"],
)
def test_a_damaged_manifest_is_told(content: bytes, tmp_path: Path):
    (tmp_path / "data.jsonl.gz").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a manifest"):
        read_manifest(tmp_path)


def test_a_folder_without_manifest_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="no manifest in"):
        manifest_path(tmp_path)
    with pytest.raises(UserError, match="no such manifest or folder"):
        manifest_path(tmp_path / "elsewhere")


def test_recordings_may_lie_anywhere_but_must_be_there(tmp_path: Path):
    (tmp_path / "here").mkdir()
    (tmp_path / "outside.wav").touch()
    rows = [{"path": path, "duration": 1, "sample_rate": 8000} for path in ("../outside.wav", "a.wav", "b.wav")]
    manifest = tmp_path / "here" / "manifest.jsonl"
    manifest.write_text(json.dumps(rows[0]))
    assert Path(read_manifest(manifest)[0].path).is_file()
    manifest.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(UserError, match=r"2 of 3 recordings .* the first is .*here/a\.wav"):
        read_manifest(manifest)
    assert len(read_manifest(manifest, missing="keep")) == 3


def test_a_split_that_was_never_chosen_is_not_written(tmp_path: Path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").touch()
    chosen = Entry(path=str(tmp_path / "b.wav"), duration=1, sample_rate=8000, split="train")
    entries = [Entry(path=str(tmp_path / "a.wav"), duration=1, sample_rate=8000), chosen]
    write_manifest(tmp_path / "manifest.jsonl.gz", entries)
    found = read_manifest(tmp_path / "manifest.jsonl.gz")
    assert [(entry.split, entry.has_split) for entry in found] == [("train", False), ("train", True)]


def test_metadata_beside_the_recording_is_read_where_the_manifest_has_none(tmp_path: Path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.wav").touch()
    (tmp_path / "a.json").write_text(json.dumps({"description": "Slow piano", "bpm": "70", "moods": "sad, calm"}))
    (tmp_path / "b.json").write_text(json.dumps({"description": "not read"}))
    with zipfile.ZipFile(tmp_path / "info.zip", "w") as packed:
        packed.writestr("inner/c.json", json.dumps({"description": "Fast drums", "genre": "Techno"}))
    base = {"duration": 1, "sample_rate": 8000, "amplitude": None, "weight": None, "info_path": None}
    rows = [
        {"path": "a.wav"} | base,
        {"path": "b.wav"} | base | {"captions": ["own words"]},
        {"path": "c.wav"} | base | {"info_path": "info.zip:inner/c.json"},
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    a, b, c = read_manifest(tmp_path)
    assert a.captions == ("Slow piano",)
    assert a.info == {"description": "Slow piano", "bpm": 70.0, "moods": ("sad", "calm")}
    assert (b.captions, b.info) == (("own words",), {})
    assert (c.captions, c.info["genre"]) == (("Fast drums",), "techno")
    write_manifest(tmp_path / "again.jsonl", [a, b, c])
    assert read_manifest(tmp_path / "again.jsonl") == [a, b, c]
    (tmp_path / "data.jsonl").write_text(json.dumps({"path": "c.wav"} | base | {"info_path": "info.zip:gone.json"}))
    with pytest.raises(UserError, match="info_path"):
        read_manifest(tmp_path)


def test_faults_beside_the_recordings_are_told_and_cost_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "a.wav").touch()
    (tmp_path / "a.json").write_text('{"bpm": "brisk", "genre": "Rock"}')
    row = {"path": "a.wav", "duration": 1, "sample_rate": 8000}
    for info_path in ({}, {"info_path": "a.json"}):
        caplog.clear()
        (tmp_path / "data.jsonl").write_text(json.dumps(row | info_path))
        assert read_manifest(tmp_path)[0].info == {"genre": "rock"}
        (record,) = caplog.records
        assert "1 faulty" in record.getMessage() and "bpm is 'brisk'" in record.getMessage()
