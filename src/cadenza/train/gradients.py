"""Gradients that several processes share: their mean, their norm, and clipping.

In: parameters after a backward pass. Out: the same gradients in every process. Written out instead of wrapping modules
in `DistributedDataParallel`, which averages what one module's `forward` used: an objective calls methods of several
modules, in phases that have an optimiser each, and freezes some of them at times. What that wrapper is fast by is kept:
gradients travel in large buckets, while the backward pass still computes the others.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cadenza.nn.ranks import num_ranks, sum_over_ranks
from cadenza.train.sharding import is_shard, local

BUCKET_BYTES = 25e6


class _Sent(NamedTuple):
    work: dist.Work
    flat: Tensor


class GradientMean:
    """Averages the gradients of some parameters over all processes, once per update.

    Buckets are sent in one order in every process, whatever order gradients come in. A parameter that no process used
    keeps no gradient, as in one process; one that some used gets zeros from the others.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], bucket_bytes: float = BUCKET_BYTES) -> None:
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        self._buckets = _buckets(learning[::-1], bucket_bytes)  # the last layer's gradients come first
        self._place = {parameter: number for number, bucket in enumerate(self._buckets) for parameter in bucket}
        self._missing: list[int] = []
        self._sent: list[_Sent] = []
        self._listening = False
        for parameter in learning:
            parameter.register_post_accumulate_grad_hook(self._came)

    @contextmanager
    def averaging(self) -> Iterator[None]:
        """Around the update's last backward pass; gradients are averaged at the end of the block."""
        self._missing, self._sent, self._listening = [len(bucket) for bucket in self._buckets], [], True
        yield
        self._listening = False
        parameters = list(self._place)
        used = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
        while len(self._sent) < len(self._buckets):
            self._send()
        used = sum_over_ranks(used.to(parameters[0].device)).cpu()
        for sent, bucket in zip(self._sent, self._buckets, strict=True):
            sent.work.wait()
            parts = (sent.flat / num_ranks()).split([parameter.numel() for parameter in bucket])
            for parameter, part in zip(bucket, parts, strict=True):
                parameter.grad = part.view_as(parameter)
        for parameter, count in zip(parameters, used.tolist(), strict=True):
            if count == 0:
                parameter.grad = None
        self._sent = []

    def _came(self, parameter: Tensor) -> None:
        if not self._listening:
            return
        assert isinstance(parameter, nn.Parameter)
        self._missing[self._place[parameter]] -= 1
        while len(self._sent) < len(self._buckets) and self._missing[len(self._sent)] == 0:
            self._send()

    def _send(self) -> None:
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in self._buckets[len(self._sent)]
        ]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        work = dist.all_reduce(flat, async_op=True)
        assert work is not None
        self._sent.append(_Sent(work, flat))


def _buckets(parameters: Sequence[nn.Parameter], limit: float) -> list[list[nn.Parameter]]:
    """Runs of parameters of one kind, of at most `limit` bytes each unless one alone is larger."""
    buckets: list[list[nn.Parameter]] = []
    size = 0.0
    for parameter in parameters:
        taken = parameter.numel() * parameter.element_size()
        if not buckets or size + taken > limit or buckets[-1][-1].dtype != parameter.dtype:
            buckets.append([])
            size = 0.0
        buckets[-1].append(parameter)
        size += taken
    return buckets


def gradient_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """The norm of all gradients as one vector, the same in every process."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm([local(gradient) for gradient in gradients])
    if any(is_shard(gradient) for gradient in gradients):
        return sum_over_ranks(norm.square()).sqrt()
    return norm


def clip(parameters: Sequence[nn.Parameter], max_norm: float, norm: Tensor) -> None:
    """Scale gradients of that norm down to `max_norm`."""
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    torch._foreach_mul_([local(parameter.grad) for parameter in parameters if parameter.grad is not None], factor)
