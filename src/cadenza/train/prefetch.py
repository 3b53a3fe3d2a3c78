"""Batches drawn ahead: a thread prepares the next ones while the model learns from this one.

In: a batch source. Out: the same batches in the same order, and how long the trainer waited for them. A batch is a
function of its number alone, so nothing depends on how far ahead the thread is, and a resumed run needs no state of it.
"""

import queue
import threading
import time
from typing import NamedTuple

from torch import Tensor

from cadenza.data.batches import Batch, BatchSource

_PATIENCE = 0.1
"""Seconds after which a thread that waits for room looks whether it is still wanted."""


class _Drawn(NamedTuple):
    batch: Batch | None
    error: BaseException | None


class Ahead:
    """A batch source that stays up to `depth` batches ahead of whoever asks for them one after the other.

    An error in drawing a batch is raised where that batch is asked for. With `pin`, batches lie in memory that a GPU
    copies from while it computes. Call `close`, or use it in a `with`, to end the thread.
    """

    def __init__(self, source: BatchSource, depth: int = 2, pin: bool = False) -> None:
        assert depth > 0, "0 batches ahead need no thread"
        self.source, self.depth, self.pin = source, depth, pin
        self.waited_seconds = 0.0
        """How long callers have waited in all."""
        self._next = 0
        self._thread: threading.Thread | None = None
        self._unwanted = threading.Event()
        self._queue: queue.Queue[_Drawn] = queue.Queue()

    def batch(self, index: int) -> Batch:
        """Batch `index` of the source. Any order works; only the next one in turn can be there already."""
        start = time.perf_counter()
        if self._thread is None or index != self._next:
            self.close()
            self._begin(index)
        drawn = self._queue.get()
        self._next = index + 1
        self.waited_seconds += time.perf_counter() - start
        if drawn.error is not None:
            self.close()
            raise drawn.error
        assert drawn.batch is not None
        return drawn.batch

    def close(self) -> None:
        """End the thread; asking for a batch begins anew."""
        if self._thread is not None:
            self._unwanted.set()
            self._thread.join()
            self._thread = None

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, index: int) -> None:
        # Both are new, so that what a former thread left behind is nowhere.
        self._unwanted, self._queue = threading.Event(), queue.Queue(self.depth)
        self._thread = threading.Thread(
            target=self._draw, args=(index, self._queue, self._unwanted), name="batches", daemon=True
        )
        self._thread.start()

    def _draw(self, index: int, drawn: "queue.Queue[_Drawn]", unwanted: threading.Event) -> None:
        while not unwanted.is_set():
            try:
                item = _Drawn(self._pinned(self.source.batch(index)), None)
            except BaseException as error:  # whatever it is, it belongs to the trainer
                item = _Drawn(None, error)
            while not unwanted.is_set():
                try:
                    drawn.put(item, timeout=_PATIENCE)
                    break
                except queue.Full:
                    continue
            if item.error is not None:
                return
            index += 1

    def _pinned(self, batch: Batch) -> Batch:
        if not self.pin:
            return batch
        return {name: value.pin_memory() if isinstance(value, Tensor) else value for name, value in batch.items()}
