"""`cadenza data filter` and `cadenza data review --apply`, as they are typed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cadenza.data.manifest import Entry, read_manifest, write_manifest
from cadenza.serve.decisions import Decisions
from cadenza.testing import noise, tone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sounds = {"hiss": noise(3.0, 16000), "tone": tone(440.0, 3.0, 16000)}
    for name, audio in sounds.items():
        audio.write(tmp_path / f"{name}.wav", None)
    entries = [Entry(path=str(tmp_path / f"{name}.wav"), duration=3.0, sample_rate=16000) for name in sounds]
    write_manifest(tmp_path / "manifest.jsonl", entries)
    return tmp_path


def test_filter(cadenza: Callable, folder: Path) -> None:
    done = cadenza("data", "filter", folder, "--drop", "noise, vocals", "--threshold", "0.6")
    assert done.code == 0
    assert done.out.splitlines() == [
        f"{folder / 'tagged.jsonl'}: 2 recordings with tags",
        f"{folder / 'filtered.jsonl'}: 1 kept",
        f"{folder / 'dropped.jsonl'}: 1 left out, with the reasons",
    ]
    assert "hears talk but not singing" in done.err
    assert [entry.id for entry in read_manifest(folder / "filtered.jsonl")] == ["tone"]
    assert np.isclose(read_manifest(folder / "tagged.jsonl")[0].tags["content"]["noise"], 1.0, atol=0.1)


def test_filter_says_what_to_put_right(cadenza: Callable, folder: Path) -> None:
    done = cadenza("data", "filter", folder, "--drop", "hiss")
    assert (done.code, done.err) == (2, "cadenza: cannot drop 'hiss': choose among vocals, noise, non-music\n")
    assert cadenza("data", "filter", folder / "nowhere").code == 2


def test_review_writes_what_was_kept_without_a_page(cadenza: Callable, folder: Path) -> None:
    refused = cadenza("data", "review", folder, "--apply")
    assert (refused.code, "nothing is kept yet" in refused.err) == (2, True)
    Decisions(folder / "review.jsonl").record(folder / "tone.wav", "keep")
    done = cadenza("data", "review", folder, "--apply")
    assert done.code == 0
    assert done.out.splitlines() == [
        f"{folder / 'review.jsonl'}: 1 kept, 0 dropped, 1 not decided",
        str(folder / "reviewed.jsonl"),
    ]
    assert [entry.id for entry in read_manifest(folder / "reviewed.jsonl")] == ["tone"]
