"""Windows: every frame is in one, they come as soon as they can, and equal sounds join without a trace."""

from itertools import pairwise

import pytest
import torch

from cadenza.diffusion.windows import Joiner, Window, WindowPlan
from cadenza.errors import UserError


def windows(plan, frames):
    found = []
    while (window := plan.window(len(found), frames, is_all=True)) is not None:
        found.append(window)
    return found


@pytest.mark.parametrize("frames", [1, 4, 10, 14, 15, 20, 24, 25, 101])
def test_every_frame_is_in_one_window(frames):
    found = windows(WindowPlan(10, 4), frames)
    assert found[0].begin == 0
    assert found[-1].end == found[-1].stop == frames
    for before, after in pairwise(found):
        assert after.begin == before.end
        assert before.stop == before.end + 4
        assert after.start == after.begin - 4
    assert len(found) == max(1, -(-(frames - 4) // 10))


def test_a_window_waits_until_it_knows_where_it_ends():
    plan = WindowPlan(10, 4)
    assert plan.window(0, 14, is_all=False) is None  # one more frame makes it one of two
    assert plan.window(0, 14, is_all=True) == Window(0, 14, 0, 14)
    assert plan.window(0, 15, is_all=False) == plan.window(0, 15, is_all=True) == Window(0, 14, 0, 10)
    assert plan.window(1, 15, is_all=False) is None
    assert plan.window(1, 15, is_all=True) == Window(6, 15, 10, 15)
    assert plan.window(0, 0, is_all=True) is None


def test_seconds_become_whole_units():
    assert WindowPlan.of(10, 1, 50, 2) == WindowPlan(500, 50)
    assert WindowPlan.of(0.001, 0, 75, 4) == WindowPlan(4, 0)
    assert WindowPlan.of(1, 0.99, 50, 16) == WindowPlan(48, 48)
    for size, context in ((0, 0), (float("nan"), 1), (1, -1), (1, 2), (float("inf"), 1)):
        with pytest.raises(UserError, match="give"):
            WindowPlan.of(size, context, 50, 1)


@pytest.mark.parametrize("context", [0, 1, 4])
@pytest.mark.parametrize("frames", [3, 15, 47])
def test_windows_of_one_sound_join_to_it(frames, context):
    plan, hop = WindowPlan(10, context), 8
    whole = torch.randn(2, 1, frames * hop, generator=torch.Generator().manual_seed(0))
    joiner, found = Joiner(plan, hop), windows(plan, frames)
    parts = [joiner.join(whole[..., w.start * hop : w.stop * hop], w, w is found[-1]) for w in found]
    torch.testing.assert_close(torch.cat(parts, -1), whole, atol=1e-6, rtol=0)


def test_different_sounds_fade():
    plan, hop = WindowPlan(10, 4), 8
    first, second = windows(plan, 20)
    joiner = Joiner(plan, hop)
    a = joiner.join(torch.zeros(1, 1, first.num_frames * hop), first, False)
    b = joiner.join(torch.ones(1, 1, second.num_frames * hop), second, True)
    made = torch.cat([a, b], -1)[0, 0]
    assert made.shape == (160,)
    steps = made.diff()
    assert steps.min() >= 0
    assert steps.max() <= 1 / 16 + 1e-6  # over the middle half of the context: 16 samples
    assert made[80 - 9] == 0
    assert made[80 + 8] == 1
