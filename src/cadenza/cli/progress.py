"""How far the music is, and a gentle Ctrl-C."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import typer

CALLS = "calls of the diffusion"


class GenerationProgress:
    """A bar on stderr with seconds of audio made and time left; the first Ctrl-C asks to stop, the second insists.

    Use as a context manager; give `update` and `should_stop` to `generate`. Without a terminal there is no bar.
    """

    def __init__(self) -> None:
        self.stopped = False
        self.made_seconds = 0.0
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._previous: object = None

    def __enter__(self) -> "GenerationProgress":
        self._previous = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)  # type: ignore[arg-type]
        if self._bar is not None:
            self._bar.stop()

    def should_stop(self) -> bool:
        return self.stopped

    def update(self, made_seconds: float, total_seconds: float) -> None:
        self.made_seconds = made_seconds
        self._show("music", made_seconds, total_seconds, f"{made_seconds:.1f} of {total_seconds:.1f} s of music")

    def called(self, done: int, in_all: int) -> None:
        """A diffusion decoder at work on a piece of the music: a second bar, which goes when the piece is done."""
        self._show("diffusion", done, in_all, f"{done} of {in_all} {CALLS}")
        if done == in_all and self._bar is not None:
            self._bar.remove_task(self._tasks.pop("diffusion"))

    def _show(self, task: str, done: float, in_all: float, words: str) -> None:
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            bar = Progress(
                BarColumn(24),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=Console(stderr=True),
                transient=True,
            )
            bar.start()
            self._bar = bar
        if task not in self._tasks:
            self._tasks[task] = self._bar.add_task("", total=in_all)
        self._bar.update(self._tasks[task], completed=done, description=words)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True
        print("cadenza: stopping, what is made will be kept (Ctrl-C again to give it up)", file=sys.stderr)


def counter(unit: str, every_seconds: float = 2.0) -> Callable[[float, int], None]:
    """A function `(done, total)` that says now and then on stderr how far a long job is: `12 of 90 files, 3 min left`.

    The time left is judged by what was done since the first call, so that work found done does not count; a part of
    one counts as such.
    """
    start: tuple[float, float] | None = None
    shown = time.monotonic()

    def report(done: float, total: int) -> None:
        nonlocal start, shown
        now = time.monotonic()
        if start is None:
            start = (now, done)
        if now - shown < every_seconds:
            return
        shown = now
        began, before = start
        left = (total - done) * (now - began) / (done - before) if done > before else None
        words = "" if left is None else f", {left:.0f} s left" if left < 90 else f", {left / 60:.0f} min left"
        print(f"{int(done)} of {total} {unit}{words}", file=sys.stderr, flush=True)

    return report


@contextmanager
def resumable() -> Iterator[None]:
    """Around a job that goes on where it stopped: says so at Ctrl-C (exit code 130)."""
    try:
        yield
    except KeyboardInterrupt:
        print("cadenza: interrupted; give the same command to go on", file=sys.stderr)
        raise typer.Exit(130) from None
