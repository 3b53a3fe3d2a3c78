"""Hugging Face data sets, made here and read from disk: no network, no decoder of theirs."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.data.hub import import_hub
from cadenza.data.manifest import read_manifest
from cadenza.errors import UserError
from data.recordings import save, tune


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Two splits with sound as bytes, as the Hub has it."""

    def part(seeds: list[int]) -> datasets.Dataset:
        rows = []
        for seed in seeds:
            path = save(tune(seed, 1.0), tmp_path / "source" / f"{seed}{'.mp3' if seed % 2 else '.wav'}")
            sound = {"bytes": path.read_bytes(), "path": path.name}
            rows.append({"audio": sound, "caption": f"Tune {seed}", "genre": ["Jazz", "Blues"], "mood": 1})
        rows.append({"audio": {"bytes": b"x", "path": "bad.wav"}, "caption": "Bad", "genre": [], "mood": 0})
        features = datasets.Features(
            {
                "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
                "caption": datasets.Value("string"),
                "genre": datasets.Sequence(datasets.Value("string")),
                "mood": datasets.ClassLabel(names=["sad", "glad"]),
            }
        )
        # Through a cast: to encode sound, `datasets` would want torchcodec.
        return datasets.Dataset.from_list(rows, features=features).cast_column("audio", datasets.Audio(decode=False))

    whole = datasets.DatasetDict({"train": part([0, 1]), "validation": part([2])})
    whole.save_to_disk(str(tmp_path / "stored"))
    return tmp_path / "stored"


def test_a_stored_data_set(stored: Path, tmp_path: Path):
    out = tmp_path / "out"
    report = import_hub(stored, out)
    entries = read_manifest(out)
    assert report.entries == entries
    found = {entry.id: (Path(entry.path).suffix, entry.split, entry.captions) for entry in entries}
    assert found == {
        "train-000000": (".wav", "train", ("Tune 0",)),
        "train-000001": (".mp3", "train", ("Tune 1",)),
        "validation-000000": (".wav", "valid", ("Tune 2",)),
    }
    assert entries[0].info == {"genre": "jazz, blues"}
    assert sorted(item.path for item in report.skipped) == ["audio/train-000002", "audio/validation-000001"]
    # The bytes are those of the source, and are not written again.
    first = Path(entries[0].path)
    assert first.read_bytes() == (tmp_path / "source" / "0.wav").read_bytes()
    time = first.stat().st_mtime_ns
    assert import_hub(stored, out).entries == entries
    assert first.stat().st_mtime_ns == time


def test_one_split_some_rows(stored: Path, tmp_path: Path):
    report = import_hub(stored, tmp_path / "out", "audio", "caption", "train", limit=1)
    assert [(entry.id, entry.has_split) for entry in report.entries] == [("train-000000", False)]


def test_plain_samples_become_flac(tmp_path: Path):
    audio = tune(5, 1.0)
    rows = {"sound": [{"array": audio.samples[0].tolist(), "sampling_rate": 16000}], "text": [["one", "two"]]}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "stored"))
    (entry,) = import_hub(tmp_path / "stored", tmp_path / "out").entries
    assert entry.captions == ("one", "two")
    # 16 bits: half a step, and the scale of 32767 instead of 32768.
    assert np.abs(Audio.read(entry.path).samples - audio.samples).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.jsonl", json.dumps({"file_name": "a.wav", "text": "A tune"})),
        ("metadata.csv", "file_name,text\na.wav,A tune"),
    ],
)
def test_a_folder_of_audio_with_a_table(name: str, content: str, tmp_path: Path):
    save(tune(1, 1.0), tmp_path / "folder" / "a.wav")
    (tmp_path / "folder" / name).write_text(content + "\n")
    (entry,) = import_hub(tmp_path / "folder", tmp_path / "out").entries
    assert entry.captions == ("A tune",)
    (tmp_path / "folder" / name).unlink()
    with pytest.raises(UserError, match=r"^\S*folder: neither .* use `cadenza data scan`$"):
        import_hub(tmp_path / "folder", tmp_path / "out")


def test_two_sources_never_mix(stored: Path, tmp_path: Path):
    import_hub(stored, tmp_path / "out", limit=1)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "metadata.jsonl").write_text('{"file_name": "a.wav", "caption": "Another"}')
    with pytest.raises(UserError, match=r"holds recordings of .*stored"):
        import_hub(tmp_path / "folder", tmp_path / "out")
    with pytest.raises(UserError, match="or of another column"):
        import_hub(stored, tmp_path / "out", "caption")
    assert [entry.captions for entry in import_hub(stored, tmp_path / "out").entries][:2] == [("Tune 0",), ("Tune 1",)]


def test_mistakes(stored: Path, tmp_path: Path):
    with pytest.raises(UserError, match="no split 'other'; there are train, validation"):
        import_hub(stored, tmp_path / "out", split="other")
    with pytest.raises(UserError, match="no column 'x'; there are audio, caption"):
        import_hub(stored, tmp_path / "out", "x")
    with pytest.raises(UserError, match="no column 'y'"):
        import_hub(stored, tmp_path / "out", caption_column="y")
    with pytest.raises(UserError, match="none of 2 files can be used"):
        import_hub(stored, tmp_path / "out", "caption", split="validation")
    assert "Tune 2: No such file" in (tmp_path / "out" / "skipped.jsonl").read_text()
    with pytest.raises(UserError, match="give 1 or more"):
        import_hub(stored, tmp_path / "out", limit=0)
