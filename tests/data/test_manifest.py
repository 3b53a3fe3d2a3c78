"""Manifests: ours, audiocraft's, and broken ones."""

import gzip
import json
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
    (found,) = read_manifest(tmp_path)
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
    (entry,) = read_manifest(tmp_path)
    assert (entry.path, entry.id, entry.split, entry.weight) == ("/music/b.wav", "b", "train", None)


def test_splits_are_selected(tmp_path: Path):
    entries = [Entry(path=f"{i}.wav", duration=1, sample_rate=8000, split=s) for i, s in enumerate(("train", "valid"))]
    write_manifest(tmp_path / "manifest.jsonl", entries)
    assert [entry.id for entry in read_manifest(tmp_path, "valid")] == ["1"]
    with pytest.raises(UserError, match="no entries of split 'test'"):
        read_manifest(tmp_path, "test")


@pytest.mark.parametrize("line", ["{", '{"path": "a.wav"}', '{"path": "a.wav", "duration": -1, "sample_rate": 8000}'])
def test_a_broken_line_is_named(line: str, tmp_path: Path):
    good = '{"path": "a.wav", "duration": 1, "sample_rate": 8000}\n'
    (tmp_path / "manifest.jsonl").write_text(good + line + "\n")
    with pytest.raises(UserError, match="line 2"):
        read_manifest(tmp_path)


def test_a_folder_without_manifest_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="no manifest in"):
        manifest_path(tmp_path)
