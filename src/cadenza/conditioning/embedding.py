"""A condition that arrives as vectors computed elsewhere: cached text features, a chromagram, any embedding.

In: a tensor `[L, E]` per item, or None. Out: a `Condition`.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config
from cadenza.conditioning.base import Conditioner, Features, output_projection
from cadenza.errors import UserError


class EmbeddingConfig(Config):
    """Projection of given vectors."""

    kind: Literal["embedding"] = "embedding"
    dim: int = Field(..., ge=1, description="width of the given vectors, E")
    projection_layers: Literal[1, 2] = Field(1, description="linear layers between these vectors and the model")


class EmbeddingConditioner(Conditioner):
    """`Linear(values)`, zero where a value is missing."""

    def __init__(self, config: EmbeddingConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.output_projection = output_projection(config.dim, dim, config.projection_layers)

    @property
    def feature_dim(self) -> int:
        return self.config.dim

    def prepare(self, values: Sequence[object]) -> list[Features | None]:
        """The values themselves, checked."""
        features: list[Features | None] = []
        for value in values:
            if value is None:
                features.append(self.null())
                continue
            if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[1] != self.config.dim:
                found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise UserError(f"an embedding is a tensor [length, {self.config.dim}], not {found}")
            if not torch.isfinite(value).all():
                raise UserError("an embedding holds NaN or infinity: compute it again from valid input")
            features.append(value)
        return features
