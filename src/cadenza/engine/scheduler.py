"""Continuous batching: jobs come and go while the others go on, between any two steps.

In: jobs, each a chain of runs. Out: calls to the jobs as their sequences grow. One thread calls `step` until there is
nothing to do; `submit` may be called from any. A job that fails or is cancelled leaves the others as they are.
"""

from collections import deque
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor

from cadenza.engine.memory import orderly_shortage
from cadenza.engine.slots import Run, Slots


@runtime_checkable
class Job(Protocol):
    """What the scheduler runs. All calls come from the thread that steps."""

    @property
    def is_cancelled(self) -> bool:
        """True: give its slot to another before the next step."""

    @property
    def is_waiting(self) -> bool:
        """True: pass it over, it keeps its slot (nobody has taken what it made)."""

    def next_run(self) -> Run | None:
        """What to run first, or after the run before has ended; None: that was all."""

    def stepped(self, sequence: Int[Tensor, "K S"], step: int) -> None:
        """The sequence (on the device, still growing) is filled up to and with this step."""

    def ended(self, error: BaseException | None) -> None:
        """The last call: all is done (None), or this happened."""


class Scheduler:
    """Runs jobs in the slots of an engine, in the order in which they come."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._waiting: deque[Job] = deque()
        self._jobs: dict[int, Job] = {}

    @property
    def num_jobs(self) -> int:
        """Jobs under way or waiting."""
        return len(self._waiting) + len(self._jobs)

    def submit(self, job: Job) -> None:
        """Queue a job. Safe from any thread."""
        self._waiting.append(job)

    def step(self) -> bool:
        """Bring everything one step further; False if there was nothing to do."""
        self._drop_cancelled()
        self._admit()
        prepared = self._prepare()
        moving = [index for index in self.slots.ready if not self._jobs[index].is_waiting]
        if self.slots.grid is not None and moving:
            moving = self.slots.ready  # a grid moves as a whole: whoever waits finds more than it asked for
        if not moving:
            return prepared
        try:
            with self._orderly(len(moving)):
                reached = self.slots.step(moving)
        except Exception as error:  # what the step has changed is unknown: none of them can go on
            for index in moving:
                self._end(index, error)
            return True
        for index, step in zip(moving, reached, strict=True):
            self._report(index, step)
        return True

    def close(self, error: BaseException | None = None) -> None:
        """End all jobs and empty the slots."""
        for index in list(self._jobs):
            self._end(index, error)
        while self._waiting:
            self._waiting.popleft().ended(error)

    def _drop_cancelled(self) -> None:
        for index in [index for index, job in self._jobs.items() if job.is_cancelled]:
            self._end(index, None)
        for job in [job for job in tuple(self._waiting) if job.is_cancelled]:  # they need no place to end
            self._waiting.remove(job)
            job.ended(None)

    def _admit(self) -> None:
        for index in self.slots.free:
            while self._waiting:
                job = self._waiting.popleft()
                if job.is_cancelled:
                    job.ended(None)
                elif self._start(index, job):
                    break

    def _start(self, index: int, job: Job) -> bool:
        """Open the job's next run in a free slot; False if there was none, or it failed."""
        try:
            with self._orderly():
                run = job.next_run()
                if run is not None:
                    self.slots.open(index, run)
        except Exception as error:
            job.ended(error)
            return False
        if run is None:
            job.ended(None)
            return False
        self._jobs[index] = job
        return True

    def _prepare(self) -> bool:
        """Feed one part of one job's beginning, so that the others wait no longer than that."""
        for index in self.slots.preparing:
            try:
                with self._orderly():
                    self.slots.prepare(index)
            except Exception as error:
                self._end(index, error)
            return True
        return False

    def _report(self, index: int, reached: int) -> None:
        job, run = self._jobs[index], self.slots.run_of(index)
        try:
            with self._orderly():
                job.stepped(self.slots.sequence[index, :, : run.sequence.shape[1]], reached)
        except Exception as error:
            self._end(index, error)
            return
        if reached == run.last:
            self.slots.close(index)
            self._start(index, self._jobs.pop(index))

    def _end(self, index: int, error: BaseException | None) -> None:
        job = self._jobs.pop(index)
        try:
            self.slots.close(index)
        except Exception as broken:  # a lost device: the job hears of it all the same, and so do those after it
            error = error or broken
        job.ended(error)

    def _orderly(self, count: int = 1) -> AbstractContextManager[None]:
        """Around what these jobs do: short of memory, they get one line for a person, and give back what they held."""
        return orderly_shortage(self.slots.device, f"{count} pieces at once" if count > 1 else "a piece")
