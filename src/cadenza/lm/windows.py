"""How a piece of any length is cut into runs that a model with a limited view can do.

In: lengths in frames, and frames at which the conditions change. Out: windows, each with the frames it sees and those
it adds.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cadenza.errors import UserError


class Window(NamedTuple):
    """One run: it sees frames `start .. begin` of what is there already, and adds `begin .. end`."""

    start: int
    begin: int
    end: int
    opening: int | None = None
    """Where the part of the piece begins that it belongs to, if it may be reminded of that."""

    def remembered(self, anchor_frames: int) -> int:
        """How many of the oldest frames in view are replaced by as many from the opening.

        At most four fifths of the view: the rest is what it must go on from. None while the opening is in view itself.
        """
        if self.opening is None:
            return 0
        return max(0, min(anchor_frames, (self.begin - self.start) * 4 // 5, self.start - self.opening))


def plan_windows(
    num_frames: int, window_frames: int, stride_frames: int, prompt_frames: int = 0, changes: Sequence[int] = ()
) -> list[Window]:
    """Windows of at most `window_frames` that cover `prompt_frames .. num_frames`.

    When a window is full the next begins `stride_frames` later, so that `window_frames - stride_frames` stay in view
    (reference, section 6.4). At each of `changes` a new window begins, with as much in view as the last one had.
    """
    if window_frames < 1:
        raise UserError(f"a window of {window_frames} frames holds nothing: make it longer")
    if not 0 < stride_frames < window_frames:
        if num_frames > window_frames or prompt_frames >= window_frames:
            raise UserError(
                f"a stride of {stride_frames} frames does not fit windows of {window_frames}: choose one between"
            )
        stride_frames = window_frames
    windows: list[Window] = []
    start, begin = 0, prompt_frames
    while begin < num_frames:
        if begin - start >= window_frames:
            start = begin - (window_frames - stride_frames)
        end = min([num_frames, start + window_frames, *(frame for frame in changes if frame > begin)])
        windows.append(Window(start, begin, end))
        begin = end
    return windows
