"""Decisions: the last one counts, each is on the disk at once, and no crash loses more than the line it was in."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cadenza.errors import CadenzaError, UserError
from cadenza.serve.decisions import Decisions


def test_the_last_decision_counts_and_can_be_taken_back(tmp_path: Path) -> None:
    made = Decisions(tmp_path / "review.jsonl")
    made.record(tmp_path / "a.wav", "keep")
    made.record(tmp_path / "b" / "c.wav", "drop")
    made.record(tmp_path / "a.wav", "drop")
    made.record(tmp_path / "b" / "c.wav", None)
    made.record("/elsewhere/d.wav", "keep")
    for decisions in (made, Decisions(tmp_path / "review.jsonl")):
        found = [decisions[name] for name in (tmp_path / "a.wav", tmp_path / "b" / "c.wav", "/elsewhere/d.wav")]
        assert found == ["drop", None, "keep"]
    rows = [json.loads(line) for line in (tmp_path / "review.jsonl").read_text().splitlines()]
    assert [row["path"] for row in rows] == ["a.wav", "b/c.wav", "a.wav", "b/c.wav", "/elsewhere/d.wav"]


def test_a_folder_that_moves_keeps_its_decisions(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    Decisions(tmp_path / "old" / "review.jsonl").record(tmp_path / "old" / "a.wav", "keep")
    (tmp_path / "old").rename(tmp_path / "new")
    assert Decisions(tmp_path / "new" / "review.jsonl")[tmp_path / "new" / "a.wav"] == "keep"


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_half_a_line_at_the_end_is_forgotten_and_the_file_goes_on(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "review.jsonl"
    first = Decisions(path)
    first.record(tmp_path / "a.wav", "keep")
    whole = path.read_bytes()
    first.record(tmp_path / "b.wav", "keep")
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    second = Decisions(path)
    assert (second[tmp_path / "a.wav"], second[tmp_path / "b.wav"]) == ("keep", None)
    second.record(tmp_path / "c.wav", "drop")
    third = Decisions(path)
    assert [third[tmp_path / name] for name in ("a.wav", "b.wav", "c.wav")] == ["keep", None, "drop"]


def test_a_last_line_without_its_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    path.write_text('{"path": "a.wav", "decision": "keep"}\n{"path": "b.wav", "decision": "drop"}')
    made = Decisions(path)
    made.record(tmp_path / "c.wav", "keep")
    for decisions in (made, Decisions(path)):
        assert [decisions[tmp_path / name] for name in ("a.wav", "b.wav", "c.wav")] == ["keep", "drop", "keep"]


def test_a_line_that_is_no_decision_is_refused(tmp_path: Path) -> None:
    (tmp_path / "review.jsonl").write_text(
        '{"path": "a.wav", "decision": "keep"}\n{"path": "b.wav", "decision": "?"}\n'
    )
    with pytest.raises(UserError, match=r"review.jsonl line 2 is no decision"):
        Decisions(tmp_path / "review.jsonl")


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Decisions(tmp_path / "review.jsonl")
    made.record(tmp_path / "a.wav", "keep")
    before = (tmp_path / "review.jsonl").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CadenzaError, match="No space left"):
        made.record(tmp_path / "a.wav", "drop")
    assert (tmp_path / "review.jsonl").read_bytes() == before
    assert made[tmp_path / "a.wav"] == "keep"


def test_a_process_that_is_killed_has_lost_nothing_it_had_recorded(tmp_path: Path) -> None:
    program = (
        "import itertools, sys; from cadenza.serve.decisions import Decisions; made = Decisions(sys.argv[1])\n"
        "for i in itertools.count(): made.record(f'{i}.wav', 'keep'); print(i, flush=True)"
    )
    path = tmp_path / "review.jsonl"
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout if line.endswith(b"\n")]
    after = Decisions(path)
    assert told[-1] >= 19
    assert all(after[tmp_path / f"{i}.wav"] == "keep" for i in told)
