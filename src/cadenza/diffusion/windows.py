"""Long clips in windows: which frames are computed together, and how their sounds are joined.

In: frames as they come, and the sound of each window. Out: the sound of the whole, in bounded memory. Windows stand at
fixed places and overlap by a context on either side; where two meet, one fades into the other over the middle half of
that context. A clip that is hardly longer than a window is one window.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cadenza.errors import UserError


class Window(NamedTuple):
    """In frames: `start` to `stop` are computed, `begin` to `end` are what it is there for."""

    start: int
    stop: int
    begin: int
    end: int

    @property
    def num_frames(self) -> int:
        return self.stop - self.start


class WindowPlan(NamedTuple):
    """Windows of `size` frames, computed with up to `context` more on either side."""

    size: int
    context: int

    @classmethod
    def of(cls, size_seconds: float, context_seconds: float, frame_rate: float, unit: int) -> "WindowPlan":
        """In whole units of frames, so that the network's own frames fall on the same samples in every window."""
        if not (math.isfinite(size_seconds) and size_seconds > 0 and math.isfinite(context_seconds)):
            raise UserError(f"windows of {size_seconds} s with {context_seconds} s around: give positive numbers")
        if not 0 <= context_seconds <= size_seconds:
            raise UserError(f"a context of {context_seconds} s: give 0 to {size_seconds} s, the length of a window")
        size = max(1, round(size_seconds * frame_rate / unit))
        context = math.ceil(context_seconds * frame_rate / unit)
        return cls(size * unit, min(context, size) * unit)

    @property
    def lookahead(self) -> int:
        """Frames that must follow one before its window can be computed."""
        return self.size + self.context

    def window(self, index: int, arrived: int, is_all: bool) -> Window | None:
        """The window of this number, once enough frames are there to know where it ends; None: not yet, or no more."""
        begin, end = index * self.size, (index + 1) * self.size
        is_last = arrived <= end + self.context
        if is_last:
            behind_it = index > 0 and arrived <= begin + self.context
            if not is_all or behind_it or begin >= arrived:
                return None
            return Window(max(0, begin - self.context), arrived, begin, arrived)
        return Window(max(0, begin - self.context), end + self.context, begin, end)


class Joiner:
    """Joins the sounds of successive windows."""

    def __init__(self, plan: WindowPlan, hop_length: int) -> None:
        self._hop = hop_length
        self._half = plan.context * hop_length // 4  # half of the fade
        self._tail: Tensor | None = None

    def join(self, audio: Float[Tensor, "B C N"], window: Window, is_last: bool) -> Float[Tensor, "B C n"]:
        """What is final now: from the middle of the last fade to the beginning of the next."""
        begin, end = (window.begin - window.start) * self._hop, (window.end - window.start) * self._hop
        tail, half = self._tail, self._half
        if tail is not None and half:
            ramp = (torch.arange(2 * half, device=audio.device) + 0.5) / (2 * half)
            meeting = audio[..., begin - half : begin + half]
            audio = audio.clone()
            audio[..., begin - half : begin + half] = tail + (meeting - tail) * ramp
            begin -= half
        if is_last:
            self._tail = None
            return audio[..., begin:]
        self._tail = audio[..., end - half : end + half].clone()
        return audio[..., begin : end - half]
