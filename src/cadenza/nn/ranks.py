"""Sums over the processes that train one model together.

In: tensors of one shape, one per process. Out: their sum, mean or concatenation, the same in every process; without
`torch.distributed` each function is the identity. Nothing is differentiated through them.
"""

import torch
import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _together() else 0


def num_ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _together() else 1


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum of the processes' tensors."""
    if not _together():
        return tensor
    total = tensor.detach().clone()
    dist.all_reduce(total)
    return total


def mean_over_ranks(tensor: Tensor) -> Tensor:
    """The mean of the processes' tensors.

    A loss that divides a sum of its own items by the mean over processes of their counts is, averaged over processes,
    the mean over all items, wherever they are.
    """
    return sum_over_ranks(tensor) / num_ranks() if _together() else tensor


def gather_rows(tensor: Tensor) -> Tensor:
    """The rows (first axis) of all processes, in their order; every process brings as many."""
    if not _together():
        return tensor
    tensor = tensor.detach().contiguous()
    rows = [torch.empty_like(tensor) for _ in range(num_ranks())]
    dist.all_gather(rows, tensor)
    return torch.cat(rows)


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
