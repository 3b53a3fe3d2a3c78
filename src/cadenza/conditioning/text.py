"""Text as a condition: a frozen T5 encoder, then a projection to the model's width.

In: a sentence per item; None and the empty sentence are dropped values. Out: a `Condition`, one vector per token. The
encoder belongs to no state dict of ours: it is frozen, has its own folder, and runs in float32 whatever the model's
precision.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import WEIGHTS_FILE, Config, RestingWeights
from cadenza.conditioning.base import Condition, Conditioner, Features, given_features, output_projection
from cadenza.conditioning.normalize import normalize_text
from cadenza.conditioning.t5 import T5Encoder, TextTokenizer
from cadenza.errors import UserError


class TextEncoder(NamedTuple):
    """An encoder with the tokenizer it was trained with."""

    model: T5Encoder
    tokenizer: TextTokenizer
    weights: RestingWeights | None = None

    @classmethod
    def from_pretrained(cls, directory: str | Path, device: str | torch.device = "cpu") -> "TextEncoder":
        model = T5Encoder.from_pretrained(directory, device, torch.float32).requires_grad_(False)
        weights = RestingWeights(model, Path(directory) / WEIGHTS_FILE)
        return cls(model, TextTokenizer.from_pretrained(directory), weights)

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None) -> None:
        self.model.save_pretrained(directory, dtype)
        self.tokenizer.save_pretrained(directory)

    def encode(self, texts: Sequence[str], max_tokens: int | None = None) -> list[Float[Tensor, "_ D"]]:
        """Hidden states per sentence, each of its own length; float32, with gradient if the weights have one."""
        ids = [tokens[:max_tokens] for tokens in self.tokenizer(texts)]
        device = self.model.shared.weight.device
        longest = max(map(len, ids))
        padded = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens in ids], device=device)
        lengths = torch.tensor([len(tokens) for tokens in ids], device=device)
        mask = torch.arange(longest, device=device) < lengths[:, None]
        with torch.autocast(device.type, enabled=False):
            hidden = self.model(padded, mask)
        return [row[: len(tokens)] for row, tokens in zip(hidden, ids, strict=True)]


class TextConfig(Config):
    """T5 text. The defaults are MusicGen's."""

    kind: Literal["text"] = "text"
    dim: int = Field(768, ge=1, description="width of the encoder's output, E")
    projection_layers: Literal[1, 2] = Field(1, description="linear layers between the encoder and the model")
    encoder: str = Field("text_encoder", pattern=r"^[\w.-]+$", description="folder of the frozen encoder")
    max_tokens: int = Field(512, ge=1, description="longest sentence accepted, tokens, `</s>` included")
    truncate: bool = Field(False, description="cut longer sentences instead of refusing them")
    pad_to: int | None = Field(None, ge=1, description="pad every batch to this many tokens; None: to its longest")
    normalize: bool = Field(False, description="leave out stop words and use base forms (needs the extra `text`)")


class TextConditioner(Conditioner):
    """`Linear(T5(text))`, zero for padding and for empty sentences."""

    accepts = "a sentence"

    def __init__(self, config: TextConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.output_projection = output_projection(config.dim, dim, config.projection_layers)
        self.encoder: TextEncoder | None = None
        """A tuple, and so no submodule: it stays out of the state dict and keeps its own precision."""

    @property
    def feature_dim(self) -> int:
        return self.config.dim

    @torch.no_grad()
    def prepare(self, values: Sequence[object]) -> list[Features | None]:
        """Encode the distinct sentences once, each to `[tokens, E]`."""
        given = [given_features(v, self.config.dim, self.accepts) if isinstance(v, Tensor) else None for v in values]
        texts = [None if isinstance(value, Tensor) else self.sentence(value) for value in values]
        distinct = list(dict.fromkeys(text for text in texts if text is not None))
        if not distinct:
            return given
        if self.encoder is None:
            raise UserError(f"no text encoder: put one into the folder {self.config.encoder!r} beside the weights")
        if not self.config.truncate:
            for text, ids in zip(distinct, self.encoder.tokenizer(distinct), strict=True):
                if len(ids) > self.config.max_tokens:
                    limit = self.config.max_tokens
                    raise UserError(f"the text {text[:40]!r}... has {len(ids)} tokens, at most {limit} fit: shorten it")
        device, _ = self.parameters_like()
        self.encoder.model.to(device)
        encoded = dict(zip(distinct, self.encoder.encode(distinct, self.config.max_tokens), strict=True))
        if self.encoder.weights is not None:
            self.encoder.weights.rest()
        return [tensor if text is None else encoded[text] for text, tensor in zip(texts, given, strict=True)]

    def forward(self, features: Sequence[Features | None], min_length: int = 1) -> Condition:
        return super().forward(features, max(min_length, self.config.pad_to or 1))

    def sentence(self, value: object) -> str | None:
        """What the encoder reads of a value; None if there is nothing to read. Raises UserError if it is no text."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise UserError(f"a text is a string, not {type(value).__name__}")
        text = normalize_text(value) if self.config.normalize else value
        return text if text.strip() else None
