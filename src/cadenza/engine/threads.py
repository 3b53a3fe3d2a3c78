"""Threads that hold up under load: as many as help, found out while the steps of a model run.

In: how long each step took. Out: torch's thread count, changed between steps. A step of a model is hundreds of small
parallel pieces, and each waits for its slowest thread: a thread that another program keeps off its core holds up all
the others, which burn their cores in waiting. Two threads then are many times slower than one.

Rules of torch on a CPU, found by experiment (2.13, OpenMP of GCC): `torch.set_num_threads` sets the count of the
Python thread that calls it, and what threads begin with that have not yet used torch; it leaves other running threads
alone. Each Python thread that computes in parallel has its own team of threads. So of two Python threads that compute
at the same time, the one with the lesser work must call `torch.set_num_threads(1)` before its first computation, or
the two teams fight for the same cores.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean

import torch

from cadenza.engine.cores import CoreMeter, usable_cores

_SLOW = 1.4  # this many times the usual step: something may be wrong
_BETTER = 0.93  # another count must beat the present one by this much, or noise would move us
_NO_WORSE = 1.15  # fewer threads that cost no more than this: still fewer may help
_RECENT, _LONG = 6, 32  # steps looked at: to see trouble at once, and to see what comes now and then
_TRIAL = 4  # steps of a trial; the first is not counted: caches and the team of threads are new
_WAIT_SECONDS = 0.3  # with steps so slow, two are enough to look at
_PROVEN = 200  # steps after which a higher count was no mistake, whatever comes later
_HOPELESS = 3.0  # a trial ends when one step takes so many times what it should beat
_SHARE = 0.03  # of all time may be lost in trying counts that turn out slower
_CREDIT_SECONDS = 0.3  # what may be lost at once, before that time has passed
_PAUSE_SECONDS = 0.5  # between two tries of a higher count
_BLIND_PAUSE_SECONDS = 5.0  # the same where nobody can say whether a core is free


_decided: int | None = None


def decide_threads(count: int | None) -> None:
    """The user's own word (`--threads`): so many threads from now on, whatever happens. None: take it back."""
    global _decided
    _decided = count
    if count is not None:
        torch.set_num_threads(count)


def decided_threads() -> int | None:
    """The number of threads that the user decided on, in words to Cadenza or with `OMP_NUM_THREADS`; if any."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return _decided or (int(first) if first.isdigit() and int(first) > 0 else None)


class ThreadGovernor:
    """Chooses the thread count of the Python thread that runs the steps of a model.

        with ThreadGovernor() as governor:
            for ...:
                with governor.measure():
                    ...  # one step

    An explicit `count`, or one that the user decided on, is obeyed as it is. Otherwise the first step runs with as many
    threads as there are cores that nobody else uses, at most the physical ones and torch's own count. When steps become
    slow it tries fewer threads, and keeps them if that is faster; when cores are free it tries more. What is compared
    lies moments apart, so a context that grows does not mislead it, and what trials lose is bounded: 3 % of the time.
    One governor serves the one Python thread that makes it; `close` gives back the count that was found.
    """

    def __init__(
        self,
        count: int | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        get_threads: Callable[[], int] = torch.get_num_threads,
        set_threads: Callable[[int], None] = torch.set_num_threads,
        cores: Callable[[], int] = usable_cores,
        meter: CoreMeter | None = None,
    ) -> None:
        self._clock = clock
        self._set_threads = set_threads
        self._found = get_threads()
        fixed = count or decided_threads()
        self._ladder = (fixed,) if fixed else _ladder(max(1, min(cores(), self._found)))
        self._rung = 0
        self._adapts = len(self._ladder) > 1
        self._meter = meter or CoreMeter()
        self._started = False
        self._timer = _Timer(self)
        self._size = 1
        self._usual: dict[int, float] = {}  # size of a step -> seconds it takes at this count when all is well
        self._times: deque[float] = deque(maxlen=_LONG)
        self._trial: _Trial | None = None
        self._down_losses, self._up_losses = _Losses(), _Losses()
        self._last_climb = clock()
        self._since_climb: list[float] = []  # steps at a count that was raised: a loss, should it prove a mistake
        self._apply()

    @property
    def count(self) -> int:
        """Threads in use now."""
        return self._ladder[self._rung] if self._trial is None else self._ladder[self._trial.rung]

    def measure(self, size: int = 1) -> "_Timer":
        """Put this around each step. Only steps of the same `size` are compared (such as rows times positions)."""
        self._timer.size = size
        return self._timer

    def close(self) -> None:
        """Give back the thread count that was found."""
        self._set_threads(self._found)

    def __enter__(self) -> "ThreadGovernor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what the timer calls -----------------------------------------------------------------------------------

    def begin(self) -> float:
        if not self._started:
            self._started = True
            if self._adapts:
                self._start()
        return self._clock()

    def end(self, size: int, began: float) -> None:
        """Take note of a step, and decide about the next one."""
        if not self._adapts:
            return
        seconds = self._clock() - began
        self._down_losses.earn(seconds)
        self._up_losses.earn(seconds)
        if size != self._size:  # other steps: what was seen says nothing about them
            self._size = size
            self._forget()
        elif self._trial is not None:
            self._try_on(self._trial, seconds)
        else:
            self._watch(seconds)

    # ---- decisions ----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._meter.wait()
        free = self._meter.free_cores()
        if free is not None:
            wanted = max(1, int(free + 0.5))
            self._rung = next(rung for rung, count in enumerate(self._ladder) if count <= wanted)
            self._apply()

    def _watch(self, seconds: float) -> None:
        times = self._times
        times.append(seconds)
        if self._since_climb:
            self._since_climb.append(seconds)
            if len(self._since_climb) > _PROVEN:
                self._since_climb = []
        if len(times) < 2 or (len(times) < _TRIAL and sum(times) < _WAIT_SECONDS):
            return
        recent = _typical(list(times)[-_RECENT:])
        slow = _typical(times) if len(times) == _LONG else recent
        usual = self._usual.get(self._size)
        if usual is None or max(recent, slow) > _SLOW * usual:
            if self._rung + 1 < len(self._ladder) and self._down_losses.affordable:
                # Trouble that has just begun shows in the last three steps alone.
                self._trial = _Trial(self._rung + 1, max(_typical(list(times)[-3:]), slow))
                self._apply()
            else:
                self._usual[self._size] = recent
        else:
            self._usual[self._size] = min(usual, recent)
            if self._rung > 0 and self._may_climb():
                self._trial = _Trial(self._rung - 1, recent)
                self._apply()

    def _may_climb(self) -> bool:
        now = self._clock()
        if now - self._last_climb < _PAUSE_SECONDS or not self._up_losses.affordable:
            return False
        free = self._meter.free_cores()
        if free is None:
            return now - self._last_climb >= _BLIND_PAUSE_SECONDS
        return free + 0.4 >= self._ladder[self._rung - 1]

    def _try_on(self, trial: "_Trial", seconds: float) -> None:
        trial.times.append(seconds)
        climbs = trial.rung < self._rung
        hopeless = seconds > _HOPELESS * trial.rival and (len(trial.times) > 1 or seconds > _WAIT_SECONDS)
        if len(trial.times) < _TRIAL and not hopeless:
            return
        result = _typical(trial.times[1:] or trial.times)
        losses = self._up_losses if climbs else self._down_losses
        if climbs:
            self._last_climb = self._clock()
        if hopeless or result >= _BETTER * trial.rival:
            losses.add(trial.times, trial.rival)
            self._usual[self._size] = trial.rival
            if not climbs and result < _NO_WORSE * trial.rival and trial.rung + 1 < len(self._ladder):
                # With so many neighbours one thread less changes nothing: look twice as far down.
                rung = min(2 * trial.rung - self._rung, len(self._ladder) - 1)
                self._trial = _Trial(rung, trial.rival)
                self._apply()
                return
        else:
            self._rung = trial.rung
            self._usual.clear()
            if climbs:
                self._usual[self._size] = result
                self._since_climb = list(trial.times)
            elif self._since_climb:
                self._up_losses.add(self._since_climb, result)
                self._since_climb = []
        self._forget()

    def _forget(self) -> None:
        self._times.clear()
        self._trial = None
        self._apply()

    def _apply(self) -> None:
        self._set_threads(self.count)


@dataclass
class _Trial:
    """Some steps on another rung, to see whether they beat `rival` seconds."""

    rung: int
    rival: float
    times: list[float] = field(default_factory=list)


class _Losses:
    """Seconds that may be lost in trials: a share of the time that steps take, saved up to the credit."""

    def __init__(self) -> None:
        self._left = _CREDIT_SECONDS

    def earn(self, seconds: float) -> None:
        self._left = min(_CREDIT_SECONDS, self._left + _SHARE * seconds)

    def add(self, times: list[float], rival: float) -> None:
        self._left -= max(0.0, sum(times) - len(times) * rival)

    @property
    def affordable(self) -> bool:
        return self._left >= 0


class _Timer:
    """Times one step. Steps that fail are not counted."""

    def __init__(self, governor: ThreadGovernor) -> None:
        self._governor = governor
        self._began = 0.0
        self.size = 1

    def __enter__(self) -> None:
        self._began = self._governor.begin()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._governor.end(self.size, self._began)


def _ladder(most: int) -> tuple[int, ...]:
    """Counts worth trying, falling: one core lost to a neighbour first, then a quarter fewer each time."""
    counts = [most]
    while counts[-1] > 1:
        last = counts[-1]
        counts.append(last - 1 if last == most else last - max(1, last // 4))
    return tuple(counts)


def _typical(times: "deque[float] | list[float]") -> float:
    """The mean without the largest: one hiccup is nothing, two are a pattern."""
    return (sum(times) - max(times)) / (len(times) - 1) if len(times) > 1 else fmean(times)
