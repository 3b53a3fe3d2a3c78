"""Counting cores, on file trees that look like other machines."""

import os
import sys
import time
from pathlib import Path

import pytest

from cadenza.engine import cores
from cadenza.engine.cores import CoreMeter, allowed_processors, control_groups, cpu_quota, usable_cores


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Eight logical processors on four cores."""
    monkeypatch.setattr(cores, "allowed_processors", lambda: set(range(8)))
    siblings = {
        f"sys/devices/system/cpu/cpu{i}/topology/thread_siblings_list": f"{i % 4},{i % 4 + 4}\n" for i in range(8)
    }
    write(tmp_path, siblings)
    return tmp_path


def test_this_machine_has_cores() -> None:
    assert 1 <= usable_cores() <= len(allowed_processors()) <= (os.cpu_count() or 1)


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac is asked with sysctl")
def test_two_logical_processors_are_one_core(eight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores(eight) == 4
    monkeypatch.setattr(cores, "allowed_processors", lambda: {0, 1, 5})
    assert usable_cores(eight) == 2  # 1 and 5 are one


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac is asked with sysctl")
def test_without_a_topology_each_processor_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cores, "allowed_processors", lambda: {0, 1, 2})
    assert usable_cores(tmp_path) == 3


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac is asked with sysctl")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"sys/fs/cgroup/a/b/cpu.max": "250000 100000", "sys/fs/cgroup/a/cpu.max": "max 100000"}, 2.5),
        ({"sys/fs/cgroup/a/b/cpu.max": "max 100000", "sys/fs/cgroup/a/cpu.max": "50000 100000"}, 0.5),
        ({"sys/fs/cgroup/a/b/cpu.max": "max 100000"}, None),
        ({}, None),
    ],
)
def test_quota_of_control_groups_two(eight: Path, files: dict[str, str], expected: float | None) -> None:
    write(eight, {"proc/self/cgroup": "0::/a/b\n", **files})
    assert cpu_quota(eight) == expected
    assert usable_cores(eight) == {2.5: 2, 0.5: 1, None: 4}[expected]


@pytest.mark.parametrize(("quota", "expected"), [("300000", 3.0), ("-1", None)])
def test_quota_of_control_groups_one(tmp_path: Path, quota: str, expected: float | None) -> None:
    folder = "sys/fs/cgroup/cpu,cpuacct"
    write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n",
            f"{folder}/cpu.cfs_quota_us": quota,  # in a container the group's own folder is not to be seen
            f"{folder}/cpu.cfs_period_us": "100000",
        },
    )
    assert cpu_quota(tmp_path) == expected
    assert tmp_path / folder in control_groups("cpu", tmp_path)
    assert tmp_path / folder not in control_groups("memory", tmp_path)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def stat(root: Path, *busy: int, nice: int = 0) -> None:
    lines = [f"cpu{i} {ticks} {nice} 0 9999 0 0 0 0 0 0" for i, ticks in enumerate(busy)]
    write(root, {"proc/stat": "\n".join(["cpu  1 2 3 4 5 6 7 8 0 0", *lines, "intr 1 2 3"])})


def test_meter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cores, "allowed_processors", lambda: {0, 1})
    ticks = os.sysconf("SC_CLK_TCK")
    clock, own, waits = Clock(), Clock(), []
    stat(tmp_path, 0, 0, 0)
    meter = CoreMeter(tmp_path, clock, own, waits.append)
    assert meter.free_cores() is None  # no time has passed
    meter.wait()
    assert waits == [pytest.approx(0.041)]
    clock.now = 1.0
    own.now = 0.5
    stat(tmp_path, ticks, ticks // 2, ticks)  # 1.5 s of work on our two, a third of it ours
    assert meter.free_cores() == pytest.approx(1.0)
    clock.now = 2.0
    assert meter.free_cores() == 2.0
    clock.now = 3.0
    stat(tmp_path, ticks, ticks // 2, ticks, nice=ticks // 4)  # on each, someone who gives way
    assert meter.free_cores() == pytest.approx(1.5)
    clock.now = 60.0
    assert meter.free_cores() is None  # an average over a minute says nothing about now
    meter.wait()
    assert len(waits) == 2


def test_meter_where_nobody_can_say(tmp_path: Path) -> None:
    clock = Clock()
    meter = CoreMeter(tmp_path, clock, sleep=lambda seconds: pytest.fail("waits for nothing"))
    clock.now = 1.0
    meter.wait()
    assert meter.free_cores() is None


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="without /proc/stat it says None")
def test_meter_on_this_machine() -> None:
    meter = CoreMeter()
    end = time.monotonic() + 0.06
    while time.monotonic() < end:
        pass
    free = meter.free_cores()
    assert free is not None and free <= len(allowed_processors())


def test_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        def __init__(self, text: str, code: int = 0) -> None:
            self.stdout, self.returncode = text, code

    answers = {"hw.perflevel0.physicalcpu": Answer("6\n"), "hw.physicalcpu": Answer("8\n")}
    monkeypatch.setattr(cores.sys, "platform", "darwin")
    monkeypatch.setattr(cores.subprocess, "run", lambda words, **_: answers[words[2]])
    assert usable_cores() == 6
    answers["hw.perflevel0.physicalcpu"] = Answer("", 1)  # Intel
    assert usable_cores() == 8

    def missing(*_: object, **__: object) -> Answer:
        raise FileNotFoundError

    monkeypatch.setattr(cores.subprocess, "run", missing)
    assert usable_cores() == os.cpu_count()
