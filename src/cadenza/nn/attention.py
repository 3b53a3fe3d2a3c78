"""Multi-head attention over a sequence itself and over a second sequence.

In: hidden states `[B, S, D]`. Out: the same shape. Queries, keys and values come from one packed projection (rows in
the order q, k, v; within each, heads x width per head), as in Vaswani et al. (2017). Keys and values may live in a
pre-allocated cache that the caller owns: these modules hold no state.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cadenza.nn.attend import attend
from cadenza.nn.linear import Linear


class KeysValues(NamedTuple):
    """Keys and values of one attention block, head by head. A cache is longer than what is filled (M >= S)."""

    keys: Float[Tensor, "B H M E"]
    values: Float[Tensor, "B H M E"]


class SelfAttention(nn.Module):
    """`softmax(q k^T / sqrt(E)) v` of a sequence with itself; causal unless told otherwise."""

    def __init__(self, dim: int, num_heads: int, bias: bool = False, dropout: float = 0.0, causal: bool = True) -> None:
        super().__init__()
        assert dim % num_heads == 0, f"width {dim} is not a multiple of {num_heads} heads"
        self.num_heads = num_heads
        self.dropout = dropout
        self.causal = causal
        self.in_projection = Linear(dim, 3 * dim, bias=bias)
        self.out_projection = Linear(dim, dim, bias=bias)

    def forward(
        self, x: Float[Tensor, "B S D"], cache: KeysValues | None = None, start: int = 0
    ) -> Float[Tensor, "B S D"]:
        """Attend within `x`, or, given a cache of which `start` steps are filled, write `x` behind them and attend to
        all of it."""
        batch, steps, dim = x.shape
        packed = self.in_projection(x).view(batch, steps, 3, self.num_heads, dim // self.num_heads)
        query, keys, values = (part.transpose(1, 2) for part in packed.unbind(2))
        mask = None
        if cache is not None:
            end = start + steps
            cache.keys[:, :, start:end] = keys
            cache.values[:, :, start:end] = values
            if start > 0:  # else the new steps are all there is, contiguous as projected
                keys, values = cache.keys[:, :, :end], cache.values[:, :, :end]
                if self.causal and steps > 1:
                    mask = torch.ones(steps, end, dtype=torch.bool, device=x.device).tril(start)
        dropout = self.dropout if self.training else 0.0
        attended = attend(query, keys, values, mask, dropout, causal=self.causal and steps > 1 and mask is None)
        return self.out_projection(attended.transpose(1, 2).reshape(batch, steps, dim))


class CrossAttention(nn.Module):
    """Attention of a sequence to a source. The source's keys and values are computed once (`project_source`)."""

    def __init__(self, dim: int, num_heads: int, bias: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        assert dim % num_heads == 0, f"width {dim} is not a multiple of {num_heads} heads"
        self.dim = dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_projection = Linear(dim, 3 * dim, bias=bias, parts=(dim, 2 * dim))
        self.out_projection = Linear(dim, dim, bias=bias)

    def project_source(self, source: Float[Tensor, "B L D"]) -> KeysValues:
        """Keys and values of the source, `[B, H, L, E]` each."""
        batch, length, dim = source.shape
        keys, values = (
            self.in_projection.part(source, 1).view(batch, length, 2, self.num_heads, dim // self.num_heads).unbind(2)
        )
        return KeysValues(keys.transpose(1, 2).contiguous(), values.transpose(1, 2).contiguous())

    def forward(
        self, x: Float[Tensor, "B S D"], source: KeysValues, mask: Bool[Tensor, "B L"] | None = None
    ) -> Float[Tensor, "B S D"]:
        """`mask` is True where the source may be attended to; None attends to all of it."""
        batch, steps, dim = x.shape
        query = self.in_projection.part(x, 0).view(batch, steps, self.num_heads, dim // self.num_heads).transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        attended = attend(query, source.keys, source.values, None if mask is None else mask[:, None, None, :], dropout)
        return self.out_projection(attended.transpose(1, 2).reshape(batch, steps, dim))
