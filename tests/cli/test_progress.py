"""The bars that `cadenza generate` shows on a terminal, and the lines of longer jobs."""

import io
import sys

from cadenza.cli import progress as module
from cadenza.cli.progress import CALLS, GenerationProgress, counter


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_music_and_diffusion_have_a_bar_each(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with GenerationProgress() as progress:
        progress.update(3, 10)
        progress.called(3, 160)
    assert "3.0 of 10.0 s of music" in terminal.getvalue()
    assert "3 of 160 calls of the diffusion" in terminal.getvalue()
    with GenerationProgress() as progress:
        progress.update(3, 10)
        progress.called(160, 160)
        before = len(terminal.getvalue())
    assert "of music" in terminal.getvalue()[before:]
    assert "diffusion" not in terminal.getvalue()[before:]


def test_no_bar_without_a_terminal(capsys):
    with GenerationProgress() as progress:
        progress.update(3, 10)
        progress.called(2, 160)
    assert capsys.readouterr() == ("", "")


def test_the_time_left_is_told_every_two_seconds(monkeypatch, capsys):
    times = iter([0.0, 1.0, 2.5, 3.0, 8.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(times))
    report = counter(CALLS)
    for done in (1, 2, 3.25, 4.5):
        report(done, 20)
    assert capsys.readouterr().err == (
        "2 of 20 calls of the diffusion, 27 s left\n4 of 20 calls of the diffusion, 31 s left\n"
    )
