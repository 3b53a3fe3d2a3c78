"""T5 and FLAN-T5 text encoders, and their tokenizer.

In: sentences. Out: one vector per token, `[B, L, D]`. Raffel et al. (2020), "Exploring the limits of transfer learning
with a unified text-to-text transformer"; the gated GELU of T5 1.1 and FLAN-T5 is Shazeer (2020), "GLU variants improve
transformer". Written here because importing `transformers` takes seconds; held to it by a test.

Parameter names are those of Hugging Face's `T5EncoderModel`, and its `config.json` is understood: an official
directory loads as is.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from cadenza.checkpoint import WEIGHTS_FILE, Config, Pretrained, on_meta, read_weights, weight_shapes
from cadenza.errors import CheckpointError
from cadenza.files import atomic_file

TOKENIZER_FILE = "tokenizer.json"
TIED_EMBEDDING = "encoder.embed_tokens.weight"
"""Older files hold the token embedding under this name, beside `shared.weight` or instead of it."""


class T5Config(Config):
    """The defaults are t5-base. Reads Hugging Face's `config.json` too."""

    vocab_size: int = Field(32128, ge=1, le=10_000_000, description="rows of the token embedding")
    dim: int = Field(768, ge=1, le=65536, description="model width, D")
    head_dim: int = Field(64, ge=1, le=65536, description="width per attention head, E")
    num_heads: int = Field(12, ge=1, le=1024, description="attention heads; heads x head_dim need not be dim")
    num_layers: int = Field(12, ge=1, le=1024, description="encoder layers")
    feed_forward_dim: int = Field(3072, ge=1, description="width of the feed-forward layers")
    feed_forward: Literal["relu", "gated-gelu"] = Field("relu", description="relu: T5 1.0; gated-gelu: T5 1.1, FLAN-T5")
    num_buckets: int = Field(32, ge=4, description="relative-position buckets, half for each direction")
    max_distance: int = Field(128, ge=2, description="distance from which on all share the last bucket, tokens")
    norm_epsilon: float = Field(1e-6, gt=0, description="added to the mean square")

    @model_validator(mode="before")
    @classmethod
    def _from_hugging_face(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "d_model" not in value:
            return value
        renamed = {
            "vocab_size": value["vocab_size"],
            "dim": value["d_model"],
            "head_dim": value.get("d_kv", 64),
            "num_heads": value["num_heads"],
            "num_layers": value["num_layers"],
            "feed_forward_dim": value["d_ff"],
            "feed_forward": value.get("feed_forward_proj", "relu"),
            "num_buckets": value.get("relative_attention_num_buckets", 32),
            "max_distance": value.get("relative_attention_max_distance", 128),
            "norm_epsilon": value.get("layer_norm_epsilon", 1e-6),
        }
        return renamed


class RMSNorm(nn.Module):
    """`weight * x / sqrt(mean(x^2) + epsilon)`: no mean taken off, no bias."""

    def __init__(self, dim: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon))


class _Attention(nn.Module):
    """Attention without the usual `1 / sqrt(E)`: the initialisation holds it instead."""

    def __init__(self, config: T5Config, has_bias: bool) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        inner = config.num_heads * config.head_dim
        self.q = nn.Linear(config.dim, inner, bias=False)
        self.k = nn.Linear(config.dim, inner, bias=False)
        self.v = nn.Linear(config.dim, inner, bias=False)
        self.o = nn.Linear(inner, config.dim, bias=False)
        if has_bias:
            self.relative_attention_bias = nn.Embedding(config.num_buckets, config.num_heads)

    def forward(self, x: Float[Tensor, "B L D"], bias: Float[Tensor, "B H L L"]) -> Float[Tensor, "B L D"]:
        batch, length, _ = x.shape
        query, keys, values = (
            projection(x).view(batch, length, self.num_heads, -1).transpose(1, 2)
            for projection in (self.q, self.k, self.v)
        )
        attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=bias, scale=1.0)
        return self.o(attended.transpose(1, 2).reshape(batch, length, -1))


class _FeedForward(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.gated = config.feed_forward == "gated-gelu"
        if self.gated:
            self.wi_0 = nn.Linear(config.dim, config.feed_forward_dim, bias=False)
            self.wi_1 = nn.Linear(config.dim, config.feed_forward_dim, bias=False)
        else:
            self.wi = nn.Linear(config.dim, config.feed_forward_dim, bias=False)
        self.wo = nn.Linear(config.feed_forward_dim, config.dim, bias=False)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        if self.gated:  # the GELU of T5 1.1 is the tanh approximation
            return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))
        return self.wo(F.relu(self.wi(x)))


class _AttentionLayer(nn.Module):
    def __init__(self, config: T5Config, has_bias: bool) -> None:
        super().__init__()
        self.SelfAttention = _Attention(config, has_bias)
        self.layer_norm = RMSNorm(config.dim, config.norm_epsilon)

    def forward(self, x: Float[Tensor, "B L D"], bias: Float[Tensor, "B H L L"]) -> Float[Tensor, "B L D"]:
        return x + self.SelfAttention(self.layer_norm(x), bias)


class _FeedForwardLayer(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.DenseReluDense = _FeedForward(config)
        self.layer_norm = RMSNorm(config.dim, config.norm_epsilon)

    def forward(self, x: Float[Tensor, "B L D"], bias: Float[Tensor, "B H L L"]) -> Float[Tensor, "B L D"]:
        return x + self.DenseReluDense(self.layer_norm(x))


class _Block(nn.Module):
    def __init__(self, config: T5Config, has_bias: bool) -> None:
        super().__init__()
        self.layer = nn.ModuleList([_AttentionLayer(config, has_bias), _FeedForwardLayer(config)])


class _Stack(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        # Only the first block owns a table of relative positions; all blocks use it.
        self.block = nn.ModuleList(_Block(config, has_bias=i == 0) for i in range(config.num_layers))
        self.final_layer_norm = RMSNorm(config.dim, config.norm_epsilon)


class T5Encoder(nn.Module, Pretrained):
    """Pre-norm transformer with RMS norms and learned relative positions, bidirectional. Runs in float32 (trap 4)."""

    config_class = T5Config
    ignored_weights = ("decoder.", "lm_head.", TIED_EMBEDDING)

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.dim)
        self.encoder = _Stack(config)

    @classmethod
    def from_pretrained(
        cls, directory: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> "T5Encoder":
        """Load our own or an official directory; see `Pretrained.from_pretrained` for errors."""
        weights = Path(directory) / WEIGHTS_FILE
        if not weights.is_file() or "shared.weight" in weight_shapes(weights):
            return super().from_pretrained(directory, device, dtype)
        state = read_weights(weights)
        if TIED_EMBEDDING not in state:
            raise CheckpointError(f"{weights} holds no token embedding: it is not a T5 encoder")
        with on_meta():
            encoder = cls(cast(T5Config, cls.read_config(directory)))
        state["shared.weight"] = state[TIED_EMBEDDING]
        state = {name: tensor for name, tensor in state.items() if not name.startswith(cls.ignored_weights)}
        try:
            encoder.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise CheckpointError(f"{weights} does not match its config.json: fetch or convert it again") from error
        return encoder.to(device, dtype).eval()

    def forward(self, ids: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        """Last hidden states; False in the mask is padding, which no token attends to."""
        x = self.shared(ids)
        first = cast(_AttentionLayer, cast(_Block, self.encoder.block[0]).layer[0]).SelfAttention
        table = first.relative_attention_bias(self._buckets(ids.shape[1], ids.device))  # [L, L, H]
        bias = table.permute(2, 0, 1)[None].masked_fill(~mask[:, None, None, :], torch.finfo(x.dtype).min)
        for block in self.encoder.block:
            for layer in cast(_Block, block).layer:
                x = layer(x, bias)
        return self.encoder.final_layer_norm(x)

    def _buckets(self, length: int, device: torch.device) -> Int[Tensor, "L L"]:
        """Bucket of each (query, key) pair: half of them for keys ahead; near distances one by one, far ones by
        logarithm.
        """
        position = torch.arange(length, device=device)
        offset = position[None, :] - position[:, None]
        half = self.config.num_buckets // 2
        exact = half // 2
        distance = offset.abs()
        span = math.log(self.config.max_distance / exact)
        far = exact + (torch.log(distance.clamp(min=1).float() / exact) / span * (half - exact)).long()
        bucket = torch.where(distance < exact, distance, far.clamp(max=half - 1))
        return bucket + (offset > 0) * half

    @torch.no_grad()
    def initialize(self, generator: torch.Generator | None = None) -> None:
        """Random weights as T5 trains from; the query's std holds the `1 / sqrt(E)` that attention leaves out."""
        config = self.config
        inner = config.num_heads * config.head_dim
        for name, parameter in self.named_parameters():
            leaf = name.rsplit(".", 2)[-2]
            if leaf.endswith("layer_norm"):
                nn.init.ones_(parameter)
                continue
            std = {
                "shared": 1.0,
                "q": (config.dim * config.head_dim) ** -0.5,
                "o": inner**-0.5,
                "wo": config.feed_forward_dim**-0.5,
            }.get(leaf, config.dim**-0.5)
            nn.init.normal_(parameter, 0.0, std, generator=generator)


class TextTokenizer:
    """Sentences to token ids, over a `tokenizer.json`; each sentence ends with `</s>`, as that file arranges."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        # What the file says about padding and truncation belongs to its former user.
        tokenizer.no_padding()
        tokenizer.no_truncation()

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> "TextTokenizer":
        path = Path(directory) / TOKENIZER_FILE
        if not path.is_file():
            raise CheckpointError(f"no {TOKENIZER_FILE} in {directory}: the text encoder's folder is incomplete")
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # the Rust library raises plain Exception
            raise CheckpointError(f"{path} is not a readable tokenizer ({error}): fetch or convert it again") from error

    def save_pretrained(self, directory: str | Path) -> None:
        with atomic_file(Path(directory) / TOKENIZER_FILE) as temporary:
            self.tokenizer.save(str(temporary))

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids per sentence, of their own lengths."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
