"""How far a song is: over all levels, in what a code costs at each."""

import io
import sys
from itertools import pairwise

import pytest

from cadenza.cli import jukebox_progress as module
from cadenza.cli.jukebox_progress import SongProgress
from cadenza.pipelines.jukebox_making import JukeboxProgress
from cadenza.testing import tiny_jukebox


def codes(top: int) -> list[JukeboxProgress]:
    """What is told of a song with so many codes at the top."""
    told, in_all, before = [], 21 * top, 0
    for level, total in ((2, top), (1, 4 * top), (0, 16 * top)):
        told += [JukeboxProgress(before + done, in_all, level, done, total) for done in range(1, total + 1)]
        before += total
    return told


@pytest.fixture
def progress() -> SongProgress:
    return SongProgress(tiny_jukebox(), every_seconds=0.0)


def test_what_is_left_falls_to_nothing_by_what_a_code_costs(progress: SongProgress) -> None:
    progress._costs = {2: 100.0, 1: 10.0, 0: 1.0}
    left = [progress._left(now) for now in codes(3)]
    steps = [round(before - after, 6) for before, after in pairwise(left)]
    assert left[0] == pytest.approx(2 * 100 + 12 * 10 + 48 * 1)
    assert left[-1] == 0
    assert all(step > 0 for step in steps)
    assert (steps[0], steps[-1]) == (100, 1)


def test_levels_that_are_not_asked_for_cost_nothing(progress: SongProgress) -> None:
    progress._costs = {2: 100.0, 1: 10.0, 0: 1.0}
    assert progress._left(JukeboxProgress(3, 3, 2, 3, 3)) == 0


def test_lines_without_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    progress = SongProgress(tiny_jukebox(), every_seconds=60.0)
    progress._costs = dict.fromkeys(range(3), 1.0)
    for now in codes(3):
        progress.song(now)
        clock[0] += 10.0
    assert capsys.readouterr().err.splitlines()[:2] == [
        "level 1: 0.0 of 0.1 s, 9 min left in all",
        "level 1: 0.1 of 0.1 s, 8 min left in all",
    ]


def test_a_bar_on_a_terminal(progress: SongProgress, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress:
        progress.song(JukeboxProgress(3 + 12 + 40, 63, 0, 40, 48))
    assert "level 0, the last: 0.1 of 0.1 s" in terminal.getvalue()
