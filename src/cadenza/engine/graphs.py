"""Steps as CUDA graphs: recorded once per kind of step, replayed with one launch.

In: a step as a function that reads and writes fixed addresses, and a key that tells kinds apart. A step of a small
model is several hundred kernels of microseconds; launched one by one they leave the device idle most of the time.
"""

import threading
from collections.abc import Callable, Hashable
from typing import Any

import torch

Replay = Callable[[], None]

_ONE_AT_A_TIME = threading.Lock()
"""Torch records one graph at a time in a process: all recordings share a stream, and each begins with a wait for the
device, which would break another that is under way."""


def record_cuda(step: Callable[[], None], pool: Any) -> Replay:
    """Record `step` on the current device without running it."""
    graph = torch.cuda.CUDAGraph()
    with _ONE_AT_A_TIME:
        stream = torch.cuda.current_stream()
        try:
            # Other threads (an audio prompt on its way in) may use the device meanwhile.
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
                step()
        except BaseException:
            torch.cuda.set_stream(stream)  # a recording that breaks leaves its own behind
            raise
    return graph.replay


class Graphs:
    """Runs steps, and from the second time that a kind is met, replays their recording.

    The first run is a plain one: it does its work, and sets up what libraries set up on first use, which must not be
    recorded. They do so for each thread, so a kind counts as met in the thread that met it. `record` is `record_cuda`,
    or a stand-in for tests.
    """

    def __init__(self, record: Callable[[Callable[[], None], Any], Replay] = record_cuda, pool: Any = None) -> None:
        self._record = record
        self._pool = pool
        self._met: set[tuple[int, Hashable]] = set()
        self._replays: dict[Hashable, Replay] = {}

    @property
    def num_recorded(self) -> int:
        return len(self._replays)

    def run(self, key: Hashable, step: Callable[[], None]) -> None:
        """Do one step of this kind."""
        here = (threading.get_ident(), key)
        if key in self._replays:
            self._replays[key]()
        elif here in self._met:
            self._replays[key] = self._record(step, self._pool)
            self._replays[key]()
        else:
            self._met.add(here)
            step()

    def forget(self) -> None:
        """Throw all recordings away: addresses have changed."""
        self._replays.clear()
        self._met.clear()
