"""Fusion: named conditions to what the language model takes in.

In: a `Condition` per name. Out: `FusedConditions`: a cross-attention source, a prefix, a vector that is added to every
step.

Padding. Values of a batch have different lengths. In audiocraft the padding is zero vectors that still take part in
cross-attention (key 0: score 0, value 0), so one prompt's result depends on the longest prompt beside it; weights
were trained like that. `transformers` masks padding out of cross-attention. `mask_padding` selects: False is
audiocraft, True is transformers. The two agree for a single prompt and for prompts of equal length. A prefix is never
masked, in either.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from cadenza.checkpoint import Config
from cadenza.conditioning.base import Condition


class FusedConditions(NamedTuple):
    """What a language model listens to; absent parts are None."""

    cross: Float[Tensor, "B L D"] | None = None
    cross_mask: Bool[Tensor, "B L"] | None = None
    """True where the source may be attended to; None: everywhere."""
    prefix: Float[Tensor, "B P D"] | None = None
    sum: Float[Tensor, "B s D"] | None = None
    """Added to the input of each step; a single vector is added to all."""

    @property
    def batch(self) -> int:
        return next(part.shape[0] for part in self if part is not None)

    @property
    def has_parts(self) -> bool:
        return any(part is not None for part in self)

    @property
    def prefix_length(self) -> int:
        return 0 if self.prefix is None else self.prefix.shape[1]

    def rows(self, start: int, end: int) -> "FusedConditions":
        """Items `start` to `end` of the batch."""
        return FusedConditions(*(None if part is None else part[start:end] for part in self))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "FusedConditions":
        """Moved to a device; floating-point parts also to `dtype`, if given."""
        return FusedConditions(
            *(
                None if part is None else part.to(device, dtype if dtype and part.is_floating_point() else part.dtype)
                for part in self
            )
        )


def concatenate(parts: Sequence[FusedConditions]) -> FusedConditions:
    """One batch out of several; shorter sources and prefixes are padded with zeros on the right."""
    if len(parts) == 1:
        return parts[0]
    masks = [part.cross_mask for part in parts]
    cross = _concatenate([part.cross for part in parts])
    mask = None
    if cross is not None and any(one is not None for one in masks):
        rows = []
        for part, one in zip(parts, masks, strict=True):
            assert part.cross is not None
            rows.append(torch.ones_like(part.cross[..., 0], dtype=torch.bool) if one is None else one)
        longest = cross.shape[1]
        mask = torch.cat([F.pad(row, (0, longest - row.shape[1])) for row in rows])
    return FusedConditions(
        cross, mask, _concatenate([part.prefix for part in parts]), _concatenate([part.sum for part in parts])
    )


def _concatenate(parts: Sequence[Tensor | None]) -> Tensor | None:
    present = [part for part in parts if part is not None]
    if not present:
        return None
    assert len(present) == len(parts), "conditions of one batch must have the same parts"
    longest = max(part.shape[1] for part in present)
    return torch.cat([F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in present])


class FuserConfig(Config):
    """Which condition enters how. The order of each list is the order in the sequence (the first is the foremost).

    Official models are ordered [melody or style, text] in `prepend` and text first in `cross`.
    """

    cross: tuple[str, ...] = Field((), description="concatenated in time into the cross-attention source")
    prepend: tuple[str, ...] = Field((), description="put in front of the tokens, under the same causal mask")
    sum: tuple[str, ...] = Field((), description="added to the input of every step")
    mask_padding: bool = Field(False, description="keep padding out of cross-attention (transformers); else zeros")

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.cross, *self.prepend, *self.sum)

    @classmethod
    def cross_text(cls, name: str = "description", mask_padding: bool = False) -> "FuserConfig":
        """The text-to-music arrangement: one text condition by cross-attention."""
        return cls(cross=(name,), mask_padding=mask_padding)


def fuse(conditions: Mapping[str, Condition], config: FuserConfig) -> FusedConditions:
    """Arrange conditions as `config` says; conditions that it does not name are ignored."""

    def joined(names: tuple[str, ...]) -> Tensor | None:
        return torch.cat([conditions[name].embedding for name in names], dim=1) if names else None

    mask = None
    if config.cross and config.mask_padding:
        mask = torch.cat([conditions[name].mask for name in config.cross], dim=1)
        # A dropped value leaves nothing to attend to; softmax over nothing is undefined, over its zeros it is zero.
        mask = mask | ~mask.any(dim=1, keepdim=True)
    added = None
    for name in config.sum:
        embedding = conditions[name].embedding
        added = embedding if added is None else added + embedding
    return FusedConditions(joined(config.cross), mask, joined(config.prepend), added)
