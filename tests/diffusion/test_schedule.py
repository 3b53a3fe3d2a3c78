"""The noise schedule: the original's tables, and steps that descend."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cadenza.diffusion.schedule import NoiseSchedule, NoiseScheduleConfig
from cadenza.errors import UserError

ORACLE = Path(__file__).parents[1] / "parity" / "multiband_diffusion_tiny" / "io.safetensors"
RELEASED = NoiseScheduleConfig(beta_start=1e-5, beta_end=2.9e-2, beta_exponent=7.5)


@pytest.fixture(scope="module")
def schedule() -> NoiseSchedule:
    return NoiseSchedule(RELEASED)


def test_tables_are_the_originals(schedule: NoiseSchedule) -> None:
    oracle = load_file(ORACLE)
    assert torch.equal(schedule.betas, oracle["schedule.betas"])
    assert torch.equal(schedule.alpha_bar, oracle["schedule.alpha_bar"])


def test_calls_are_spread_as_in_the_original(schedule: NoiseSchedule) -> None:
    assert schedule.to_steps(20) == (*range(999, 0, -50), 0)
    assert schedule.to_steps(1) == (999, 0)


@pytest.mark.parametrize("spacing", ["time", "log_snr"])
@pytest.mark.parametrize("calls", [1, 2, 8, 20, 500, 999])
def test_steps_descend_from_the_last_to_the_first(schedule: NoiseSchedule, spacing: str, calls: int) -> None:
    steps = schedule.to_steps(calls, spacing)  # type: ignore[arg-type]
    assert len(steps) == calls + 1
    assert (steps[0], steps[-1]) == (999, 0)
    assert all(a > b for a, b in pairwise(steps))


def test_steps_are_even_in_log_signal_over_noise(schedule: NoiseSchedule) -> None:
    ratios = [schedule.log_snr(step) for step in schedule.to_steps(4, "log_snr")]
    gaps = [b - a for a, b in pairwise(ratios)]
    assert max(gaps) / min(gaps) < 1.1  # the first steps lie 0.3 apart


@pytest.mark.parametrize("calls", [0, -1, 1000])
def test_calls_out_of_range_are_named(schedule: NoiseSchedule, calls: int) -> None:
    with pytest.raises(UserError, match=rf"^{calls} network calls .* use 1 to 999$"):
        schedule.to_steps(calls)


def test_signal_and_noise_keep_their_power(schedule: NoiseSchedule) -> None:
    for step in (0, 1, 500, 999):
        signal, noise = schedule.signal(step), schedule.noise(step)
        assert signal**2 + noise**2 == pytest.approx(1, abs=1e-12)
        assert signal**2 == pytest.approx(float(schedule.alpha_bar[step]), rel=1e-4)
        assert schedule.log_snr(step) == pytest.approx(math.log(signal / noise))
    # In float32 1 - alpha_bar of the first step is off by half a percent; here it is beta itself.
    assert schedule.noise(0) ** 2 == pytest.approx(float(schedule.betas[0]), rel=1e-6)


def test_noisy_audio_mixes_each_item_at_its_step() -> None:
    schedule = NoiseSchedule(RELEASED.model_copy(update={"rescale": 2.0, "noise_scale": 3.0}))
    clean, noise, steps = torch.ones(2, 1, 4), torch.full((2, 1, 4), 10.0), torch.tensor([0, 999])
    mixed = schedule.noisy(clean, steps, noise)
    for item, step in enumerate(steps):
        kept = schedule.alpha_bar[step]
        wanted = kept.sqrt() / 2 + (1 - kept).sqrt() * 30
        assert torch.allclose(mixed[item], wanted.expand(1, 4))
