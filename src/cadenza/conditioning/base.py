"""Conditions: what a language model listens to besides its own codes.

In: one raw value per item of the batch (a sentence, a melody, ...; None: dropped). Out: a `Condition`. The work is in
two parts: `prepare` runs the expensive, frozen part per item and gives features that can be cached by content;
`forward` pads, projects to the model's width and masks, and is cheap and trainable.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cadenza.errors import UserError

Features = Float[Tensor, "_ E"]
"""What `prepare` makes of one value: a sequence of vectors, before projection."""


class Condition(NamedTuple):
    """Embeddings at the model's width; False in the mask is padding or a dropped value, where the embedding is 0."""

    embedding: Float[Tensor, "B L D"]
    mask: Bool[Tensor, "B L"]


class Opening(NamedTuple):
    """The part of a piece that stands in place of the first `seconds` of a window (`GenerationConfig.anchor`)."""

    start_seconds: float
    seconds: float


class Conditioner(nn.Module, ABC):
    """One named condition: raw value -> features -> `Condition`.

    A dropped value is None among the features, and becomes a single zero vector with mask False: the zero is taken
    after the projection, so its bias vanishes too (reference, trap 6). A conditioner whose null value is not zero (the
    chromagram of silence, trap 7) returns that value's features from `null`.
    """

    output_projection: nn.Module
    accepts: ClassVar[str]
    """What it takes, in words."""
    follows_time: ClassVar[bool] = False
    """Whether what it says belongs to moments of the piece, so that `window` gives another view at each."""

    @abstractmethod
    def prepare(self, values: Sequence[object]) -> list[Features | None]:
        """Features per value, without gradient: of a raw value, of None, or a tensor of features computed elsewhere.

        Raises UserError for a value it cannot read.
        """

    def null(self) -> Features | None:
        """Features of a dropped value; None is the zero vector."""
        return None

    def section(self, features: Features, number: int) -> Features:
        """What holds in one section of a piece; by default, all of it in each."""
        return features

    def window(
        self, features: Features | None, start_seconds: float, opening: Opening | None = None
    ) -> Features | None:
        """The view of the features for generation that starts `start_seconds` into the piece; by default, no change."""
        return features

    def forward(self, features: Sequence[Features | None], min_length: int = 1) -> Condition:
        """Pad to the longest (at least `min_length`), project, and set to zero whatever is padding."""
        device, dtype = self.parameters_like()
        lengths = [0 if item is None else item.shape[0] for item in features]
        longest = max([min_length, *lengths])
        width = self.feature_dim
        padded = torch.zeros(len(features), longest, width, device=device, dtype=dtype)
        for row, item in enumerate(features):
            if item is not None:  # written through `padded`, so that gradients reach an encoder that is trained
                padded[row, : item.shape[0]] = item.to(device, dtype)
        mask = torch.arange(longest, device=device) < torch.tensor(lengths, device=device)[:, None]
        return Condition(self.output_projection(padded) * mask[..., None], mask)

    @property
    @abstractmethod
    def feature_dim(self) -> int:
        """Width E of the features."""

    def parameters_like(self) -> tuple[torch.device, torch.dtype]:
        """Device and precision of the projection."""
        parameter = next(self.output_projection.parameters())
        return parameter.device, parameter.dtype


def given_features(value: Tensor, dim: int, accepts: str) -> Features:
    """Features that were computed elsewhere, checked: `[L, E]`, finite, L at least 1. Raises UserError."""
    if value.ndim != 2 or value.shape[1] != dim or not value.shape[0]:
        raise UserError(f"a tensor {list(value.shape)} is no condition: give [length, {dim}], or {accepts}")
    if not value.is_floating_point() or not torch.isfinite(value).all():
        raise UserError(
            "the tensor of a condition holds NaN, infinity or whole numbers: compute it again from valid input"
        )
    return value.detach().clone()  # what its owner does with it later is no matter of ours


def output_projection(feature_dim: int, dim: int, num_layers: int) -> nn.Module:
    """One linear layer (MusicGen), or two with a rectifier between ("音樂生成 Music Generation": E -> D -> D)."""
    if num_layers == 1:
        return nn.Linear(feature_dim, dim)
    return nn.Sequential(nn.Linear(feature_dim, dim), nn.ReLU(), nn.Linear(dim, dim))
