"""Which predictions guidance asks for."""

import pytest
import torch

from cadenza.conditioning.fuser import FusedConditions
from cadenza.lm.guidance import GuidedConditions, predictions


def three(prefix: bool = False) -> GuidedConditions:
    name = "prefix" if prefix else "cross"
    full, partial = (torch.randn(1, 6, 24) for _ in range(2))
    null = torch.zeros(1, 1, 24)
    return GuidedConditions(*(FusedConditions(**{name: one}) for one in (full, null, partial)))


@pytest.mark.parametrize(
    ("scale", "beta", "two_step", "rows"),
    [
        (3.0, None, False, [2]),
        (3.0, None, True, [1, 1]),
        (3.0, 5.0, False, [3]),
        (3.0, 5.0, True, [1, 1, 1]),
        (1.0, None, False, [1]),
        (1.0, 5.0, False, [2]),
        (3.0, 1.0, False, [2]),
    ],
)
def test_no_prediction_is_made_in_vain(scale: float, beta: float | None, two_step: bool, rows: list[int]) -> None:
    made = predictions(three(), scale, beta, two_step)
    assert [lane.rows for lane in made.lanes] == rows
    assert made.has_null == (scale != 1)
    assert made.has_partial == (beta == 5.0)


def test_nothing_to_drop_is_no_guidance() -> None:
    made = predictions(GuidedConditions(three().conditional), 3.0)
    assert ([lane.rows for lane in made.lanes], made.has_null) == ([1], False)


def test_one_lane_pads_and_two_do_not() -> None:
    (together,) = predictions(three(prefix=True), 3.0).lanes
    assert together.conditions.prefix.shape == (2, 6, 24)
    assert together.prefix_steps == 6
    assert not together.conditions.prefix[1, 1:].any()
    apart = predictions(three(prefix=True), 3.0, two_step=True).lanes
    assert [lane.prefix_steps for lane in apart] == [6, 1]


def test_items_of_a_batch_are_taken_apart_and_shared_conditions_are_not() -> None:
    batch = GuidedConditions(FusedConditions(cross=torch.randn(3, 5, 24)), FusedConditions(cross=torch.zeros(1, 1, 24)))
    item = batch.rows(1, 2)
    assert torch.equal(item.conditional.cross, batch.conditional.cross[1:2])
    assert item.null is batch.null
