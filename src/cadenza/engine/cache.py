"""The state of sequences that grow together: keys and values of every layer, allocated once.

In: sizes. Out: an explicit object that `prefill`, `feed` and `step` of a `Decoder` fill. Nothing grows while it runs,
so a step costs no allocation that depends on its position, and a cache can be reset and used again.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cadenza.nn.attend import attend, attend_one, in_products
from cadenza.nn.attention import KeysValues
from cadenza.nn.beside import Beside, Gains

BLOCK = 64
"""Contexts are read in whole blocks of steps, which the products of a CPU do fastest and always in the same order."""


def whole_blocks(steps: int) -> int:
    """`steps`, rounded up to blocks."""
    return -(-steps // BLOCK) * BLOCK


@dataclass
class KVCache:
    """Keys and values `[B, H, M, E]` per layer, of which `length` steps are filled: all rows are equally far.

    `input_bias` is what is added to the embedded input at each position (positions, conditions that are summed);
    `sources` are the projected cross-attention sources, computed once at prefill.
    """

    layers: list[KeysValues]
    length: int = 0
    input_bias: Float[Tensor, "b M D"] | None = None
    sources: list[KeysValues] = field(default_factory=list)
    source_mask: Bool[Tensor, "B L"] | None = None
    gains: Gains = ()
    """Adapters beside the decoder's layers, for all rows; `wear` puts them on."""
    beside: Beside | None = None
    """What they add."""
    _ahead: Float[Tensor, "1 1 M"] | None = None
    """For `attend_one`: minus infinity at the steps that are not filled yet, else 0."""
    _turned: list["_Turned"] = field(default_factory=list)
    """For `attend_one`: views of the layers."""
    _heard: list["_Turned"] = field(default_factory=list)
    """For `attend_one`: the sources, in the order in which it reads them."""
    _source_bias: Float[Tensor, "n 1 L"] | None = None

    @classmethod
    def allocate(
        cls,
        batch: int,
        max_steps: int,
        num_layers: int,
        num_heads: int,
        head_dim: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> "KVCache":
        """An empty cache for at least `max_steps` steps, the prefix included."""
        steps = whole_blocks(max_steps)
        shape = (batch, num_heads, steps, head_dim)
        layers = [allocate_layer(shape, device, dtype) for _ in range(num_layers)]
        return cls(layers)

    @property
    def batch(self) -> int:
        return self.layers[0].keys.shape[0]

    @property
    def max_steps(self) -> int:
        return self.layers[0].keys.shape[2]

    @property
    def num_bytes(self) -> int:
        """Memory of the self-attention cache, in bytes."""
        return sum(tensor.nbytes for layer in self.layers for tensor in layer)

    def reset(self) -> None:
        """Forget everything but the allocation."""
        self.length = 0
        self.input_bias = None
        self.sources = []
        self.source_mask = None
        self.gains, self.beside = (), None
        self._ahead, self._heard, self._source_bias = None, [], None

    def wear(self, gains: Gains) -> None:
        """All rows go through these adapters from here on."""
        self.gains, self.beside = gains, Beside.of([(gains, self.batch)], self.layers[0].keys.device)

    def set_source(self, sources: list[KeysValues], mask: Bool[Tensor, "B L"] | None) -> None:
        """Listen to these keys and values, one pair per layer; `mask` is False where there is nothing to hear."""
        self.sources, self.source_mask = sources, mask
        if not sources or not in_products(sources[0].keys.device):
            return
        # Short, and read at every step: in float32, whose products start faster.
        self._heard = [_Turned.of(keys.float(), values.float()) for keys, values in sources]
        batch, heads, length, _ = sources[0].keys.shape
        bias = torch.zeros(1, 1, length, device=sources[0].keys.device)
        if mask is not None:
            hidden = ~mask[:, None, None, :].expand(batch, heads, 1, length).reshape(-1, 1, length)
            bias = bias.masked_fill(hidden, float("-inf"))
        self._source_bias = bias

    # ---- what a decoder asks for (see `cadenza.engine.protocol.StepCache`) -----------------------------------------

    def bias(self, steps: int) -> Float[Tensor, "b s D"]:
        """What is added to the input of the next steps."""
        assert self.input_bias is not None, "step before prefill"
        assert self.length + steps <= self.max_steps, f"the cache is full: {self.length} + {steps} of {self.max_steps}"
        end = self.length + steps
        if steps == 1 and in_products(self.input_bias.device):
            if self._ahead is None:
                shape, held = (1, 1, self.max_steps), self.layers[0].keys
                self._ahead = torch.full(shape, float("-inf"), device=held.device, dtype=held.dtype)
                self._turned = [_Turned.of(*layer) for layer in self.layers]
                assert self._turned[0].keys.data_ptr() == held.data_ptr(), "keys in another order than allocated"
            self._ahead[:, :, :end] = 0
        return self.input_bias[:, self.length : end]

    def layer(self, index: int) -> "LayerMemory":
        return LayerMemory(self, index)

    def advance(self, steps: int) -> None:
        self.length += steps


class LayerMemory:
    """One layer of a cache, as its attention sees it."""

    def __init__(self, cache: KVCache, index: int) -> None:
        self.cache = cache
        self.index = index

    @property
    def has_source(self) -> bool:
        return bool(self.cache.sources)

    def attend(
        self, query: Float[Tensor, "B H s E"], keys: Float[Tensor, "B H s E"], values: Float[Tensor, "B H s E"]
    ) -> Float[Tensor, "B H s E"]:
        held = self.cache.layers[self.index]
        start, steps = self.cache.length, query.shape[2]
        end = start + steps
        held.keys[:, :, start:end] = keys
        held.values[:, :, start:end] = values
        ahead = self.cache._ahead
        if steps == 1 and ahead is not None:
            seen = whole_blocks(end)
            turned_keys, turned_values = self.cache._turned[self.index]
            query = query.to(turned_keys.dtype)
            return attend_one(query, turned_keys[:, :, :seen], turned_values[:, :seen], ahead[:, :, :seen])
        if start == 0:  # the new steps are all there is, contiguous as projected
            return attend(query, keys, values, causal=steps > 1)
        mask = None
        if steps > 1:
            mask = torch.ones(steps, end, dtype=torch.bool, device=query.device).tril(start)
        keys, values = held.keys[:, :, :end].contiguous(), held.values[:, :, :end]
        return attend(query.to(keys.dtype), keys, values, mask)

    def attend_source(self, query: Float[Tensor, "B H s E"]) -> Float[Tensor, "B H s E"]:
        cache = self.cache
        if query.shape[2] == 1 and cache._source_bias is not None:
            return attend_one(query.float(), *cache._heard[self.index], cache._source_bias)
        source, mask = cache.sources[self.index], cache.source_mask
        seen = None if mask is None else mask[:, None, None, :]
        return attend(query.to(source.keys.dtype), *source, seen)


class _Turned(NamedTuple):
    """Keys and values of one layer as `attend_one` reads them."""

    keys: Float[Tensor, "N E M"]
    values: Float[Tensor, "N M E"]

    @classmethod
    def of(cls, keys: Float[Tensor, "B H M E"], values: Float[Tensor, "B H M E"]) -> "_Turned":
        """Views, where they lie in memory like that."""
        return cls(keys.mT.contiguous().flatten(0, 1), values.contiguous().flatten(0, 1))


def allocate_layer(
    shape: tuple[int, int, int, int], device: torch.device | str | None, dtype: torch.dtype | None
) -> KeysValues:
    """Room for one layer's keys and values `[B, H, M, E]`.

    Where `attend_one` reads them, keys lie in memory as `[B, H, E, M]`. All start as zeros: what is beyond the end
    gets a weight of zero, which does not help against NaN.
    """
    batch, heads, steps, width = shape
    turned = in_products(device)
    keys = torch.zeros((batch, heads, width, steps) if turned else shape, device=device, dtype=dtype)
    return KeysValues(keys.mT if turned else keys, torch.zeros(shape, device=device, dtype=dtype))
