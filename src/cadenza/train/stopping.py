"""The wish that a run ends early: a signal, or the time that it was given."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

INSIST_SECONDS = 1.0
"""A terminal and `torchrun` both pass the same Ctrl-C on: what comes sooner than this is no second wish."""
SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
"""Ctrl-C; a scheduler or `kill`; a terminal that was closed."""


class Wishes(NamedTuple):
    """Which of `SIGNALS` has asked, and whether time is up."""

    signals: tuple[bool, ...]
    time: bool


@contextmanager
def stop_wishes(say: Callable[[str], None], minutes: float | None = None) -> Iterator[Callable[[], Wishes]]:
    """Yield a function that tells what asks to stop by now.

    A second Ctrl-C acts as usual. Another SIGTERM changes nothing: schedulers send it to every process of a job, and
    `torchrun` passes it on to some of them once more. Signals that are ignored, as behind `nohup`, stay so.
    """
    asked: list[int] = []
    began = time.monotonic()
    first = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if not asked:
            asked.append(number)
            first = now
            say("stopping after this update")
        elif number == signal.SIGINT and now - first > INSIST_SECONDS:
            signal.signal(number, handlers[number])
            signal.raise_signal(number)

    def wishes() -> Wishes:
        late = minutes is not None and time.monotonic() - began >= 60 * minutes
        return Wishes(tuple(number in asked for number in SIGNALS), late)

    handlers: dict[int, Any] = {}
    try:
        for asking in SIGNALS:
            previous = signal.getsignal(asking)
            if previous is not signal.SIG_IGN:
                signal.signal(asking, handle)
                handlers[asking] = previous
    except ValueError:
        pass  # only the main thread may set handlers
    try:
        yield wishes
    finally:
        for number, previous in handlers.items():
            signal.signal(number, previous)
