"""Order, padding, masks."""

import torch

from cadenza.conditioning.base import Condition
from cadenza.conditioning.fuser import FusedConditions, FuserConfig, concatenate, fuse


def condition(value: float, length: int, mask: list[list[bool]] | None = None) -> Condition:
    embedding = torch.full((2, length, 4), value)
    flags = torch.ones(2, length, dtype=torch.bool) if mask is None else torch.tensor(mask)
    return Condition(embedding * flags[..., None], flags)


CONDITIONS = {
    "text": condition(1.0, 2, [[True, True], [False, False]]),
    "melody": condition(2.0, 3),
    "mood": condition(3.0, 1),
    "other": condition(4.0, 1),
}


def test_conditions_go_where_they_are_sent_in_the_order_written() -> None:
    fused = fuse(CONDITIONS, FuserConfig(prepend=("melody", "text"), cross=("text", "mood"), sum=("mood", "other")))
    assert fused.prefix[0, :, 0].tolist() == [2, 2, 2, 1, 1]
    assert fused.cross[0, :, 0].tolist() == [1, 1, 3]
    assert fused.sum[0, :, 0].tolist() == [7]
    assert fused.cross_mask is None
    assert (fused.batch, fused.prefix_length) == (2, 5)
    nothing = fuse(CONDITIONS, FuserConfig())
    assert nothing == FusedConditions()
    assert not nothing.has_parts


def test_masking_padding_leaves_a_dropped_value_its_zeros() -> None:
    mask = fuse(CONDITIONS, FuserConfig(cross=("text",), mask_padding=True)).cross_mask
    assert mask.tolist() == [[True, True], [True, True]]
    mask = fuse(CONDITIONS, FuserConfig(cross=("text", "mood"), mask_padding=True)).cross_mask
    assert mask.tolist() == [[True, True, True], [False, False, True]]


def test_concatenation_pads_with_zeros_and_undoes_by_rows() -> None:
    long = FusedConditions(cross=torch.ones(2, 5, 4), prefix=torch.ones(2, 3, 4))
    short = FusedConditions(
        cross=torch.ones(1, 2, 4), cross_mask=torch.ones(1, 2, dtype=torch.bool), prefix=torch.ones(1, 1, 4)
    )
    both = concatenate([long, short])
    assert both.batch == 3
    assert both.cross[2, :, 0].tolist() == [1, 1, 0, 0, 0]
    assert both.prefix[2, :, 0].tolist() == [1, 0, 0]
    assert both.cross_mask.tolist() == [[True] * 5] * 2 + [[True] * 2 + [False] * 3]
    assert torch.equal(both.rows(0, 2).cross, long.cross)
    assert concatenate([long]) is long
    assert concatenate([FusedConditions(sum=torch.ones(1, 1, 4))] * 2).cross_mask is None


def test_moving_converts_numbers_and_leaves_masks() -> None:
    moved = FusedConditions(cross=torch.ones(1, 2, 4), cross_mask=torch.ones(1, 2, dtype=torch.bool)).to(
        "cpu", torch.bfloat16
    )
    assert moved.cross.dtype == torch.bfloat16
    assert moved.cross_mask.dtype == torch.bool
