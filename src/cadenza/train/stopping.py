"""The wish that a run ends early: a signal, or the time that it was given."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INSIST_SECONDS = 1.0
"""A terminal and `torchrun` both pass the same Ctrl-C on: what comes sooner than this is no second wish."""


@contextmanager
def stop_wishes(say: Callable[[str], None], minutes: float | None = None) -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether to stop: after SIGINT, SIGTERM, or `minutes`.

    A second signal acts as usual.
    """
    asked: list[float] = []
    deadline = None if minutes is None else time.monotonic() + 60 * minutes

    def handle(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not asked:
            asked.append(now)
            say("stopping after this update")
        elif now - asked[0] > INSIST_SECONDS:
            signal.signal(number, handlers[number])
            signal.raise_signal(number)

    handlers: dict[int, Any] = {}
    try:
        for asking in (signal.SIGINT, signal.SIGTERM):
            handlers[asking] = signal.getsignal(asking)
            signal.signal(asking, handle)
    except ValueError:
        handlers.clear()  # only the main thread may set handlers
    try:
        yield lambda: bool(asked) or (deadline is not None and time.monotonic() >= deadline)
    finally:
        for number, previous in handlers.items():
            signal.signal(number, previous)
