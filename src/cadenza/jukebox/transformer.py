"""The stack of layers that every Jukebox prior is made of, and the lyric encoder too.

In: embedded sequences `[B, S, D]`. Out: the same shape, with no norm behind the last layer. Dhariwal et al. (2020),
arXiv 2005.00341. Layers are pre-norm; the residual stream keeps the precision it came in, the products run in that of
the weights.
"""

from typing import cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from cadenza.checkpoint import Config
from cadenza.errors import UserError
from cadenza.jukebox.attention import FactorizedAttention, Grid, LayerKind
from cadenza.jukebox.cache import SequenceCache
from cadenza.nn.attention import KeysValues, Memory
from cadenza.nn.linear import Linear
from cadenza.nn.transformer import LayerNorm

CHUNK_ROWS = 16
"""Rows that a long beginning is fed in at once: 1024 positions of the upsamplers."""


class TransformerConfig(Config):
    """Defaults: the upsamplers of the published models (reference, section 3.5)."""

    dim: int = Field(1920, ge=1, le=65536, description="model width, D")
    num_heads: int = Field(1, ge=1, le=1024, description="attention heads")
    attention_dim: int = Field(480, ge=1, le=65536, description="width of all heads together (m_attn x dim)")
    feed_forward_dim: int = Field(
        1920, ge=1, le=1_048_576, description="width of the feed-forward layers (m_mlp x dim)"
    )
    layers: tuple[LayerKind, ...] = Field(
        min_length=1, max_length=1024, description="what each layer sees, from the first (see `layer_kinds`)"
    )
    num_rows: int = Field(128, ge=1, le=65536, description="rows of the grid that the sequence is seen as (blocks)")

    def grid(self, length: int, num_lyrics: int = 0) -> Grid:
        """The grid of a sequence of `length` positions, the first `num_lyrics` of which are lyrics.

        Prime layers look at the rows' worth of positions that holds the lyrics and at least one position more, which is
        why they see some music too. Raises UserError if the rows do not divide the length.
        """
        if length % self.num_rows:
            raise UserError(f"{length} positions do not make {self.num_rows} equal rows: choose a divisor as num_rows")
        if self.attention_dim % self.num_heads:
            raise UserError(
                f"attention_dim {self.attention_dim} is not a multiple of num_heads {self.num_heads}: change one"
            )
        prime = (num_lyrics // self.num_rows + 1) * self.num_rows
        return Grid(self.num_rows, length // self.num_rows, min(prime, length))


class Norm(LayerNorm):
    """Kept in float32, as the residual stream is (reference, section 3.1)."""

    float32_weights = True


class FeedForward(nn.Module):
    """`linear2(g(linear1(x)))` with the quick GELU, `g(x) = x sigmoid(1.702 x)`."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.linear1 = Linear(dim, hidden_dim, bias=True)
        self.linear2 = Linear(hidden_dim, dim, bias=True)

    def forward(self, x: Float[Tensor, "B s D"]) -> Float[Tensor, "B s D"]:
        hidden = self.linear1(x)
        return self.linear2(hidden * torch.sigmoid(1.702 * hidden))


class TransformerLayer(nn.Module):
    """`a = attention(norm(x)); x + a + feed_forward(norm(x + a))`."""

    def __init__(self, config: TransformerConfig, kind: LayerKind, grid: Grid) -> None:
        super().__init__()
        self.norm_attention = Norm(config.dim)
        self.attention = FactorizedAttention(kind, grid, config.dim, config.attention_dim, config.num_heads)
        self.norm_feed_forward = Norm(config.dim)
        self.feed_forward = FeedForward(config.dim, config.feed_forward_dim)

    def forward(
        self,
        x: Float[Tensor, "B s D"],
        source: Float[Tensor, "B L D"] | None = None,
        memory: Memory | None = None,
    ) -> Float[Tensor, "B s D"]:
        # Converted before they are added: a sum of two precisions is three times as slow, to the same bits.
        x = x + self.attention(self.norm_attention(x), source, memory).to(x.dtype)
        return x + self.feed_forward(self.norm_feed_forward(x)).to(x.dtype)


class Transformer(nn.Module):
    """Layers over a grid. `source` is what cross layers listen to."""

    def __init__(self, config: TransformerConfig, grid: Grid) -> None:
        super().__init__()
        self.config = config
        self.grid = grid
        self.gradient_checkpointing = False
        """Recompute each layer in the backward pass: memory for time (training only)."""
        self.layers = nn.ModuleList(TransformerLayer(config, kind, grid) for kind in config.layers)

    def forward(
        self, x: Float[Tensor, "B s D"], source: Float[Tensor, "B L D"] | None = None, stop: int | None = None
    ) -> Float[Tensor, "B s D"]:
        """The first `s` positions of a sequence, all at once; through the first `stop` layers, or all."""
        steps = x.shape[1]
        x = self._whole_rows(x)
        for layer in self.layers[:stop]:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, source, use_reentrant=False)
            else:
                x = layer(x, source)
        return x[:, :steps]

    def advance(self, x: Float[Tensor, "B s D"], cache: SequenceCache) -> Float[Tensor, "B s D"]:
        """The next `s` positions, in whole rows where a row begins, else one by one."""
        done, outputs = 0, []
        while done < x.shape[1]:
            inside = cache.length % self.grid.columns
            steps = 1 if inside else min(x.shape[1] - done, CHUNK_ROWS * self.grid.columns)
            outputs.append(self._advance(x[:, done : done + steps], cache))
            done += steps
        return torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]

    def _advance(self, x: Float[Tensor, "B s D"], cache: SequenceCache) -> Float[Tensor, "B s D"]:
        steps = x.shape[1]
        x = x + cache.bias(steps)
        if steps > 1:  # what is behind the end is written over before anything sees it
            x = self._whole_rows(x)
        for index, layer in enumerate(self.layers):
            x = layer(x, memory=cache.layer(index))
        cache.advance(steps)
        return x[:, :steps]

    def _whole_rows(self, x: Float[Tensor, "B s D"]) -> Float[Tensor, "B p D"]:
        """`x` and as many zeros as the last row lacks; nothing in front of them sees them."""
        lacking = -x.shape[1] % self.grid.columns
        return F.pad(x, (0, 0, 0, lacking)) if lacking else x

    def sources(self, source: Float[Tensor, "B L D"] | None) -> list[KeysValues | None]:
        """What each cross layer makes of a source; None for other layers."""
        result: list[KeysValues | None] = []
        for layer in self.layers:
            attention = cast(TransformerLayer, layer).attention
            listens = attention.kind == "cross" and source is not None
            result.append(attention.project_source(cast(Tensor, source)) if listens else None)
        return result

    @property
    def compute_dtype(self) -> torch.dtype:
        """Precision of products, keys and values."""
        return cast(TransformerLayer, self.layers[0]).attention.in_projection.compute_dtype

    @torch.no_grad()
    def initialize(self, scale: float, generator: torch.Generator | None = None) -> None:
        """Random weights as published (reference, section 3.2): N(0, 0.02 scale), biases 0, norms 1 and 0.

        Layers that listen to a source begin as nothing, so that a model trained without them computes what it did.
        """
        for layer in self.layers:
            layer = cast(TransformerLayer, layer)
            for part in layer.modules():
                if isinstance(part, Linear):
                    nn.init.normal_(part.weight, 0.0, 0.02 * scale, generator=generator)
                    nn.init.zeros_(part.bias)
                elif isinstance(part, LayerNorm):
                    nn.init.ones_(part.weight)
                    nn.init.zeros_(part.bias)
            if layer.attention.kind == "cross":
                nn.init.zeros_(layer.attention.out_projection.weight)
                nn.init.zeros_(layer.feed_forward.linear2.weight)
