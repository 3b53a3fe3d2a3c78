"""Classifier-free guidance: conditional and unconditional predictions, mixed.

In: conditions with and without what is to be strengthened, and tokens step by step. Out: one set of logits per item.
Ho & Salimans (2022); double guidance is that of MusicGen-Style (Rouard et al., 2024, section 3.3); the mixture of
probabilities is the one of "音樂生成 Music Generation".
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.conditioning.fuser import FusedConditions, concatenate
from cadenza.engine.cache import KVCache
from cadenza.engine.protocol import Decoder

GuidanceDomain = Literal["logits", "probabilities"]


class GuidedConditions(NamedTuple):
    """What one window of generation listens to. Null conditions may be shorter than the others."""

    conditional: FusedConditions | None
    null: FusedConditions | None = None
    """All conditions dropped; None: there is nothing to drop, and no guidance."""
    partial: FusedConditions | None = None
    """Double guidance: the text alone dropped."""


def mix(
    conditional: Float[Tensor, "*shape V"],
    null: Float[Tensor, "*shape V"] | None,
    partial: Float[Tensor, "*shape V"] | None,
    scale: float,
    beta: float = 1.0,
    domain: GuidanceDomain = "logits",
) -> Float[Tensor, "*shape V"]:
    """Single: `u + scale (c - u)`. Double: `u + scale (s + beta (c - s) - u)`, s being the partial prediction.

    In the domain of probabilities the single mixture is `(1 - scale) P_u + scale P_c`, as logits; a scale below 1,
    which is all it is defined for, weakens the condition.
    """
    if partial is not None:
        conditional = partial + beta * (conditional - partial)
    if null is None:
        return conditional
    if domain == "probabilities":
        mixed = (1 - scale) * torch.softmax(null, -1) + scale * torch.softmax(conditional, -1)
        return torch.log(mixed)
    return null + (conditional - null) * scale


class GuidedDecoder:
    """Runs a decoder once per prediction that `mix` needs, and no more.

    Single pass: all predictions in one batch, shorter conditions padded with zeros. Two-step: one pass and one cache
    each, every pass with conditions of its own length (what training saw, for models whose padding is attended to). A
    scale of 1 needs no null pass, a beta of 1 no partial pass: they are left out.
    """

    def __init__(
        self,
        decoder: Decoder[FusedConditions],
        conditions: GuidedConditions,
        batch: int,
        max_steps: int,
        scale: float,
        beta: float | None = None,
        domain: GuidanceDomain = "logits",
        two_step: bool = False,
    ) -> None:
        self.decoder = decoder
        self.batch = batch
        self.scale = scale
        self.beta = 1.0 if beta is None else beta
        self.domain: GuidanceDomain = domain
        self.has_null = conditions.null is not None and scale != 1
        self.has_partial = conditions.partial is not None and self.beta != 1
        passes = [conditions.conditional]
        if self.has_partial:
            passes.append(conditions.partial)
        if self.has_null:
            passes.append(conditions.null)
        self.num_passes = len(passes)
        if not two_step:
            present = [one for one in passes if one is not None]
            assert len(present) in (0, len(passes)), "guidance needs the conditions of every pass"
            passes = [concatenate(present) if present else None]
        self.caches = [self._start(one, batch * self.num_passes // len(passes), max_steps) for one in passes]

    def _start(self, conditions: FusedConditions | None, batch: int, max_steps: int) -> KVCache:
        prefix = 0 if conditions is None else conditions.prefix_length
        cache = self.decoder.new_cache(batch, prefix + max_steps)
        self.decoder.prefill(cache, conditions)
        return cache

    def step(self, sequence: Int[Tensor, "B K s"]) -> Float[Tensor, "B K V"]:
        """Mixed logits for the step that follows `sequence`."""
        copies = self.num_passes // len(self.caches)
        tokens = sequence.repeat(copies, 1, 1) if copies > 1 else sequence
        outputs = [self.decoder.step(tokens, cache)[:, :, -1] for cache in self.caches]
        parts = list(torch.split(torch.cat(outputs), self.batch))
        null = parts.pop() if self.has_null else None
        partial = parts.pop() if self.has_partial else None
        return mix(parts[0], null, partial, self.scale, self.beta, self.domain)
