"""Multi-head attention over a sequence itself and over a second sequence.

In: hidden states `[B, S, D]`. Out: the same shape. Queries, keys and values come from one packed projection (rows in
the order q, k, v; within each, heads x width per head), as in Vaswani et al. (2017). While a sequence grows, its keys
and values live in a `Memory` that the caller owns: these modules hold no state.
"""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from cadenza.nn.attend import attend
from cadenza.nn.beside import Beside
from cadenza.nn.linear import Linear


class KeysValues(NamedTuple):
    """Keys and values of one attention block, head by head."""

    keys: Float[Tensor, "B H M E"]
    values: Float[Tensor, "B H M E"]


@runtime_checkable
class Memory(Protocol):
    """One layer's share of sequences that grow: what they hold so far, and the source they listen to."""

    @property
    def has_source(self) -> bool:
        """Whether there is a source; without one, cross-attention is left out."""

    def attend(
        self, query: Float[Tensor, "B H s E"], keys: Float[Tensor, "B H s E"], values: Float[Tensor, "B H s E"]
    ) -> Float[Tensor, "B H s E"]:
        """Append keys and values of the next steps, and attend to all that is there, causally."""

    def attend_source(self, query: Float[Tensor, "B H s E"]) -> Float[Tensor, "B H s E"]:
        """Attend to the source."""


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
        self, x: Float[Tensor, "B S D"], memory: Memory | None = None, beside: Beside | None = None
    ) -> Float[Tensor, "B S D"]:
        """Attend within `x`, or, given a memory, to `x` and all that came before it."""
        batch, steps, dim = x.shape
        packed = self.in_projection(x, beside).view(batch, steps, 3, self.num_heads, dim // self.num_heads)
        query, keys, values = (part.transpose(1, 2) for part in packed.unbind(2))
        if memory is not None:
            attended = memory.attend(query, keys, values)
        else:
            dropout = self.dropout if self.training else 0.0
            attended = attend(query, keys, values, None, dropout, causal=self.causal and steps > 1)
        return self.out_projection(attended.transpose(1, 2).reshape(batch, steps, dim), beside)


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

    def project_source(self, source: Float[Tensor, "B L D"], beside: Beside | None = None) -> KeysValues:
        """Keys and values of the source, `[B, H, L, E]` each."""
        batch, length, dim = source.shape
        packed = self.in_projection.part(source, 1, beside)
        keys, values = packed.view(batch, length, 2, self.num_heads, dim // self.num_heads).unbind(2)
        return KeysValues(keys.transpose(1, 2).contiguous(), values.transpose(1, 2).contiguous())

    def forward(
        self,
        x: Float[Tensor, "B S D"],
        source: KeysValues | None,
        mask: Bool[Tensor, "B L"] | None = None,
        memory: Memory | None = None,
        beside: Beside | None = None,
    ) -> Float[Tensor, "B S D"]:
        """`mask` is True where the source may be attended to; None attends to all of it. A memory brings its own."""
        batch, steps, dim = x.shape
        query = self.in_projection.part(x, 0, beside)
        query = query.view(batch, steps, self.num_heads, dim // self.num_heads).transpose(1, 2)
        if memory is not None:
            attended = memory.attend_source(query)
        else:
            assert source is not None, "cross-attention without a source"
            dropout = self.dropout if self.training else 0.0
            seen = None if mask is None else mask[:, None, None, :]
            attended = attend(query, source.keys, source.values, seen, dropout)
        return self.out_projection(attended.transpose(1, 2).reshape(batch, steps, dim), beside)
