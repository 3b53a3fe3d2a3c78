"""Learning-rate schedules: the factor on the base learning rate at a step. They have no state."""

import math
from typing import Annotated, Literal

from pydantic import Field

from cadenza.checkpoint import Config


class ConstantSchedule(Config):
    """Linear warm-up, then 1."""

    kind: Literal["constant"] = "constant"
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up")

    def factor(self, step: int, steps: int) -> float:
        """The factor at `step` (from 0) of a run of `steps`."""
        return _warmup(step, self.warmup_steps)


class CosineSchedule(Config):
    """Linear warm-up, then half a cosine from 1 down to `min_ratio` at the last step.

    Unlike audiocraft's, the first update has a learning rate above zero: an update that does nothing is wasted.
    """

    kind: Literal["cosine"] = "cosine"
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up (MusicGen: 4000)")
    min_ratio: float = Field(0.0, ge=0, le=1, description="factor at the end of the run")

    def factor(self, step: int, steps: int) -> float:
        if step < self.warmup_steps:
            return _warmup(step, self.warmup_steps)
        progress = min(1.0, (step - self.warmup_steps) / max(1, steps - self.warmup_steps))
        return self.min_ratio + (1 - self.min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


Schedule = Annotated[ConstantSchedule | CosineSchedule, Field(discriminator="kind")]


def _warmup(step: int, warmup_steps: int) -> float:
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
