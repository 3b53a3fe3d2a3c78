"""Steps as CUDA graphs: recorded once per kind of step, replayed with one launch.

In: a step as a function that reads and writes fixed addresses, and a key that tells kinds apart. A step of a small
model is several hundred kernels of microseconds; launched one by one they leave the device idle most of the time.
"""

from collections.abc import Callable, Hashable
from typing import Any

import torch

Replay = Callable[[], None]


def record_cuda(step: Callable[[], None], pool: Any) -> Replay:
    """Record `step` on the current device without running it."""
    graph = torch.cuda.CUDAGraph()
    # Other threads (the codec's) may use the device meanwhile.
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        step()
    return graph.replay


class Graphs:
    """Runs steps, and from the second time that a kind is met, replays their recording.

    The first run is a plain one: it does its work, and sets up what libraries set up on first use, which must not be
    recorded. `record` is `record_cuda`, or a stand-in for tests.
    """

    def __init__(self, record: Callable[[Callable[[], None], Any], Replay] = record_cuda, pool: Any = None) -> None:
        self._record = record
        self._pool = pool
        self._met: set[Hashable] = set()
        self._replays: dict[Hashable, Replay] = {}

    @property
    def num_recorded(self) -> int:
        return len(self._replays)

    def run(self, key: Hashable, step: Callable[[], None]) -> None:
        """Do one step of this kind."""
        if key in self._replays:
            self._replays[key]()
        elif key in self._met:
            self._replays[key] = self._record(step, self._pool)
            self._replays[key]()
        else:
            self._met.add(key)
            step()

    def forget(self) -> None:
        """Throw all recordings away: addresses have changed."""
        self._replays.clear()
        self._met.clear()
