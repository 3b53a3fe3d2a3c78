"""The language model over codes: a decoder-only transformer with K embedding tables and K output heads.

In: sequences `[B, K, S]` of codes in pattern order and `FusedConditions`. Out: logits `[B, K, S, V]`, those at step s
for the content of step s + 1. Copet et al. (2023), "Simple and controllable music generation"; as another
configuration of the same class, the decoder of "音樂生成 Music Generation" (post-norm, biases, no final norm, two
special tokens).
"""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cadenza.checkpoint import Config, Pretrained
from cadenza.conditioning.fuser import FusedConditions
from cadenza.engine.cache import KVCache
from cadenza.engine.protocol import StepCache
from cadenza.errors import UserError
from cadenza.lm.patterns import CodebookPattern, DelayConfig, PatternConfig
from cadenza.nn.attention import KeysValues
from cadenza.nn.beside import Beside
from cadenza.nn.linear import Linear, pack_linears
from cadenza.nn.positional import PERIOD, interleaved_positions, sinusoidal_positions
from cadenza.nn.transformer import LayerNorm, TransformerLayer


class SinusoidalConfig(Config):
    """MusicGen's positions: cosines, then sines."""

    kind: Literal["sinusoidal"] = "sinusoidal"
    period: float = Field(PERIOD, gt=0, description="wavelength of the slowest sinusoid over 2 pi, steps")
    offset: int = Field(0, ge=0, description="position of the first step")

    def table(self, length: int, dim: int, device: torch.device) -> Float[Tensor, "S D"]:
        return sinusoidal_positions(length, dim, self.period, self.offset, device)


class InterleavedConfig(Config):
    """Positions of "Attention is all you need": sine and cosine in turn."""

    kind: Literal["interleaved"] = "interleaved"
    period: float = Field(PERIOD, gt=0, description="wavelength of the slowest sinusoid over 2 pi, steps")
    offset: int = Field(0, ge=0, description="position of the first step")

    def table(self, length: int, dim: int, device: torch.device) -> Float[Tensor, "S D"]:
        return interleaved_positions(length, dim, self.period, self.offset, device)


_NARROW = 512

PositionalConfig = Annotated[SinusoidalConfig | InterleavedConfig, Field(discriminator="kind")]


class LMConfig(Config):
    """The defaults are MusicGen-small, text by cross-attention."""

    num_codebooks: int = Field(4, ge=1, le=1024, description="parallel streams of codes, K")
    codebook_size: int = Field(2048, ge=2, le=65536, description="codes per codebook, V")
    num_special_tokens: int = Field(1, ge=1, description="rows of each embedding table beyond the codes")
    dim: int = Field(1024, ge=4, le=65536, description="model width, D")
    num_layers: int = Field(24, ge=1, le=1024, description="transformer layers")
    num_heads: int = Field(16, ge=1, le=1024, description="attention heads")
    feed_forward_dim: int = Field(4096, ge=1, le=1_048_576, description="width of the feed-forward layer")
    cross_attention: bool = Field(True, description="whether layers attend to a source (text)")
    norm_first: bool = Field(True, description="norm before each block; False: after its residual sum")
    final_norm: bool = Field(True, description="norm between the last layer and the heads")
    attention_bias: bool = Field(False, description="biases in attention")
    feed_forward_bias: bool = Field(False, description="biases in the feed-forward layers")
    head_bias: bool = Field(False, description="biases in the output heads")
    activation: Literal["gelu", "relu"] = Field("gelu", description="of the feed-forward layers; gelu is the exact one")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability, training only")
    positional: PositionalConfig = Field(SinusoidalConfig(), description="what tells steps apart")
    pattern: PatternConfig = Field(DelayConfig(), description="how codebooks become steps")

    @property
    def special_token(self) -> int:
        """Stands wherever a codebook has no code: the first row behind the codes."""
        return self.codebook_size


class LM(nn.Module, Pretrained):
    """`logits_k = head_k(norm(layers(sum_k embedding_k(token_k) + position)))`, never the special token.

    Implements `cadenza.engine.protocol.Decoder`. With 16-bit weights the residual stream and norms stay in float32.
    """

    config_class = LMConfig
    fine_weights = ("layers.0.", "heads.")
    """Layers that keep 8 bits in int4: 6 % of MusicGen-small's weights, and with 4 bits two thirds of the error."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        if config.dim % config.num_heads:
            raise UserError(f"dim {config.dim} is not a multiple of num_heads {config.num_heads}: change one of them")
        self.config = config
        self.pattern = CodebookPattern(config.pattern, config.num_codebooks)
        self.gradient_checkpointing = False
        """Recompute each layer in the backward pass: memory for time (training only)."""
        rows = config.codebook_size + config.num_special_tokens
        self.embeddings = nn.ModuleList(nn.Embedding(rows, config.dim) for _ in range(config.num_codebooks))
        self.layers = nn.ModuleList(
            TransformerLayer(
                config.dim,
                config.num_heads,
                config.feed_forward_dim,
                cross_attention=config.cross_attention,
                norm_first=config.norm_first,
                attention_bias=config.attention_bias,
                feed_forward_bias=config.feed_forward_bias,
                activation=config.activation,
                dropout=config.dropout,
            )
            for _ in range(config.num_layers)
        )
        self.out_norm = LayerNorm(config.dim) if config.final_norm else nn.Identity()
        self.heads = nn.ModuleList(
            Linear(config.dim, config.codebook_size, bias=config.head_bias) for _ in range(config.num_codebooks)
        )

    # ---- teacher forced ---------------------------------------------------------------------------------------

    def forward(
        self, sequence: Int[Tensor, "B K S"], conditions: FusedConditions | None = None
    ) -> Float[Tensor, "B K S V"]:
        """Logits at every step of `sequence` at once.

        Without conditions, cross-attention is left out; for a model without biases that equals null conditions.
        """
        conditions = conditions or FusedConditions()
        steps, prefix = sequence.shape[2], conditions.prefix_length
        x = self._embed(sequence)
        if conditions.prefix is not None:
            x = torch.cat([conditions.prefix.to(x.dtype), x], dim=1)
        x = x + self._input_bias(prefix + steps, conditions, x.device)
        for layer in self._transformer_layers():
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = checkpoint(self._run_layer, layer, x, conditions, use_reentrant=False)
            else:
                x = self._run_layer(layer, x, conditions)
        return self._logits(x[:, prefix:])

    def logits_for_codes(
        self, codes: Int[Tensor, "B K T"], conditions: FusedConditions | None = None, fill: float = float("nan")
    ) -> tuple[Float[Tensor, "B K T V"], Bool[Tensor, "B K T"]]:
        """Teacher-forced logits for each code, and the mask of codes that are predicted at all.

        With delays the last codes of the later codebooks fall outside the trained steps: logits there are `fill`.
        """
        batch, _, frames = codes.shape
        sequence, _ = self.pattern.build(codes, self.config.special_token, valid_only=True)
        logits = self(sequence[:, :, :-1], conditions)  # nothing follows the last step
        logits, mask = self.pattern.revert_logits(logits, frames, valid_only=True, fill=fill)
        return logits, mask.expand(batch, -1, -1)

    # ---- step by step -----------------------------------------------------------------------------------------

    def new_cache(self, batch: int, max_steps: int) -> KVCache:
        """State for `batch` sequences of at most `max_steps` steps, the prefix included."""
        return self._new_cache(batch, max_steps, self.device)

    def cache_bytes(self, batch: int, max_steps: int) -> int:
        """What `new_cache` would take."""
        return self._new_cache(batch, max_steps, torch.device("meta")).num_bytes

    def _new_cache(self, batch: int, max_steps: int, device: torch.device) -> KVCache:
        config = self.config
        head_dim = config.dim // config.num_heads
        # On a CPU products in bfloat16 start slowly; where keys and values are few that weighs more than their size.
        narrow = config.dim <= _NARROW and self.device.type == "cpu"
        dtype = torch.float32 if narrow else self.compute_dtype
        return KVCache.allocate(batch, max_steps, config.num_layers, config.num_heads, head_dim, device, dtype)

    def prefill(self, cache: KVCache, conditions: FusedConditions | None) -> None:
        """Project the cross-attention source once, run the prefix, and lay out what is added to each step's input."""
        conditions = conditions or FusedConditions()
        assert cache.length == 0, "prefill needs an empty cache: call reset() first"
        cache.input_bias = self._input_bias(cache.max_steps, conditions, self.device)
        if conditions.cross is not None:
            sources = [self._source(layer, conditions.cross, cache.beside) for layer in self._transformer_layers()]
            cache.set_source(sources, conditions.cross_mask)
        if conditions.prefix is not None:
            self._advance(conditions.prefix.float(), cache)

    def feed(self, sequence: Int[Tensor, "B K s"], cache: StepCache) -> None:
        """Let the cache hold the next `s` steps."""
        self._advance(self._embed(sequence), cache)

    def step(self, sequence: Int[Tensor, "B K s"], cache: StepCache) -> Float[Tensor, "B K s V"]:
        """Logits of the next `s` steps; the cache then holds them. The cache went through `prefill` before."""
        return self._logits(self._advance(self._embed(sequence), cache), cache.beside)

    def _advance(self, x: Float[Tensor, "B s D"], cache: StepCache) -> Float[Tensor, "B s D"]:
        steps = x.shape[1]
        x = x + cache.bias(steps)
        for i, layer in enumerate(self._transformer_layers()):
            x = layer(x, memory=cache.layer(i), beside=cache.beside)
        cache.advance(steps)
        return x

    def pack(self) -> None:
        """Bring the weights into the order in which a CPU decodes fastest (elsewhere: nothing); `train()` undoes it."""
        pack_linears(self)

    # ---- parts ------------------------------------------------------------------------------------------------

    @property
    def compute_dtype(self) -> torch.dtype:
        """Precision of products, keys and values."""
        return cast(TransformerLayer, self.layers[0]).self_attention.in_projection.compute_dtype

    @property
    def device(self) -> torch.device:
        """Where tokens and conditions belong."""
        return cast(nn.Embedding, self.embeddings[0]).weight.device

    def _transformer_layers(self) -> Iterator[TransformerLayer]:
        return (cast(TransformerLayer, layer) for layer in self.layers)

    def _source(
        self, layer: TransformerLayer, cross: Float[Tensor, "B L D"], beside: Beside | None = None
    ) -> KeysValues:
        assert layer.cross_attention is not None, "a cross-attention source for a model without cross-attention"
        return layer.cross_attention.project_source(cross, beside)

    def _run_layer(
        self, layer: TransformerLayer, x: Float[Tensor, "B S D"], conditions: FusedConditions
    ) -> Float[Tensor, "B S D"]:
        return layer(x, conditions.cross, conditions.cross_mask)

    def _embed(self, sequence: Int[Tensor, "B K S"]) -> Float[Tensor, "B S D"]:
        x = self.embeddings[0](sequence[:, 0]).float()
        for k in range(1, self.config.num_codebooks):
            x = x + self.embeddings[k](sequence[:, k])
        return x

    def _input_bias(self, length: int, conditions: FusedConditions, device: torch.device) -> Float[Tensor, "b S D"]:
        """Positions (the prefix counts) plus the conditions that are summed (the prefix does not get them, nor do steps
        behind their end)."""
        bias = self.config.positional.table(length, self.config.dim, device)[None]
        if conditions.sum is not None:
            prefix = conditions.prefix_length
            steps = length - prefix
            added = conditions.sum.float()
            added = added.expand(-1, steps, -1) if added.shape[1] == 1 else added[:, :steps]
            behind = steps - added.shape[1]
            bias = bias + torch.nn.functional.pad(added, (0, 0, prefix, behind))
        return bias

    def _logits(self, x: Float[Tensor, "B S D"], beside: Beside | None = None) -> Float[Tensor, "B K S V"]:
        x = self.out_norm(x)
        return torch.stack([head(x, beside) for head in self.heads], dim=1).float()

    # ---- initialisation ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        """Random weights as the reference trains from (section 4.2).

        Truncated normal (at 3 std) of std `1 / sqrt(fan_in)`, in layer l (from 1) divided by `sqrt(2 l)`; attention's
        packed in-projection keeps the uniform `+-1 / sqrt(fan_in)` of a bare linear layer; biases 0; norms 1 and 0.
        """
        for embedding in self.embeddings:
            _truncated_normal(cast(nn.Embedding, embedding).weight, self.config.dim, 1.0, generator)
        for depth, layer in enumerate(self._transformer_layers(), start=1):
            scale = math.sqrt(2 * depth)
            for attention in (layer.self_attention, layer.cross_attention):
                if attention is None:
                    continue
                bound = 1 / math.sqrt(self.config.dim)
                nn.init.uniform_(attention.in_projection.weight, -bound, bound, generator=generator)
                _truncated_normal(attention.out_projection.weight, self.config.dim, scale, generator)
            _truncated_normal(layer.feed_forward.linear1.weight, self.config.dim, scale, generator)
            _truncated_normal(layer.feed_forward.linear2.weight, self.config.feed_forward_dim, scale, generator)
        for head in self.heads:
            _truncated_normal(cast(nn.Linear, head).weight, self.config.dim, 1.0, generator)
        for module in self.modules():
            if isinstance(module, LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)


def _truncated_normal(weight: Tensor, fan_in: int, scale: float, generator: torch.Generator | None) -> None:
    std = 1 / math.sqrt(fan_in) / scale
    nn.init.trunc_normal_(weight, 0.0, std, -3 * std, 3 * std, generator=generator)
