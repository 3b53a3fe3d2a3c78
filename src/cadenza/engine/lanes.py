"""Caches side by side: one step of several sequences that are not equally far.

In: caches. Out: a `StepCache` over all their rows. Each cache does its own attention over its own length, so that no
sequence reads another's empty steps, and its numbers are the same alone and in company.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cadenza.engine.cache import KVCache, LayerMemory
from cadenza.nn.beside import Beside


class Lanes:
    """Rows of all caches, in order."""

    def __init__(self, caches: Sequence[KVCache]) -> None:
        self.caches = list(caches)
        self.rows = [cache.batch for cache in caches]
        groups = [(cache.gains, cache.batch) for cache in caches]
        self.beside = Beside.of(groups, self.caches[0].layers[0].keys.device)

    def bias(self, steps: int) -> Float[Tensor, "B s D"]:
        return torch.cat([cache.bias(steps).expand(cache.batch, -1, -1) for cache in self.caches])

    def layer(self, index: int) -> "LanesMemory":
        return LanesMemory([cache.layer(index) for cache in self.caches], self.rows)

    def advance(self, steps: int) -> None:
        for cache in self.caches:
            cache.advance(steps)


class LanesMemory:
    """One layer of every cache."""

    def __init__(self, layers: list[LayerMemory], rows: list[int]) -> None:
        self.layers = layers
        self.rows = rows

    @property
    def has_source(self) -> bool:
        return self.layers[0].has_source

    def attend(
        self, query: Float[Tensor, "B H s E"], keys: Float[Tensor, "B H s E"], values: Float[Tensor, "B H s E"]
    ) -> Float[Tensor, "B H s E"]:
        parts = zip(self.layers, *(part.split(self.rows) for part in (query, keys, values)), strict=True)
        return torch.cat([layer.attend(*part) for layer, *part in parts])

    def attend_source(self, query: Float[Tensor, "B H s E"]) -> Float[Tensor, "B H s E"]:
        parts = zip(self.layers, query.split(self.rows), strict=True)
        return torch.cat([layer.attend_source(part) for layer, part in parts])
