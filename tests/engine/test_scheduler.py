"""Continuous batching: who comes, goes, fails or waits changes nothing for the others."""

import weakref
from collections import deque
from typing import Any

import pytest
import torch
from torch import Tensor

from cadenza.engine.scheduler import Scheduler
from cadenza.engine.slots import Lane, Run, Settings, Slots
from cadenza.errors import UserError
from cadenza.lm.model import LM, LMConfig


@pytest.fixture(scope="module")
def lm() -> LM:
    lm = LM(LMConfig(codebook_size=64, dim=32, num_layers=2, num_heads=2, feed_forward_dim=64, cross_attention=False))
    lm.eval().initialize(torch.Generator().manual_seed(0))
    lm.pack()
    return lm


class Work:
    """A job of several runs that keeps all it is told."""

    def __init__(self, seed: int, lengths: tuple[int, ...] = (8,), given: int = 0, fails: str = "") -> None:
        self.seed, self.lengths, self.given, self.fails = seed, deque(lengths), given, fails
        self.is_cancelled = self.is_waiting = False
        self.made: list[Tensor] = []
        self.steps: list[int] = []
        self.end: list[BaseException | None] = []

    def next_run(self) -> Run | None:
        if self.fails == "next_run":
            raise ValueError("no run")
        if not self.lengths:
            return None
        length = self.lengths.popleft()
        draw = torch.Generator().manual_seed(self.seed + length)
        sequence = torch.full((4, length + 1), 64)
        sequence[:, 1 : self.given + 1] = torch.randint(0, 64, (4, self.given), generator=draw)
        writes = torch.zeros(4, length + 1, dtype=torch.bool)
        writes[:, self.given + 1 :] = True
        uniforms = torch.rand(4, length + 1, generator=draw)
        return Run([Lane(None, 1)], sequence, writes, uniforms, self.given + 1, length, Settings(top_k=30))

    def stepped(self, sequence: Tensor, step: int) -> None:
        if self.fails == "stepped" and step == 3:
            raise ValueError("no step")
        self.steps.append(step)
        if step == sequence.shape[1] - 1:
            self.made.append(sequence.clone())

    def ended(self, error: BaseException | None) -> None:
        self.end.append(error)


def scheduler(decoder: Any, capacity: int) -> Scheduler:
    return Scheduler(Slots(decoder, capacity, 4, 64, "cpu", rows=1))


def alone(lm: LM, *arguments: Any) -> list[Tensor]:
    one, work = scheduler(lm, 1), Work(*arguments)
    one.submit(work)
    while one.step():
        pass
    assert work.end == [None]
    return work.made


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_more_jobs_than_places_come_in_order_and_are_what_they_are_alone(lm: LM) -> None:
    plans = [(1, (8,)), (2, (3, 12, 5)), (3, (20,), 6), (4, (2,)), (5, (9, 9)), (6, (4,), 2)]
    jobs = [Work(*plan) for plan in plans]
    three = scheduler(lm, 3)
    for job in jobs:
        three.submit(job)
    assert three.num_jobs == 6
    first_steps = []
    while three.step():
        first_steps += [i for i, job in enumerate(jobs) if job.steps and i not in first_steps]
    assert first_steps[:3] == [0, 1, 2]  # the fourth had to wait
    assert sorted(first_steps) == list(range(6))
    assert three.num_jobs == 0
    for job, plan in zip(jobs, plans, strict=True):
        assert job.end == [None]
        assert same(job.made, alone(lm, *plan))
        assert job.steps[0] == (plan[2] if len(plan) > 2 else 0) + 1


def test_a_cancelled_job_goes_before_the_next_step(lm: LM) -> None:
    two = scheduler(lm, 2)
    first, second, third = Work(1, (9,)), Work(2, (9,)), Work(3, (9,))
    for job in (first, second, third):
        two.submit(job)
    while len(first.steps) < 4:
        two.step()
    first.is_cancelled = True
    two.step()
    assert first.end == [None]
    assert first.steps == [1, 2, 3, 4]
    while two.step():
        pass
    assert same(second.made, alone(lm, 2, (9,)))
    assert same(third.made, alone(lm, 3, (9,)))  # it took the place


def test_a_job_cancelled_in_the_queue_never_runs(lm: LM) -> None:
    one, job = scheduler(lm, 1), Work(1)
    job.is_cancelled = True
    one.submit(job)
    assert not one.step()
    assert (job.end, job.steps) == ([None], [])


@pytest.mark.parametrize("where", ["next_run", "stepped"])
def test_a_failing_job_fails_alone(lm: LM, where: str) -> None:
    two = scheduler(lm, 2)
    bad, good = Work(1, fails=where), Work(2)
    two.submit(bad)
    two.submit(good)
    while two.step():
        pass
    assert [str(error) for error in bad.end] == ["no run" if where == "next_run" else "no step"]
    assert good.end == [None]
    assert same(good.made, alone(lm, 2))


def test_a_job_that_waits_keeps_its_place_and_goes_on_where_it_was(lm: LM) -> None:
    two = scheduler(lm, 2)
    patient, other = Work(1, (12,)), Work(2, (5,))
    two.submit(patient)
    two.submit(other)
    while len(patient.steps) < 3:
        two.step()
    patient.is_waiting = True
    while two.step():
        pass
    assert other.end == [None]
    assert patient.steps == [1, 2, 3]
    assert not two.step()
    patient.is_waiting = False
    while two.step():
        pass
    assert same(patient.made, alone(lm, 1, (12,)))


def test_a_step_that_fails_ends_those_who_were_in_it_and_no_more(lm: LM) -> None:
    class Faulty:
        broken = False

        def __getattr__(self, name: str) -> Any:
            return getattr(lm, name)

        def step(self, *arguments: Any) -> Tensor:
            if self.broken:
                raise RuntimeError("broken")
            return lm.step(*arguments)

    decoder = Faulty()
    two = scheduler(decoder, 2)
    jobs = [Work(1), Work(2), Work(3)]
    for job in jobs:
        two.submit(job)
    while len(jobs[1].steps) < 2:
        two.step()
    decoder.broken = True
    assert two.step()
    decoder.broken = False
    while two.step():
        pass
    assert [str(job.end[0]) for job in jobs] == ["broken", "broken", "None"]
    assert same(jobs[2].made, alone(lm, 3))


@pytest.mark.parametrize("where", ["feed", "step"])
def test_a_shortage_of_memory_is_one_line_and_holds_nothing(lm: LM, where: str) -> None:
    """The trace of torch's error would keep the tensors of the work that failed."""
    held: list[weakref.ref[Tensor]] = []

    class Hungry:
        fails = False

        def __getattr__(self, name: str) -> Any:
            work = getattr(lm, name)

            def hungry(*arguments: Any) -> Any:
                if self.fails:
                    large = torch.zeros(3)
                    held.append(weakref.ref(large))
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
                return work(*arguments)

            return hungry if name == where else work

    decoder = Hungry()
    one = scheduler(decoder, 1)
    jobs = [Work(1, given=3), Work(2, given=3)]
    for job in jobs:
        one.submit(job)
    decoder.fails = True
    while not jobs[0].end:
        one.step()
    decoder.fails = False
    while one.step():
        pass
    (error,) = jobs[0].end
    assert isinstance(error, UserError)
    assert str(error).startswith("a piece: cpu has too little memory (the last piece: 2.1 GB): ask for")
    assert [reference() for reference in held] == [None]
    assert same(jobs[1].made, alone(lm, 2, (8,), 3))


def test_a_job_hears_of_its_end_even_from_a_lost_device(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    two = scheduler(lm, 2)
    jobs = [Work(1), Work(2), Work(3)]
    for job in jobs:
        two.submit(job)
    two.step()

    def lost(index: int) -> Tensor:
        raise RuntimeError("device lost")

    monkeypatch.setattr(two.slots, "close", lost)
    two.close()
    assert [str(job.end[0]) for job in jobs] == ["device lost", "device lost", "None"]


def test_closing_ends_everybody(lm: LM) -> None:
    one = scheduler(lm, 1)
    jobs = [Work(1), Work(2)]
    for job in jobs:
        one.submit(job)
    one.step()
    one.close()
    assert [job.end for job in jobs] == [[None], [None]]
    assert one.slots.free == [0]
    assert not one.step()


def test_who_is_cancelled_while_waiting_ends_at_once(lm: LM) -> None:
    one = scheduler(lm, 1)
    under_way, waiting = Work(1, (20,)), Work(2)
    one.submit(under_way)
    one.submit(waiting)
    one.step()
    waiting.is_cancelled = True
    one.step()
    assert waiting.end == [None]
    assert under_way.end == []
    assert one.num_jobs == 1
