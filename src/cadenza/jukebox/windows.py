"""How a piece longer than a prior's context is cut into overlapping windows.

In: lengths in codes. Out: windows, each full of what is there already and what is to be written. Dhariwal et al.
(2020), arXiv 2005.00341, section 4.4. Attention is tied to absolute positions, so every window is read anew from its
beginning.
"""

from typing import NamedTuple

from cadenza.errors import UserError


class Window(NamedTuple):
    """It sees codes `start .. begin`, which are there already, and writes `begin .. end`."""

    start: int
    begin: int
    end: int

    @property
    def num_new(self) -> int:
        return self.end - self.begin


def plan_windows(
    total: int, context: int, hop: int, num_given: int = 0, stride: int = 1, skip_written: bool = True
) -> list[Window]:
    """The windows that write codes `num_given .. total`.

    They begin every `hop` codes; the last is moved back, so that all are full. Fewer codes than a context are one
    window from the beginning. (The original writes `total` codes behind the given ones there, and so more than was
    asked for.)

    Args:
        total: codes of the whole, those given included.
        context: codes that a prior sees.
        hop: how far windows are apart; `context - hop` codes or more are seen by the next.
        num_given: codes that are there before.
        stride: codes for one of the level above; windows must begin with one of those.
        skip_written: leave out windows in which nothing is to be written.

    Raises UserError for a hop that does not fit.
    """
    if not 0 < hop <= context:
        raise UserError(f"a hop of {hop} codes does not fit a context of {context}: choose one from 1 to {context}")
    starts = [0] if total <= context else [*range(0, total - context, hop), total - context]
    windows, done = [], num_given
    for start in starts:
        if start % stride:
            raise UserError(
                f"a window at code {start} does not begin with a code of the level above: choose a hop and a length "
                f"that are multiples of {stride}"
            )
        end = min(start + context, total)
        if done < end or not skip_written:
            windows.append(Window(start, min(done, end), end))
        done = max(done, end)
    return windows


def hop_of(fraction: float, context: int) -> int:
    """A hop as a share of the context: 1/8 at the top level and 1/2 below, as published."""
    return int(fraction * context)
