"""Exponential moving average of weights, bias-corrected as in Adam, over trained parameters and float buffers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cadenza.errors import CheckpointError
from cadenza.train.sharding import like, local


class EMA:
    """`average <- average + (value - average) / count`, `count <- decay * count + 1`: the first update is a copy.

    Frozen parameters are left out: their average is themselves. Codebook buffers are averaged with the weights that
    they were learnt beside. A process that holds shards of the weights averages its shards.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self.decay = decay
        self.count = 0.0
        self._live = {f"{name}.{key}": tensor for name, part in modules.items() for key, tensor in _tracked(part)}
        self.average = {key: tensor.detach().clone() for key, tensor in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        self.count = self.count * self.decay + 1.0
        averages = [local(tensor) for tensor in self.average.values()]
        torch._foreach_lerp_(averages, [local(tensor) for tensor in self._live.values()], 1.0 / self.count)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The modules carry the averaged weights inside the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def load(self, average: Mapping[str, Tensor], count: float) -> None:
        """Go on from whole tensors and the count that belongs to them; CheckpointError for those of another model."""
        other = sorted(average.keys() ^ self.average.keys())
        if other:
            raise CheckpointError(f"averages of other weights (differ in {other[0]}): resume with the same recipe")
        self.count = count
        for key, tensor in self.average.items():
            local(tensor).copy_(local(like(average[key], tensor)))

    @torch.no_grad()
    def _swap(self) -> None:
        if self.count == 0:
            return
        # In place, so that what modules derived from their weights and cached is seen to be out of date.
        for key, tensor in self._live.items():
            live, average = local(tensor), local(self.average[key])
            kept = live.detach().clone()
            live.copy_(average)
            average.copy_(kept)


def _tracked(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    persistent = module.state_dict(keep_vars=True)
    for key, tensor in persistent.items():
        if tensor.is_floating_point() and (tensor.requires_grad or not isinstance(tensor, nn.Parameter)):
            yield key, tensor
