"""Classifier-free guidance: predictions with and without conditions, mixed.

In: logits of up to three predictions. Out: one set of logits. Ho & Salimans (2022); double guidance is that of
MusicGen-Style (Rouard et al., 2024, section 3.3); the mixture of probabilities that of "音樂生成 Music Generation".
"""

import torch
from jaxtyping import Float
from torch import Tensor


def mix(
    conditional: Float[Tensor, "*shape V"],
    null: Float[Tensor, "*shape V"] | None,
    partial: Float[Tensor, "*shape V"] | None,
    scale: float | Tensor,
    beta: float | Tensor = 1.0,
) -> Float[Tensor, "*shape V"]:
    """Single: `u + scale (c - u)`. Double: `u + scale (s + beta (c - s) - u)`, s being the partial prediction.

    Scales may be tensors that broadcast, one per item. An item without a null (or partial) prediction may pass its
    conditional one in its place, with a scale of 1: that returns the conditional one, bit for bit.
    """
    if partial is not None:
        conditional = partial + beta * (conditional - partial)
    return conditional if null is None else null + (conditional - null) * scale


def mix_probabilities(
    conditional: Float[Tensor, "*shape V"], null: Float[Tensor, "*shape V"], scale: float | Tensor
) -> Float[Tensor, "*shape V"]:
    """`log((1 - scale) P_u + scale P_c)`; a scale below 1, which is all it is defined for, weakens the condition."""
    return torch.log((1 - scale) * torch.softmax(null, -1) + scale * torch.softmax(conditional, -1))
