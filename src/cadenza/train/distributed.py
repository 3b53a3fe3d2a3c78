"""Several processes that train one model: how they meet, which rows and which device each has, and one voice.

In: the environment that `torchrun` sets. Out: a process group (NCCL between GPUs, gloo between CPUs). One process needs
none of it: every function here then does nothing.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from cadenza.errors import CadenzaError, UserError
from cadenza.nn.ranks import gather_rows, mean_over_ranks, num_ranks, rank, sum_over_ranks

__all__ = [
    "SaidElsewhere",
    "agree",
    "device_here",
    "everyone",
    "gather_rows",
    "is_main",
    "mean_over_ranks",
    "num_ranks",
    "processes",
    "rank",
    "rows_here",
    "share",
    "sum_over_ranks",
    "together",
]
WAIT = timedelta(hours=2)
"""For others: while the main process writes a large snapshot to a slow disk, or plays samples. Dead ones are noticed at
once by `torchrun`, and by gloo."""
BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


class SaidElsewhere(CadenzaError):
    """This process stops for a reason that the main process tells."""


@contextmanager
def processes(device: str) -> Iterator[None]:
    """Meet the other processes of this `torchrun`, and leave them at the end; nothing where there is one process."""
    count, here = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if count == 1 or dist.is_initialized():
        yield
        return
    place = torch.device(device)
    if place.type not in BACKENDS or ":" in device:
        raise UserError(f"device {device} is one device, and this is one of {count} processes: use cpu or cuda")
    if place.type == "cuda":
        if here >= torch.cuda.device_count():
            gpus = torch.cuda.device_count()
            raise UserError(f"process {here} has no GPU, there are {gpus}: torchrun --nproc-per-node {max(1, gpus)}")
        torch.cuda.set_device(here)
    try:
        _meet(BACKENDS[place.type], torch.device("cuda", here) if place.type == "cuda" else None)
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise CadenzaError(f"process {rank()} lost another one: start all of them again with --resume") from error
        raise
    # After a failure the others may be waiting for what never comes: the end of the process is the end of the group.
    dist.destroy_process_group()


def _meet(backend: str, device: torch.device | None) -> None:
    """As `init_process_group` does it by itself, but with addresses of its own for every restart by `torchrun`: its
    store outlives the processes, and addresses of dead ones would be found there."""
    store, number, count = next(rendezvous("env://"))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    own = dist.PrefixStore(f"cadenza/{attempt}", store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, timeout=WAIT, store=own, rank=number, world_size=count, device_id=device)


def device_here(device: str) -> torch.device:
    """The device of this process: `cuda` is one GPU each."""
    if device == "cuda" and num_ranks() > 1:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(device)


def is_main() -> bool:
    """Whether this is the process that writes and speaks."""
    return rank() == 0


def rows_here(batch_size: int) -> range:
    """The rows of every batch that this process holds."""
    count = num_ranks()
    if batch_size % count:
        raise UserError(f"batch_size {batch_size} cannot be divided by {count} processes: use a multiple")
    part = batch_size // count
    return range(rank() * part, (rank() + 1) * part)


def agree(*flags: bool) -> Sequence[bool]:
    """For each flag, whether it is set in any process."""
    if num_ranks() == 1:
        return flags
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else "cpu"
    return [bool(votes) for votes in sum_over_ranks(torch.tensor(flags, dtype=torch.int32, device=device)).tolist()]


@contextmanager
def together() -> Iterator[None]:
    """What fails on purpose in one process inside the block fails in all at its end, and the main process says why."""
    failure: CadenzaError | None = None
    try:
        yield
    except CadenzaError as error:
        failure = error
    failures = [error for error in everyone(failure) if error is not None]
    if failures:
        raise failures[0] if is_main() else SaidElsewhere(str(failures[0]))


def everyone(value: Any) -> list[Any]:
    """The (small, picklable) value of every process, in their order."""
    if num_ranks() == 1:
        return [value]
    values: list[Any] = [None] * num_ranks()
    dist.all_gather_object(values, value)
    return values


def share(modules: Mapping[str, nn.Module]) -> None:
    """Give every process the main one's weights and buffers."""
    if num_ranks() == 1:
        return
    for module in modules.values():
        for tensor in _tensors(module):
            dist.broadcast(tensor, 0)


def _tensors(module: nn.Module) -> Iterable[Tensor]:
    return (tensor.detach() for tensor in (*module.parameters(), *module.buffers()))
