"""From noise to audio: the network is called at a few steps, and a solver goes from each to the next.

In: a function that tells the noise in a state, the schedule, the first state. Out: the last state. Three solvers:

- `ancestral`, the sampler of Multi-Band Diffusion (arXiv 2308.02560): the posterior mean over a sub-sampled list of
  steps, plus fresh noise at each but the last.
- `ddim` (Song et al. 2021, arXiv 2010.02502, eta 0): no fresh noise, first order.
- `dpm`, DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2): second order from two successive estimates of
  the clean signal, at one network call per step.

The last two follow the same flow from a given noise and differ only in their error.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from cadenza.diffusion.schedule import NoiseSchedule
from cadenza.errors import UserError

Solver = Literal["ancestral", "ddim", "dpm"]
SOLVERS: tuple[Solver, ...] = ("ancestral", "ddim", "dpm")


def steps_for(schedule: NoiseSchedule, calls: int, solver: Solver) -> tuple[int, ...]:
    """Where a solver spends its calls: `dpm` evenly in log signal over noise, the others evenly in time."""
    return schedule.to_steps(calls, "log_snr" if solver == "dpm" else "time")


def denoise(
    predict: Callable[[Tensor, int], Tensor],
    schedule: NoiseSchedule,
    start: Float[Tensor, "B C N"],
    steps: Sequence[int],
    solver: Solver,
    draw: Callable[[], Tensor],
) -> Float[Tensor, "B C N"]:
    """Walk from unit noise down a list of steps.

    Args:
        predict: `(state, step) -> noise in it`, unit scale; called at every step but the last.
        start: unit Gaussian noise.
        steps: descending, at least two; see `steps_for`.
        draw: the next unit noise of `start`'s shape, called by `ancestral` at each transition but the last.

    Raises:
        UserError: steps that do not descend, or lie outside of the schedule.
    """
    _check(schedule, steps, solver)
    config = schedule.config
    state = start * config.noise_scale
    walk = _MultiStep(schedule) if solver == "dpm" else None
    for index, (step, following) in enumerate(pairwise(steps)):
        noise = predict(state, step) * config.noise_scale
        if walk is not None:
            state = walk.next(state, noise, step, following)
        elif solver == "ddim":
            clean = (state - schedule.noise(step) * noise) / schedule.signal(step)
            state = schedule.signal(following) * clean + schedule.noise(following) * noise
        else:
            fresh = draw() if index < len(steps) - 2 else None
            state = _ancestral(schedule, state, noise, fresh, step, following)
        state = state.clamp(-config.clip, config.clip)
    return state


def _check(schedule: NoiseSchedule, steps: Sequence[int], solver: Solver) -> None:
    assert solver in SOLVERS, solver
    limit = schedule.config.num_steps
    inside = all(0 <= step < limit for step in steps)
    if len(steps) < 2 or not inside or any(a <= b for a, b in pairwise(steps)):
        raise UserError(f"steps {list(steps)}: give two or more, descending, from {limit - 1} to 0")


def _ancestral(
    schedule: NoiseSchedule, state: Tensor, noise: Tensor, fresh: Tensor | None, step: int, following: int
) -> Tensor:
    """In float32 throughout, `alpha_bar` included, as in the original."""
    here, there = schedule.alpha_bar[step], schedule.alpha_bar[following]
    ratio = here / there
    state = (state - float((1 - ratio) / (1 - here).sqrt()) * noise) / float(ratio.sqrt())
    if fresh is None:
        return state
    spread = float(((1 - there) / (1 - here) * (1 - ratio)).sqrt())
    return state + spread * schedule.config.noise_scale * fresh


class _MultiStep:
    """DPM-Solver++(2M): remembers the last estimate of the clean signal and where it was made."""

    def __init__(self, schedule: NoiseSchedule) -> None:
        self.schedule = schedule
        self.before: tuple[Tensor, float] | None = None

    def next(self, state: Tensor, noise: Tensor, step: int, following: int) -> Tensor:
        """Exact for a clean signal that moves linearly in log signal over noise."""
        schedule = self.schedule
        clean = (state - schedule.noise(step) * noise) / schedule.signal(step)
        here, there = schedule.log_snr(step), schedule.log_snr(following)
        direction = clean
        if self.before is not None:
            earlier, at = self.before
            direction = clean + (there - here) / (here - at) / 2 * (clean - earlier)
        self.before = clean, here
        shrink = schedule.noise(following) / schedule.noise(step)
        return shrink * state - schedule.signal(following) * math.expm1(here - there) * direction
