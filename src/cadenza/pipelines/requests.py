"""Arguments of `generate`, as people give them -> what is to be made, everything decided."""

import secrets
from collections.abc import Mapping, Sequence
from operator import index
from typing import Any, NamedTuple

from jaxtyping import Int
from torch import Tensor

from cadenza.audio import Audio
from cadenza.conditioning.base import Features
from cadenza.errors import UserError
from cadenza.lm.generate import GenerationConfig
from cadenza.pipelines.adapters import Worn
from cadenza.pipelines.decoding import Diffusion
from cadenza.pipelines.prompts import Piece


class Request(NamedTuple):
    """One item to make."""

    piece: Piece
    seed: int
    prompt_codes: Int[Tensor, "K P"] | None
    conditions: Mapping[str, Features]
    """What it listens to besides the text of the piece, by condition; features of the text stand in its place."""
    adapters: tuple[Worn, ...] = ()
    diffusion: Diffusion | None = None
    """What decodes it in place of the codec."""


def combine_settings(
    base: GenerationConfig, given: dict[str, Any], prompt: Audio | Sequence[Audio] | None, has_config: bool
) -> GenerationConfig:
    """The settings in force: those given by name win over `base`.

    Without any word about the duration (`has_config`: the caller's own settings are one), a continuation adds the
    default length behind its audio prompt.
    """
    if given.get("duration") is None and not has_config and prompt is not None:
        prompts = spread_audio(prompt, 1 if isinstance(prompt, Audio) else len(prompt), "audio prompts")
        longest = max((part.duration_seconds for part in prompts if part is not None), default=0.0)
        given = given | {"duration": base.duration + longest}
    chosen = {name: value for name, value in given.items() if value is not None}
    return GenerationConfig(**base.model_dump() | chosen)  # built anew rather than copied, so that all is checked


def choose_seeds(seed: int | Sequence[int] | None, count: int) -> list[int]:
    """One seed per item: as given, counting up from one number, or drawn."""
    if seed is None:
        return [secrets.randbelow(2**31) for _ in range(count)]
    if isinstance(seed, Sequence):
        seeds = list(seed)
    else:
        try:
            first = index(seed)  # numpy's whole numbers too
        except TypeError as error:
            raise UserError(f"seed {seed!r:.40}: choose a whole number from 0 to 2^64 - 1") from error
        seeds = [first + i for i in range(count)]
    if len(seeds) != count:
        raise UserError(f"{len(seeds)} seeds for {count} prompts: give one per prompt, or one number")
    for one in seeds:
        if not isinstance(one, int) or not 0 <= one < 2**64:
            raise UserError(f"seed {one!r:.40}: choose a whole number from 0 to 2^64 - 1")
    return seeds


def spread(value: object, count: int, what: str) -> list[Any]:
    """One per item: the same for all, or as many as there are items. A named tuple is one value."""
    is_several = isinstance(value, list) or (isinstance(value, tuple) and not hasattr(value, "_fields"))
    if not is_several:
        return [value] * count
    assert isinstance(value, list | tuple)
    if len(value) != count:
        raise UserError(f"{len(value)} {what} for {count} prompts: give one per prompt, or a single one for all")
    return list(value)


def spread_audio(value: object, count: int, what: str) -> list[Audio | None]:
    """The same for recordings. Raises UserError for anything else."""
    values = spread(value, count, what)
    for one in values:
        if one is not None and not isinstance(one, Audio):
            raise UserError(f"{one!r:.60} is no audio: give cadenza.Audio.read(file)")
    return values
