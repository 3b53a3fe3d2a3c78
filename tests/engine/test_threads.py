"""The governor on simulated machines: a clock that only steps advance, and a rule for how long a step takes."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import torch

from cadenza.engine import threads
from cadenza.engine.cores import CoreMeter
from cadenza.engine.threads import ThreadGovernor, decide_threads, decided_threads


class Machine:
    """`cores` cores; `neighbours(now)` busy processes; a step is `work` seconds on one core, 15 % of it serial."""

    def __init__(
        self,
        cores: int = 2,
        neighbours: Callable[[float], int] = lambda now: 0,
        work: Callable[[int], float] = lambda step: 0.02,
        noise: Callable[[int], float] = lambda step: 1.0,
        sees: bool = True,
    ) -> None:
        self.cores, self.neighbours, self.work, self.noise, self.sees = cores, neighbours, work, noise, sees
        self.now = 0.0
        self.threads = cores
        self.switches = 0
        self.steps: list[tuple[float, int, float]] = []  # when, threads, seconds

    def set_threads(self, count: int) -> None:
        self.switches += count != self.threads
        self.threads = count

    def seconds(self, step: int, count: int) -> float:
        work = self.work(step)
        alone = work * (0.15 + 0.85 / count)
        if count + self.neighbours(self.now) <= self.cores:
            return alone
        return 1.05 * alone if count == 1 else alone + 0.15  # all wait for the thread that is kept off its core

    def free(self) -> float | None:
        return self.cores - self.neighbours(self.now) if self.sees else None

    def governor(self, count: int | None = None) -> ThreadGovernor:
        return ThreadGovernor(
            count,
            clock=lambda: self.now,
            get_threads=lambda: self.threads,
            set_threads=self.set_threads,
            cores=lambda: self.cores,
            meter=FakeMeter(self),
        )

    def run(self, governor: ThreadGovernor, seconds: float) -> float:
        """Run so long; what it took relative to the best constant choice at every moment."""
        end, best, began = self.now + seconds, 0.0, self.now
        while self.now < end:
            step = len(self.steps)
            best += min(self.seconds(step, count) for count in range(1, self.cores + 1))
            with governor.measure():
                took = self.seconds(step, self.threads) * self.noise(step)
                self.now += took
            self.steps.append((self.now, self.threads, took))
        return (self.now - began) / best


class FakeMeter(CoreMeter):
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def free_cores(self) -> float | None:
        return self.machine.free()

    def wait(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _nobody_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize("cores", [2, 4, 16])
def test_a_quiet_machine_is_used_whole_and_left_alone(cores: int) -> None:
    machine = Machine(cores)
    governor = machine.governor()
    assert machine.run(governor, 1) < 1.1  # one look at lower counts
    switches = machine.switches
    assert machine.run(governor, 20) < 1.0001
    assert machine.switches == switches
    assert machine.threads == cores


@pytest.mark.parametrize("sees", [True, False])
def test_a_busy_neighbour_from_the_start(sees: bool) -> None:
    machine = Machine(2, neighbours=lambda now: 1, sees=sees)
    # Blind, each look upwards costs steps of 0.17 s, which the budget of 3 % and its credit of 0.3 s bound.
    assert machine.run(machine.governor(), 60) < (1.02 if sees else 1.05)
    assert machine.threads == 1


def test_one_of_eight_cores_taken_costs_one_thread() -> None:
    machine = Machine(8, neighbours=lambda now: int(now > 2))
    governor = machine.governor()
    machine.run(governor, 2)
    assert governor.count == 8
    machine.run(governor, 2)
    assert governor.count == 7


def test_many_neighbours_at_once_need_several_trials_down() -> None:
    machine = Machine(16, neighbours=lambda now: 13 if now > 1 else 0)
    governor = machine.governor()
    machine.run(governor, 4)
    assert governor.count <= 3


def test_trouble_is_noticed_within_two_steps() -> None:
    machine = Machine(2, neighbours=lambda now: int(now > 1))
    machine.run(machine.governor(), 2)
    slow = [seconds for _, _, seconds in machine.steps if seconds > 0.1]
    assert 1 <= len(slow) <= 2


def test_a_neighbour_who_leaves_gives_the_core_back() -> None:
    machine = Machine(2, neighbours=lambda now: int(1 < now < 3))
    governor = machine.governor()
    machine.run(governor, 2.9)
    assert governor.count == 1
    machine.run(governor, 1)
    assert governor.count == 2


def test_a_neighbour_who_comes_and_goes() -> None:
    machine = Machine(2, neighbours=lambda now: int(now % 4 > 2))
    # Each arrival costs two steps of 0.17 s, each departure half a second at half the speed: about 20 % of 4 s.
    assert machine.run(machine.governor(), 60) < 1.25


def test_a_neighbour_who_flickers_is_not_chased() -> None:
    """A look upwards that meets the neighbour again and again: the budget ends it."""
    machine = Machine(2, neighbours=lambda now: int(now % 0.3 > 0.1))
    machine.run(machine.governor(), 60)
    slow = sum(seconds for _, _, seconds in machine.steps if seconds > 0.1)
    assert slow < 0.08 * 60


def test_noise_moves_nothing() -> None:
    draw = random.Random(1)
    machine = Machine(2, noise=lambda step: draw.gauss(1, 0.1) + (8 if draw.random() < 0.01 else 0))
    governor = machine.governor()
    machine.run(governor, 60)
    at_two = sum(seconds for _, count, seconds in machine.steps if count == 2)
    assert at_two > 0.95 * machine.now


def test_growing_steps_are_not_trouble() -> None:
    machine = Machine(2, work=lambda step: 0.02 * (1 + step / 500))
    governor = machine.governor()
    assert machine.run(governor, 60) < 1.02
    assert machine.switches <= 2 * 6  # one look down each time that steps have become 1.4 times slower


def test_rare_collapses_are_noticed() -> None:
    """Every eighth step hangs while two threads run: no six steps in a row look bad, but thirty-two do."""
    machine = Machine(2)
    machine.noise = lambda step: 30.0 if step % 8 == 0 and machine.threads == 2 and machine.now > 2 else 1.0
    machine.sees = False
    governor = machine.governor()
    machine.run(governor, 30)
    at_two = sum(1 for now, count, _ in machine.steps if count == 2 and now > 6)
    assert at_two < 0.1 * len(machine.steps)


def test_steps_of_other_sizes_are_not_compared() -> None:
    machine = Machine(2)
    governor = machine.governor()
    machine.run(governor, 2)
    switches = machine.switches
    for size in (1, 64) * 20:
        with governor.measure(size):
            machine.now += 0.01 * size
    assert machine.switches == switches


def test_a_number_given_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(2, neighbours=lambda now: 1)
    governor = machine.governor(2)
    machine.run(governor, 5)
    assert governor.count == machine.threads == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert decided_threads() == 4
    governor = machine.governor()
    assert governor.count == machine.threads == 4
    for nonsense in ("", "many", "0"):
        monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        assert decided_threads() is None


def test_a_word_to_cadenza_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    found = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    try:
        decide_threads(3)
        assert torch.get_num_threads() == 3
        assert Machine(2).governor().count == 3
        decide_threads(None)
        assert decided_threads() == 4
    finally:
        decide_threads(None)
        torch.set_num_threads(found)


def test_torchs_own_count_is_the_most() -> None:
    machine = Machine(8)
    machine.threads = 3
    assert machine.governor().count == 3


def test_closing_gives_the_count_back() -> None:
    machine = Machine(2, neighbours=lambda now: 1)
    with machine.governor() as governor:
        machine.run(governor, 1)
        assert machine.threads == 1
    assert machine.threads == 2


def test_a_step_that_fails_is_not_counted() -> None:
    machine = Machine(2)
    governor = machine.governor()
    machine.run(governor, 1)

    def fail() -> None:
        machine.now += 5
        raise KeyError

    for _ in range(10):
        with pytest.raises(KeyError), governor.measure():
            fail()
    assert governor.count == 2


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="measured there only")
@pytest.mark.parametrize(
    ("environment", "before", "expected"),
    [
        ({}, "", "3000"),
        ({"GOMP_SPINCOUNT": "7"}, "", "7"),
        ({"OMP_WAIT_POLICY": "active"}, "", "None"),
        ({}, "import sys; sys.modules['torch'] = sys; ", "None"),  # too late: leave no trace
    ],
)
def test_waiting_threads_are_told_to_sleep_soon(environment: dict[str, str], before: str, expected: str) -> None:
    code = before + "import cadenza, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    clean = {name: value for name, value in os.environ.items() if "OMP_" not in name}
    done = subprocess.run([sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr


def test_ladder() -> None:
    assert threads._ladder(1) == (1,)
    assert threads._ladder(2) == (2, 1)
    assert threads._ladder(8) == (8, 7, 6, 5, 4, 3, 2, 1)
    assert threads._ladder(16) == (16, 15, 12, 9, 7, 6, 5, 4, 3, 2, 1)


def test_on_torch_itself() -> None:
    """Counts belong to the Python thread that sets them; the governor's leave this one's alone."""
    found = torch.get_num_threads()
    seen = []

    def other() -> None:
        with ThreadGovernor(3) as governor, governor.measure():
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [3, found]
    assert torch.get_num_threads() == found
