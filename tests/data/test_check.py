"""Checking a manifest: every way in which it can be wrong is told, and what is right stays."""

from pathlib import Path

import pytest

from cadenza.data import check as checking
from cadenza.data.check import check_manifest, drop_wrong
from cadenza.data.manifest import Entry, read_manifest, write_manifest
from cadenza.errors import UserError
from data.recordings import save, tune


def test_findings(tmp_path: Path):
    entries = []
    for number, (seconds, rate) in enumerate([(1.0, 16000), (1.5, 16000), (1.0, 8000), (1.0, 16000), (1.0, 16000)]):
        path = save(tune(number, 1.0), tmp_path / f"{number}.wav")
        split = "test" if number else "train"
        entries.append(
            Entry(path=str(path), duration=seconds, sample_rate=rate, split=split, info={"artist": "A"}, id="x")
        )
    (tmp_path / "3.wav").unlink()
    (tmp_path / "4.wav").write_bytes(b"x")
    write_manifest(tmp_path / "manifest.jsonl", entries)
    findings = check_manifest(tmp_path)
    assert findings.wrong == {
        1: "lasts 1.000 s, not 1.500",
        2: "has 16000 Hz, not 8000",
        3: "is not there",
        4: "cannot be read",
    }
    notes = "\n".join(findings.notes)
    assert "1 ids are given more than once" in notes
    assert "1 groups of one artist are in two splits" in notes
    assert "5 have no caption" in notes
    drop_wrong(findings)
    assert [Path(entry.path).name for entry in read_manifest(tmp_path)] == ["0.wav"]
    assert check_manifest(tmp_path).wrong == {}


@pytest.mark.parametrize("block", [300, 1])
def test_damage_within_a_file_is_found_by_decoding(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checking, "BLOCK_SECONDS", block)
    path = save(tune(0, 2.0), tmp_path / "a.flac")
    write_manifest(tmp_path / "manifest.jsonl", [Entry(path=str(path), duration=2.0, sample_rate=16000)])
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    assert check_manifest(tmp_path).wrong == {}
    assert list(check_manifest(tmp_path, decode=True).wrong) == [0]
    with pytest.raises(UserError, match="scan the folder again"):
        drop_wrong(check_manifest(tmp_path, decode=True))
