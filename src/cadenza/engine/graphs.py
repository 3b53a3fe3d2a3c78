"""Steps as CUDA graphs: recorded once per kind of step, replayed with one launch.

In: a step as a function that reads and writes fixed addresses, and a key that tells kinds apart. A step of a small
model is several hundred kernels of microseconds; launched one by one they leave the device idle most of the time.
"""

import logging
import threading
from collections.abc import Callable, Hashable
from typing import Any

import torch

from cadenza.engine.memory import is_shortage

log = logging.getLogger("cadenza")

MOST_RECORDED = 32
"""Kinds of steps whose recordings are kept: five contexts of six kinds, and some."""

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
    recorded. They do so for each thread, so a kind counts as met in the thread that met it. Recordings share memory,
    for they are replayed one after another; the one least recently used makes room for a new one. Where recording does
    not work, steps stay plain. `record` is `record_cuda`, or a stand-in for tests; `new_pool` makes shared memory.
    """

    def __init__(
        self,
        record: Callable[[Callable[[], None], Any], Replay] = record_cuda,
        new_pool: Callable[[], Any] = torch.cuda.graph_pool_handle,
    ) -> None:
        self._record = record
        self._new_pool = new_pool
        self._pool: Any = None
        self._is_usable = True
        self._met: set[tuple[int, Hashable]] = set()
        self._replays: dict[Hashable, Replay] = {}

    @property
    def num_recorded(self) -> int:
        return len(self._replays)

    def run(self, key: Hashable, step: Callable[[], None]) -> None:
        """Do one step of this kind."""
        here = (threading.get_ident(), key)
        replay = self._replays.pop(key, None)
        if replay is None and self._is_usable and here in self._met:
            replay = self._recorded(step)
        if replay is None:
            self._met.add(here)
            step()
        else:
            self._replays[key] = replay  # the last one used is the last one to go
            replay()

    def forget(self) -> None:
        """Throw all recordings away: addresses have changed."""
        self._replays.clear()
        self._met.clear()

    def _recorded(self, step: Callable[[], None]) -> Replay | None:
        if not self._replays:  # a pool ends with its last recording
            self._pool = self._new_pool()
        try:
            replay = self._record(step, self._pool)
        except RuntimeError as error:
            if is_shortage(error):
                raise
            log.warning("steps cannot be recorded here, generation is slower: %s", str(error).partition("\n")[0])
            self._is_usable = False
            return None
        if len(self._replays) == MOST_RECORDED:  # recording has waited for the device: nobody runs what goes
            del self._replays[next(iter(self._replays))]
        return replay
