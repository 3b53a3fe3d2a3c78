"""Vectors computed elsewhere as a condition."""

import pytest
import torch

from cadenza.conditioning.embedding import EmbeddingConditioner, EmbeddingConfig
from cadenza.errors import UserError


def test_values_are_projected_and_padded_with_zeros() -> None:
    part = EmbeddingConditioner(EmbeddingConfig(dim=12), 6)
    values = [torch.randn(4, 12), None, torch.randn(2, 12)]
    condition = part(part.prepare(values))
    assert condition.mask.tolist() == [[True] * 4, [False] * 4, [True, True, False, False]]
    torch.testing.assert_close(condition.embedding[0], part.output_projection(values[0]))
    torch.testing.assert_close(condition.embedding[2, :2], part.output_projection(values[2]))
    assert not bool(condition.embedding[~condition.mask].any())


@pytest.mark.parametrize(
    "value", ["hum.wav", torch.zeros(12), torch.zeros(4, 11), torch.full((4, 12), torch.nan)], ids=type
)
def test_what_is_no_such_vector_is_refused(value: object) -> None:
    with pytest.raises(UserError, match=r"is no condition: give|the tensor of a condition holds NaN"):
        EmbeddingConditioner(EmbeddingConfig(dim=12), 6).prepare([value])
