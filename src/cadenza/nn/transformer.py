"""One transformer layer: self-attention, optional cross-attention, feed-forward, each with a residual and a norm.

In: hidden states `[B, S, D]`. Out: the same shape. Norms come before each block (MusicGen) or after the residual sum
(Vaswani et al., 2017; the decoder of "音樂生成 Music Generation"). The residual stream keeps the precision it came in:
with 16-bit weights and a float32 stream the matrix products run in 16 bits and the sums do not, as in the reference.
"""

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from cadenza.nn.attention import CrossAttention, KeysValues, Memory, SelfAttention
from cadenza.nn.beside import Beside
from cadenza.nn.linear import Linear

Activation = Literal["gelu", "relu"]


class LayerNorm(nn.LayerNorm):
    """Layer normalisation in the precision of its input, whatever that of its weights."""

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return F.layer_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


class FeedForward(nn.Module):
    """`linear2(activation(linear1(x)))`; GELU is the exact one."""

    def __init__(
        self, dim: int, hidden_dim: int, bias: bool = False, activation: Activation = "gelu", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.activation = F.gelu if activation == "gelu" else F.relu
        self.dropout = dropout
        self.linear1 = Linear(dim, hidden_dim, bias=bias)
        self.linear2 = Linear(hidden_dim, dim, bias=bias)

    def forward(self, x: Float[Tensor, "B S D"], beside: Beside | None = None) -> Float[Tensor, "B S D"]:
        hidden = self.activation(self.linear1(x, beside))
        return self.linear2(F.dropout(hidden, self.dropout, self.training), beside)


class TransformerLayer(nn.Module):
    """`x += block(norm(x))` for each block, or `x = norm(x + block(x))` when `norm_first` is False."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        feed_forward_dim: int,
        *,
        cross_attention: bool = False,
        norm_first: bool = True,
        attention_bias: bool = False,
        feed_forward_bias: bool = False,
        activation: Activation = "gelu",
        dropout: float = 0.0,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.dropout = dropout
        self.self_attention = SelfAttention(dim, num_heads, attention_bias, dropout, causal)
        self.norm_self = LayerNorm(dim)
        self.cross_attention = CrossAttention(dim, num_heads, attention_bias, dropout) if cross_attention else None
        self.norm_cross = LayerNorm(dim) if cross_attention else None
        self.feed_forward = FeedForward(dim, feed_forward_dim, feed_forward_bias, activation, dropout)
        self.norm_feed_forward = LayerNorm(dim)

    def forward(
        self,
        x: Float[Tensor, "B S D"],
        source: KeysValues | Float[Tensor, "B L D"] | None = None,
        source_mask: Bool[Tensor, "B L"] | None = None,
        memory: Memory | None = None,
        beside: Beside | None = None,
    ) -> Float[Tensor, "B S D"]:
        """`source`: the cross-attention source, or what this layer projected it to; without one, cross-attention is
        left out. `memory`: what sequences that grow hold of this layer, their source included.
        `beside`: what adapters add to the linear layers."""
        if isinstance(source, Tensor):
            assert self.cross_attention is not None, "a cross-attention source for a model without cross-attention"
            source = self.cross_attention.project_source(source)
        listens = source is not None if memory is None else memory.has_source
        if self.norm_first:
            x = x + self._drop(self.self_attention(self.norm_self(x), memory, beside))
            if self.cross_attention is not None and self.norm_cross is not None and listens:
                x = x + self._drop(self.cross_attention(self.norm_cross(x), source, source_mask, memory, beside))
            return x + self._drop(self.feed_forward(self.norm_feed_forward(x), beside))
        x = self.norm_self(x + self._drop(self.self_attention(x, memory, beside)))
        if self.cross_attention is not None and self.norm_cross is not None and listens:
            x = self.norm_cross(x + self._drop(self.cross_attention(x, source, source_mask, memory, beside)))
        return self.norm_feed_forward(x + self._drop(self.feed_forward(x, beside)))

    def _drop(self, x: Float[Tensor, "B S D"]) -> Float[Tensor, "B S D"]:
        return F.dropout(x, self.dropout, self.training) if self.training and self.dropout > 0 else x
