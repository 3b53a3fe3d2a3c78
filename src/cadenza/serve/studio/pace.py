"""How fast models play, and so how long what is asked for will take.

In: chunks, as they come. Out: seconds until a piece is done. A piece plays at its own pace; what waits is played at the
pace of all that are played at once.
"""

import threading
import time
from collections.abc import Callable

_WEIGHT = 0.2
"""Of the newest chunk in the running mean."""


class Pace:
    """Seconds of sound that one take of a model grows by in a second, as last measured."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rates: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._silent: set[str] = set()
        self.on_first: Callable[[float], None] = lambda seconds: None
        """Is told, of every take, the seconds until its first sound."""
        self.seconds_made = 0.0
        """Of sound, since the studio was opened."""

    def begin(self, take: str) -> None:
        with self._lock:
            self._last[take] = self._clock()
            self._silent.add(take)

    def heard(self, take: str, model: str, seconds: float) -> None:
        """A chunk has come."""
        with self._lock:
            now = self._clock()
            took = max(now - self._last.get(take, now), 1e-3)
            self._last[take] = now
            if take in self._silent:
                self._silent.discard(take)
                self.on_first(took)
            # Rates are means over time, not over chunks: a long chunk counts for more.
            weight = 1 - (1 - _WEIGHT) ** max(took, 0.05)
            rate = seconds / took
            known = self._rates.get(model)
            self._rates[model] = rate if known is None else known + weight * (rate - known)
            self.seconds_made += seconds

    def end(self, take: str) -> None:
        with self._lock:
            self._last.pop(take, None)
            self._silent.discard(take)

    def rate(self, model: str) -> float | None:
        """Seconds of sound in a second, of one take; None: not known yet."""
        return self._rates.get(model)

    def rates(self) -> dict[str, float]:
        return dict(self._rates)
