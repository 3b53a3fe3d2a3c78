"""How many guided steps a second the memory allows: every weight that a step uses must be read once in it.

In: a shape, a precision, the length of a piece. Out: bytes per step, weights and keys and values apart.
"""

from typing import Any, NamedTuple

import torch

from cadenza.lm.model import LMConfig
from cadenza.nn.quantize import GROUP as INT4_GROUP

STREAMS = 2  # with and without the words: guidance
CACHE_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 2, "int4": 2}  # of a key's or a value's number
SCALE_BITS = 16  # and as many for the offset


class StepBytes(NamedTuple):
    weights: float
    cache: float

    @property
    def total(self) -> float:
        return self.weights + self.cache


def bits_per_weight(precision: str) -> float:
    """Bits of a weight, its share of the scales included (one a row in int8: nothing to speak of)."""
    plain = {"fp32": 32.0, "bf16": 16.0, "fp16": 16.0, "int8": 8.0}
    return plain[precision] if precision in plain else 4 + 2 * SCALE_BITS / INT4_GROUP


def weights_per_step(lm: LMConfig) -> int:
    """Self-attention 4 d^2, cross-attention's query and output 2 d^2 (its keys and values are computed once a piece),
    feed-forward 2 d f, per layer; and the heads."""
    layer = (6 if lm.cross_attention else 4) * lm.dim**2 + 2 * lm.dim * lm.feed_forward_dim
    return layer * lm.num_layers + lm.num_codebooks * lm.codebook_size * lm.dim


def step_bytes(lm: LMConfig, precision: str, steps: int, cross_length: int, songs: int = 1) -> StepBytes:
    """Bytes that a mean step of a piece of `steps` steps reads, for `songs` guided pieces at once."""
    positions = (steps - 1) / 2 + cross_length
    cache = 2 * lm.num_layers * lm.dim * positions * CACHE_BYTES[precision] * STREAMS * songs
    return StepBytes(weights_per_step(lm) * bits_per_weight(precision) / 8, cache)


def weight_bytes(music: Any, precision: str) -> float:
    """What a whole pipeline must hold: the language model in its precision (embeddings at least 16 bits), the rest in
    fp32."""
    lm: LMConfig = music.lm.config
    linears = weights_per_step(lm) + (2 * lm.dim**2 * lm.num_layers if lm.cross_attention else 0)
    embeddings = lm.num_codebooks * (lm.codebook_size + lm.num_special_tokens) * lm.dim
    bits = bits_per_weight(precision)
    conditioner: Any = music.conditioning.conditioner(music.config.text_condition)
    others = [*_floats(music.codec), *_floats(music.conditioning), *_floats(conditioner.encoder.model)]
    return (linears * bits + embeddings * max(16.0, bits)) / 8 + 4 * sum(others)


def _floats(module: torch.nn.Module) -> list[int]:
    return [tensor.numel() for tensor in module.state_dict().values() if tensor.is_floating_point()]
