"""The machine under measurement: what it is, how busy, how fast it reads its memory, how much memory was used.

In: a torch device. Out: figures that stand beside every measurement, and a clock that waits for the device.
"""

import math
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

GIGA = 1e9


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(action: Callable[[], object], device: torch.device) -> float:
    """Wall seconds of one call, the device's work included."""
    synchronize(device)
    start = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - start


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed (nearest rank): always one that was measured."""
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(0, rank - 1)]


def read_bandwidth(device: torch.device, gigabytes: float | None = None) -> float:
    """Bytes per second that a sum over 1 GB reads, the limit of a step: best of five, with torch's threads. On a GPU
    8 GB if they are free, or the start of the sum would count."""
    if gigabytes is None:
        gigabytes = min(8.0, torch.cuda.mem_get_info(device)[0] / GIGA / 4) if device.type == "cuda" else 1.0
    block = torch.ones(int(gigabytes * GIGA / 4), device=device)
    block.sum()
    return block.numel() * 4 / min(timed(block.sum, device) for _ in range(5))


def host_peak_bytes() -> int:
    """The most memory this process ever held, files it mapped included.

    Not getrusage where it can be avoided: its peak is inherited from the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found is not None:
            return int(found[1]) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def device_peak_bytes(device: torch.device) -> int | None:
    """The most memory torch ever held on a GPU for tensors; None on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def load_average() -> float:
    """Processes that wanted a core, mean of the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def processor() -> str:
    """The name of the CPU as it calls itself."""
    try:
        names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{processor()}, {cores} cores"


def slug(device: torch.device) -> str:
    """The device in a file's name: `h100-80gb-hbm3`, `2core-epyc`."""
    name = device_name(device).lower()
    if device.type == "cuda":
        return re.sub(r"[^a-z0-9]+", "-", name.replace("nvidia", "")).strip("-")
    cores = name.rpartition(", ")[2].split()[0]
    words = [word for word in re.findall(r"[a-z][a-z0-9]+", processor().lower()) if word not in _NOT_A_NAME]
    return f"{cores}core-{'-'.join(words[:2]) or platform.machine().lower()}"


_NOT_A_NAME = {"amd", "intel", "cpu", "processor", "core", "with", "tm", "ghz"}


def describe(device: torch.device) -> dict[str, Any]:
    """What must stand beside a figure."""
    import cadenza

    facts: dict[str, Any] = {
        "device": device_name(device),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "load": round(load_average(), 2),
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cadenza": cadenza.__version__,
    }
    if commit := _commit():
        facts["commit"] = commit
    try:
        import transformers
    except ImportError:
        return facts
    return {**facts, "transformers": transformers.__version__}


def _commit() -> str | None:
    """The commit of the code, where it lies in a git repository."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def rounded(value: float) -> float:
    """Four digits: more were never measured."""
    return float(f"{value:.4g}")
