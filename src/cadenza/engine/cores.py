"""How many threads a computation should have: the cores of this machine, and those that nobody else is using.

In: what the operating system tells (`/proc`, `/sys`, control groups, `sysctl`). Out: numbers of cores. Physical ones:
the two logical processors of one core share the units that matrix products need.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SHORTEST_SECONDS = 0.04  # the kernel counts in ticks of 10 ms: over less than this one cannot tell 0 from 1
_LONGEST_SECONDS = 5.0  # an average over more says nothing about now


def allowed_processors() -> set[int]:
    """The logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def usable_cores(root: Path = Path("/")) -> int:
    """Physical cores that this process may use, at least 1: of its processors, within its quota.

    On a Mac the fast cores only, since a step waits for its slowest thread; elsewhere than Linux and macOS the logical
    processors, for want of a simple question to ask.
    """
    if sys.platform == "darwin":
        return _mac_cores() or os.cpu_count() or 1
    siblings = set()
    for processor in allowed_processors():
        path = root / f"sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list"
        siblings.add(read_text(path) or str(processor))
    quota = cpu_quota(root)
    return max(1, len(siblings) if quota is None else min(len(siblings), int(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The smallest processor quota of the control groups around this process, in cores; None without one."""
    quotas = []
    for folder in control_groups("cpu", root):
        words = read_text(folder / "cpu.max").split()  # version 2: "200000 100000" or "max 100000"
        if not words:
            words = [read_text(folder / "cpu.cfs_quota_us"), read_text(folder / "cpu.cfs_period_us")]
        if all(word.isdigit() for word in words) and int(words[1]) > 0:  # version 1 says -1 for none
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def control_groups(controller: str, root: Path = Path("/")) -> list[Path]:
    """Folders of the control groups that limit this process, innermost first; both versions of the file system."""
    folders = []
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, names, group = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        mount = root / "sys/fs/cgroup" / names  # version 2 has no names, and one tree
        folder = mount / group.lstrip("/")
        folders += [folder, *(parent for parent in folder.parents if parent.is_relative_to(mount))]
    return [folder for folder in folders if folder.is_dir()]


class _Sample(NamedTuple):
    time: float
    busy: float | None  # seconds that our processors have worked for anyone
    own: float  # and for us


class CoreMeter:
    """Counts the cores that other processes leave free, from `/proc/stat`, between one question and the next.

    Processes that give way on purpose (`nice`) count like others: beside three of them two threads made 0.4 steps a
    second where one made 20. Where there is no `/proc/stat` the answer is always None.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
        own_seconds: Callable[[], float] = time.process_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = root / "proc/stat"
        self._clock = clock
        self._own_seconds = own_seconds
        self._sleep = sleep
        self._processors = {f"cpu{number}" for number in allowed_processors()}
        self._ticks_per_second = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
        self._last = self._sample()

    def free_cores(self) -> float | None:
        """Of the processors allowed to us, how many the others left on average since the last answer (a fraction, as
        in 1.3); None where that cannot be known, and when the last answer is no moment ago or too long ago."""
        elapsed = self._clock() - self._last.time
        if elapsed < SHORTEST_SECONDS:
            return None
        before, self._last = self._last, self._sample()
        if elapsed > _LONGEST_SECONDS or before.busy is None or self._last.busy is None:
            return None
        others = (self._last.busy - before.busy) - (self._last.own - before.own)
        return len(self._processors) - max(0.0, others / elapsed)

    def wait(self) -> None:
        """Until there is something to answer."""
        remaining = SHORTEST_SECONDS - (self._clock() - self._last.time)
        if self._last.busy is not None and remaining > 0:
            self._sleep(remaining + 0.001)

    def _sample(self) -> _Sample:
        ticks: int | None = None
        for line in read_text(self._path).splitlines():
            name, *numbers = line.split()
            if name in self._processors:  # user nice system idle iowait irq softirq steal ...
                user, nice, system, _, _, irq, soft, steal = map(int, numbers[:8])
                ticks = (ticks or 0) + user + nice + system + irq + soft + steal
        return _Sample(self._clock(), None if ticks is None else ticks / self._ticks_per_second, self._own_seconds())


def _mac_cores() -> int | None:
    for name in ("hw.perflevel0.physicalcpu", "hw.physicalcpu"):  # the second one on Intel
        try:
            answer = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=5)
        except (OSError, subprocess.SubprocessError):
            return None
        if answer.returncode == 0 and answer.stdout.strip().isdigit():
            return int(answer.stdout)
    return None


def read_text(path: Path) -> str:
    """The text of a file of the kernel; nothing if there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
