"""Solvers, on data whose best denoiser is known in closed form.

Of Gaussian data of variance v the noise to be expected in a state y at step s is `noise(s) y / (v signal(s)^2 +
noise(s)^2)`. The flow then only rescales: the exact result is the start times the ratio of the states' deviations.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from cadenza.diffusion.sampler import SOLVERS, Solver, denoise, steps_for
from cadenza.diffusion.schedule import NoiseSchedule, NoiseScheduleConfig
from cadenza.errors import UserError

RELEASED = NoiseScheduleConfig(beta_start=1e-5, beta_end=2.9e-2, beta_exponent=7.5)
SCHEDULE = NoiseSchedule(RELEASED)
FINE = NoiseSchedule(RELEASED.model_copy(update={"num_steps": 20_000, "beta_start": 5e-7, "beta_end": 1.45e-3}))


def spread(schedule: NoiseSchedule, step: int, variance: float) -> float:
    """The deviation of a state of such data."""
    return math.sqrt(variance * schedule.signal(step) ** 2 + schedule.noise(step) ** 2)


def ideal(schedule: NoiseSchedule, variance: float) -> Callable[[Tensor, int], Tensor]:
    return lambda state, step: schedule.noise(step) / spread(schedule, step, variance) ** 2 * state


def never() -> Tensor:
    raise AssertionError("this solver draws no noise")


def flow_error(schedule: NoiseSchedule, solver: Solver, steps: Sequence[int], variance: float) -> float:
    """Relative error of a solver, from the same start as the exact flow. Doubles: float32 would hide the order."""
    start = torch.tensor([[[1.0]]], dtype=torch.float64)
    found = denoise(ideal(schedule, variance), schedule, start, steps, solver, never)
    exact = spread(schedule, steps[-1], variance) / spread(schedule, steps[0], variance)
    return abs(float(found) / exact - 1)


@pytest.mark.parametrize("variance", [0.04, 0.5, 2.0])
def test_eight_calls_of_dpm_come_nearer_than_eight_of_ddim(variance: float) -> None:
    errors = {kind: flow_error(SCHEDULE, kind, steps_for(SCHEDULE, 8, kind), variance) for kind in ("ddim", "dpm")}
    assert errors["dpm"] < errors["ddim"] / 2
    # Not only because of where the steps lie.
    assert errors["dpm"] < flow_error(SCHEDULE, "ddim", steps_for(SCHEDULE, 8, "dpm"), variance) / 2


@pytest.mark.parametrize(("solver", "order"), [("ddim", 1), ("dpm", 2)])
def test_errors_fall_with_the_order_of_the_solver(solver: Solver, order: int) -> None:
    """On a schedule fine enough that rounding marks to steps plays no part."""
    errors = [flow_error(FINE, solver, FINE.to_steps(calls, "log_snr"), 0.3) for calls in (16, 32, 64)]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.25)


def ancestral_variance(steps: Sequence[int], variance: float) -> float:
    """Each transition rescales the state and adds its noise: the variance of the result is a sum of squares."""
    result = 1.0
    for step, following in pairwise(steps):
        here, there = float(SCHEDULE.alpha_bar[step]), float(SCHEDULE.alpha_bar[following])
        ratio = here / there
        expected_noise = SCHEDULE.noise(step) / spread(SCHEDULE, step, variance) ** 2
        gain = (1 - (1 - ratio) / math.sqrt(1 - here) * expected_noise) / math.sqrt(ratio)
        fresh = (1 - there) / (1 - here) * (1 - ratio) if following else 0.0
        result = gain**2 * result + fresh
    return result


def test_ancestral_variance_follows_its_recursion() -> None:
    variance, steps = 0.5, SCHEDULE.to_steps(20)
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(1, 1, 100_000, generator=generator)  # noqa: E731
    found = denoise(ideal(SCHEDULE, variance), SCHEDULE, draw(), steps, "ancestral", draw)
    # 100 000 samples: one deviation is 0.45 %.
    assert float(found.var()) == pytest.approx(ancestral_variance(steps, variance), rel=0.02)


def test_ancestral_needs_many_calls_to_keep_the_power() -> None:
    """20 calls of the original lose a fifth of it even with a perfect network; dpm keeps it with 8, within 4 %."""
    kept = [ancestral_variance(SCHEDULE.to_steps(calls), 0.5) / 0.5 for calls in (20, 100, 500)]
    assert kept == sorted(kept)
    assert kept[0] == pytest.approx(0.79, abs=0.01)
    assert kept[2] == pytest.approx(0.99, abs=0.01)
    assert flow_error(SCHEDULE, "dpm", steps_for(SCHEDULE, 8, "dpm"), 0.5) < 0.04


def test_ancestral_draws_once_per_transition_but_the_last() -> None:
    calls, draws = [], []

    def predict(state: Tensor, step: int) -> Tensor:
        calls.append(step)
        return torch.zeros_like(state)

    def draw() -> Tensor:
        draws.append(1)
        return torch.ones(1, 1, 3)

    denoise(predict, SCHEDULE, torch.zeros(1, 1, 3), SCHEDULE.to_steps(20), "ancestral", draw)
    assert calls == list(range(999, 0, -50))
    assert len(draws) == 19


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_clean_signal_is_found_when_the_noise_is_known(solver: Solver) -> None:
    """With a predictor that knows the data every solver ends at it, whatever the calls."""
    clean = torch.linspace(-2, 2, 50).view(1, 1, 50)
    generator = torch.Generator().manual_seed(1)
    draw = lambda: torch.randn(1, 1, 50, generator=generator)  # noqa: E731
    predict = lambda y, s: (y - SCHEDULE.signal(s) * clean) / SCHEDULE.noise(s)  # noqa: E731
    found = denoise(predict, SCHEDULE, draw(), steps_for(SCHEDULE, 10, solver), solver, draw)
    assert torch.allclose(found, clean, atol=0.02)  # step 0 keeps noise of deviation 0.003


@pytest.mark.parametrize("solver", SOLVERS)
def test_states_stay_within_the_clip(solver: Solver) -> None:
    seen = []

    def predict(state: Tensor, step: int) -> Tensor:
        seen.append(float(state.abs().max()))
        return -10 * torch.ones_like(state)

    found = denoise(predict, SCHEDULE, torch.zeros(1, 1, 8), (999, 500, 100, 0), solver, lambda: torch.ones(1, 1, 8))
    assert max(seen) == 5.0
    assert float(found.abs().max()) == 5.0


@pytest.mark.parametrize("solver", SOLVERS)
def test_scaled_noise_scales_the_walk(solver: Solver) -> None:
    """With noise and data twice as large the same draws give twice the result."""
    double = NoiseSchedule(RELEASED.model_copy(update={"noise_scale": 2.0, "clip": 10.0}))
    results = []
    for schedule, scale in ((SCHEDULE, 1.0), (double, 2.0)):
        generator = torch.Generator().manual_seed(2)
        draw = lambda: torch.randn(1, 1, 20, generator=generator)  # noqa: B023, E731
        predict = lambda y, s: ideal(SCHEDULE, 0.3)(y / scale, s)  # noqa: B023, E731
        results.append(denoise(predict, schedule, draw(), (999, 700, 300, 0), solver, draw) / scale)
    assert torch.allclose(*results, atol=1e-6)


@pytest.mark.parametrize("steps", [(999,), (0, 999), (500, 500), (1000, 0), (10, -1)])
def test_impossible_steps_are_refused(steps: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="from 999 to 0"):
        denoise(lambda y, s: y, SCHEDULE, torch.zeros(1, 1, 4), steps, "ddim", never)
