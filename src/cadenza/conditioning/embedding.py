"""A condition that arrives as vectors computed elsewhere: cached text features, a chromagram, any embedding.

In: a tensor `[L, E]` per item, or None. Out: a `Condition`.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config
from cadenza.conditioning.base import Conditioner, Features, given_features, output_projection
from cadenza.errors import UserError


class EmbeddingConfig(Config):
    """Projection of given vectors."""

    kind: Literal["embedding"] = "embedding"
    dim: int = Field(..., ge=1, description="width of the given vectors, E")
    projection_layers: Literal[1, 2] = Field(1, description="linear layers between these vectors and the model")


class EmbeddingConditioner(Conditioner):
    """`Linear(values)`, zero where a value is missing."""

    accepts = "a tensor of vectors"

    def __init__(self, config: EmbeddingConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.output_projection = output_projection(config.dim, dim, config.projection_layers)

    @property
    def feature_dim(self) -> int:
        return self.config.dim

    def prepare(self, values: Sequence[object]) -> list[Features | None]:
        """The values themselves, checked."""
        return [None if value is None else self._checked(value) for value in values]

    def _checked(self, value: object) -> Features:
        if not isinstance(value, Tensor):
            raise UserError(
                f"a {type(value).__name__} is no condition: give {self.accepts} [length, {self.config.dim}]"
            )
        return given_features(value, self.config.dim, self.accepts)
