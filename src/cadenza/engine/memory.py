"""Memory, asked for before it is needed, and given back when it was not enough.

In: a device and how many bytes something will take. Out: nothing, or a `UserError` that says what would fit. Asking
first matters most on a CPU: Linux promises more memory than it has and then ends the process that uses it.
"""

import gc
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from cadenza.engine.cores import control_groups, read_text
from cadenza.errors import UserError

_UNLIMITED = 1 << 60  # version 1 of control groups says "no limit" with a number near 2^63


def available_bytes(device: torch.device | str = "cpu", root: Path = Path("/")) -> int | None:
    """Bytes that can still be allocated on a device, torch's own cache included; None where nobody can say."""
    device = torch.device(device)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    ours = _available_on_cpu(root)
    if device.type == "mps":  # the same memory, of which the driver recommends to use a part
        free = torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
        return free if ours is None else min(free, ours)
    return ours


def require(num_bytes: int, device: torch.device | str, who: str, what: str, items: int = 1) -> None:
    """Raise UserError unless so many bytes are free: "`who` needs ... for `what`, ... are free".

    `items` is the number of equal parts that the bytes are for, such as requests: the error says how many would fit.
    Passes where it is not known what is free.
    """
    free = available_bytes(device)
    if free is None or num_bytes <= free:
        return
    fit = items * max(0, free) // num_bytes
    remedy = f"ask for at most {fit}" if fit else "ask for less, or for a smaller precision or model"
    need = "needs" if items == 1 else "need"
    raise UserError(f"{who} {need} {size(num_bytes)} for {what}, {size(free)} are free on {device}: {remedy}")


@contextmanager
def orderly_shortage(device: torch.device | str, who: str) -> Iterator[None]:
    """Around work that may run out of memory: what it held is freed, and the error is one line for a person.

    `with orderly_shortage("cuda:0", "32 requests of 30 s"): ...` raises UserError in place of torch's errors.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_shortage(error):
            raise
        # The frames in the error's trace hold the tensors of the work that failed.
        traceback.clear_frames(error.__traceback__)
        release(device)
        raise UserError(
            f"{who}: {device} has too little memory{_last_piece(error)}: ask for fewer or shorter pieces at once, for "
            "a smaller precision or model, or close other programs"
        ) from None


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory was not enough. On a CPU and on MPS torch has no class of its own for it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "DefaultCPUAllocator" in text or "out of memory" in text or "Storage size calculation overflowed" in text
    )


def release(device: torch.device | str) -> None:
    """Return memory that nothing uses any more to the system."""
    gc.collect()
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()


def size(num_bytes: int) -> str:
    """Bytes for people: `9.4 GB`, `310 MB`."""
    number, unit = float(num_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB", "EB"):
        if number < 999.5:
            break
        number, unit = number / 1000, larger
    return f"{number:.1f} {unit}" if number < 9.95 and unit != "bytes" else f"{number:.0f} {unit}"


def _available_on_cpu(root: Path) -> int | None:
    lines = read_text(root / "proc/meminfo").splitlines()
    limits = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for folder in control_groups("memory", root):
        for most, used, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, usage = read_text(folder / most), read_text(folder / used)
            if limit.isdigit() and usage.isdigit() and int(limit) < _UNLIMITED:
                words = read_text(folder / "memory.stat").split()
                files = int(words[words.index(cached) + 1]) if cached in words else 0  # dropped when needed
                limits.append(max(0, int(limit) - int(usage) + files))
    if not limits and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names and root == Path("/"):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))  # a Mac: what there is at all
    return min(limits, default=None)


def _last_piece(error: BaseException) -> str:
    """What could not be allocated, as torch says it: in bytes (CPU), or in powers of 1024 (CUDA: GiB, MPS: GB)."""
    found = re.search(r"ried to allocate ([0-9.]+) ?(bytes|([KMGTPE])i?B)", str(error))
    if found is None:
        return ""
    power = 0 if found[3] is None else 1 + "KMGTPE".index(found[3])
    return f" (the last piece: {size(int(float(found[1]) * 1024**power))})"
