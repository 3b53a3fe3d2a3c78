"""Captions in a token cache: the states of a frozen text encoder, or token ids, computed once.

In: manifest entries and a text encoder. Out: per caption `[L, E]` in 16 bits, or ids `[L]`. Words can be left out once,
when the cache is made, as System 1 did: then every epoch sees the same thinned captions (MusicGen draws anew).
"""

import hashlib
import random
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config
from cadenza.conditioning.normalize import normalize_text
from cadenza.conditioning.text import TextEncoder
from cadenza.data.captions import drop_words
from cadenza.data.manifest import Entry
from cadenza.data.shards import add_tensor
from cadenza.errors import UserError

LAYER = "text"
_TOGETHER = 16
"""Captions encoded together."""


class TextForm(Config):
    """What is kept of a caption."""

    form: Literal["states", "ids"] = Field("states", description="hidden states of the encoder, or its token ids")
    max_tokens: int | None = Field(512, ge=1, description="longer captions are cut; `</s>` included")
    normalize: bool = Field(False, description="leave out stop words and use base forms, as the model's condition does")
    word_dropout: float = Field(0.0, ge=0, le=1, description="chance that a word is left out, drawn once")
    seed: int = Field(0, description="of the words that are left out")


class Texts(NamedTuple):
    """An encoder and what to keep of it."""

    encoder: TextEncoder
    form: TextForm

    @property
    def settings(self) -> dict[str, Any]:
        """What the index says of the layer, and what a model has to have in common with it."""
        settings = self.form.model_dump(mode="json") | {"encoder": text_encoder_hash(self.encoder)}
        return settings if self.form.form == "ids" else settings | {"dim": self.encoder.model.config.dim}


def text_encoder_hash(encoder: TextEncoder) -> str:
    """`text_encoder_hash(encoder)`: SHA-256 of weights and tokenizer, to be compared with `TokenCache.text_encoder`.

    States of one encoder mean nothing to a model that was trained with another.
    """
    total = hashlib.sha256(encoder.tokenizer.tokenizer.to_str().encode())
    for name, tensor in sorted(encoder.model.state_dict().items()):
        add_tensor(total, name, tensor)
    return total.hexdigest()


@torch.no_grad()
def encode_texts(texts: Texts, entries: Sequence[Entry]) -> dict[str, Tensor]:
    """Tensors by `text_name(id, caption number)`; a caption of which nothing is left has length 0.

    Captions of about equal length are encoded together: padding costs, and changes nothing but the last bits.
    """
    words = {
        text_name(entry.id, n): _words(caption, texts.form, entry.id, n)
        for entry in entries
        for n, caption in enumerate(entry.captions)
    }
    if texts.form.form == "ids":
        ids = texts.encoder.tokenizer(list(words.values())) if words else []
        pairs = zip(words.items(), ids, strict=True)
        limit = texts.form.max_tokens
        return {
            name: torch.tensor(tokens[:limit] if text.strip() else [], dtype=torch.int32)
            for (name, text), tokens in pairs
        }
    empty = torch.zeros(0, texts.encoder.model.config.dim, dtype=torch.float16)
    states = {name: empty.clone() for name, text in words.items() if not text.strip()}
    names = sorted((name for name, text in words.items() if text.strip()), key=lambda name: (len(words[name]), name))
    for start in range(0, len(names), _TOGETHER):
        some = names[start : start + _TOGETHER]
        hidden = texts.encoder.encode([words[name] for name in some], texts.form.max_tokens)
        for name, row in zip(some, hidden, strict=True):
            states[name] = row.to("cpu", torch.float16, copy=True)
            if not bool(states[name].isfinite().all()):
                raise UserError(f"the states of {words[name][:40]!r} do not fit into 16 bits: use --text ids")
    return states


def text_name(item: str, caption: int) -> str:
    """The name of a caption's tensor in its shard."""
    return f"{caption}/{item}"


def _words(caption: str, form: TextForm, item: str, number: int) -> str:
    text = normalize_text(caption) if form.normalize else caption
    return drop_words(text, form.word_dropout, random.Random(f"{form.seed} {number} {item}"))
