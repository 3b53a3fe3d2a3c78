"""Memory: what is free on machines that look like others, and an absurd wish on this one."""

import gc
import weakref
from pathlib import Path

import pytest
import torch

from cadenza.engine import memory
from cadenza.engine.memory import available_bytes, is_shortage, orderly_shortage, release, require, size
from cadenza.errors import UserError

GB = 10**9


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_sizes_for_people() -> None:
    assert [size(n) for n in (0, 12, 1500, 310 * 10**6, 9_430_000_000, 999_700_000, 40 * GB, 2**62)] == [
        "0 bytes",
        "12 bytes",
        "1.5 kB",
        "310 MB",
        "9.4 GB",
        "1.0 GB",
        "40 GB",
        "4.6 EB",
    ]


def test_this_machine_has_memory() -> None:
    free = available_bytes("cpu")
    assert free is not None and 10**7 < free < 10**14


def test_the_smallest_limit_counts(tmp_path: Path) -> None:
    assert available_bytes("cpu", tmp_path) is None
    write(tmp_path, {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"})
    assert available_bytes("cpu", tmp_path) == 8000 * 1024
    group = "sys/fs/cgroup/a"
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a\n",
            f"{group}/memory.max": "max",
            f"{group}/memory.current": "3000000",
            f"{group}/memory.stat": "anon 1\ninactive_file 500000\n",
        },
    )
    assert available_bytes("cpu", tmp_path) == 8000 * 1024
    write(tmp_path, {f"{group}/memory.max": "4000000"})
    assert available_bytes("cpu", tmp_path) == 1_500_000  # cached files give way


@pytest.mark.parametrize(("limit", "expected"), [("4000000", 1_500_000), ("9223372036854771712", None)])
def test_control_groups_of_version_one(tmp_path: Path, limit: str, expected: int | None) -> None:
    folder = "sys/fs/cgroup/memory"
    write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/elsewhere\n",
            f"{folder}/memory.limit_in_bytes": limit,
            f"{folder}/memory.usage_in_bytes": "3000000",
            f"{folder}/memory.stat": "inactive_file 0\ntotal_inactive_file 500000\n",
        },
    )
    assert available_bytes("cpu", tmp_path) == expected


def test_cuda_counts_torchs_cache_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5 * GB, 80 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3 * GB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2 * GB)
    assert available_bytes("cuda:0") == 6 * GB


def test_mps_shares_the_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * GB)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 2 * GB)
    monkeypatch.setattr(memory, "_available_on_cpu", lambda root: None)
    assert available_bytes("mps") == 10 * GB
    monkeypatch.setattr(memory, "_available_on_cpu", lambda root: 4 * GB)
    assert available_bytes("mps") == 4 * GB


def test_what_does_not_fit_is_refused_with_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: int(5.1 * GB))
    require(5 * GB, "cuda:0", "32 requests of 30 s", "keys and values", 32)
    with pytest.raises(UserError) as caught:
        require(int(9.4 * GB), "cuda:0", "32 requests of 30 s", "keys and values", 32)
    assert str(caught.value) == (
        "32 requests of 30 s need 9.4 GB for keys and values, 5.1 GB are free on cuda:0: ask for at most 17"
    )
    with pytest.raises(UserError, match=r"needs 400 GB .*: ask for less"):
        require(400 * GB, "cuda:0", "a song of a year", "keys and values")
    monkeypatch.setattr(memory, "available_bytes", lambda device: None)
    require(400 * GB, "cpu", "anything", "keys and values")


def test_an_absurd_wish_is_one_clear_error() -> None:
    message = r"a song: cpu has too little memory \(the last piece: 1\.2 EB\): ask for"
    with pytest.raises(UserError, match=message), orderly_shortage("cpu", "a song"):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(UserError, match="too little memory: ask"), orderly_shortage("cpu", "a song"):
        torch.empty(2**62, 8)


def test_what_failed_gives_its_memory_back() -> None:
    alive: list[weakref.ref[torch.Tensor]] = []

    def work() -> None:
        held = torch.zeros(1000)
        alive.append(weakref.ref(held))
        torch.empty(2**60)

    with pytest.raises(UserError) as caught, orderly_shortage("cpu", "a song"):
        work()
    gc.collect()
    assert caught.value is not None  # the error is still held, and its trace with it
    assert alive[0]() is None


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.56 GB, ...). Tried to allocate 2.00 GB on private"),
    ],
)
def test_errors_of_accelerators(error: RuntimeError, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("cuda"))
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: emptied.append("mps"))
    kind = "mps" if "MPS" in str(error) else "cuda"
    with pytest.raises(UserError, match=r"the last piece: 2\.1 GB"), orderly_shortage(kind, "a song"):
        raise error
    assert emptied == [kind]


def test_other_errors_pass() -> None:
    assert is_shortage(MemoryError())
    assert not is_shortage(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"), orderly_shortage("cpu", "a song"):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    with orderly_shortage("cpu", "a song"):
        release("cpu")


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    free = available_bytes("cuda")
    assert free is not None and free > 0
    with pytest.raises(UserError, match="are free on cuda"):
        require(free + 10**9, "cuda", "a song", "keys and values")
    with pytest.raises(UserError, match="too little memory"), orderly_shortage("cuda", "a song"):
        torch.empty(2 * free, dtype=torch.uint8, device="cuda")
    assert (available_bytes("cuda") or 0) > 0.9 * free
