"""How long pieces are cut."""

import pytest

from cadenza.errors import UserError
from cadenza.lm.windows import Window, plan_windows


def test_one_window_suffices_for_a_short_piece() -> None:
    assert plan_windows(1500, 1500, 900) == [Window(0, 0, 1500)]
    assert plan_windows(300, 1500, 900, prompt_frames=100) == [Window(0, 100, 300)]


def test_windows_advance_by_the_stride_as_in_the_reference() -> None:
    # 70 s at 50 frames a second: 30 s windows, 12 s kept.
    assert plan_windows(3500, 1500, 900) == [
        Window(0, 0, 1500),
        Window(900, 1500, 2400),
        Window(1800, 2400, 3300),
        Window(2700, 3300, 3500),
    ]


def test_a_prompt_longer_than_a_window_keeps_its_end() -> None:
    assert plan_windows(2100, 1500, 900, prompt_frames=2000) == [Window(1400, 2000, 2100)]
    assert plan_windows(1600, 1500, 900, prompt_frames=1500) == [Window(900, 1500, 1600)]


def test_a_change_of_conditions_begins_a_window() -> None:
    assert plan_windows(2000, 1500, 900, changes=[0, 1000, 1800, 5000]) == [
        Window(0, 0, 1000),
        Window(0, 1000, 1500),
        Window(900, 1500, 1800),
        Window(900, 1800, 2000),
    ]


@pytest.mark.parametrize("num_frames", [1, 7, 99, 100, 101, 1234])
@pytest.mark.parametrize(("window", "stride"), [(100, 60), (7, 1), (50, 49)])
@pytest.mark.parametrize("changes", [(), (3, 50, 51)])
def test_windows_cover_everything_once_and_fit(
    num_frames: int, window: int, stride: int, changes: tuple[int, ...]
) -> None:
    windows = plan_windows(num_frames, window, stride, 0, changes)
    covered = [frame for one in windows for frame in range(one.begin, one.end)]
    assert covered == list(range(num_frames))
    assert all(one.start <= one.begin < one.end and one.end - one.start <= window for one in windows)
    assert {change for change in changes if 0 < change < num_frames} <= {one.begin for one in windows}


@pytest.mark.parametrize("stride", [0, 100, 150])
def test_a_stride_that_does_not_fit_is_refused_where_it_matters(stride: int) -> None:
    assert plan_windows(100, 100, stride) == [Window(0, 0, 100)]
    with pytest.raises(UserError, match="stride"):
        plan_windows(101, 100, stride)
