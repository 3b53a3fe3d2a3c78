"""Damage: as severe as it says, and nothing else."""

import numpy as np
import pytest

from cadenza.testing import noise, tone
from cadenza.train.damage import DAMAGES, KINDS, add_noise, clip_peaks, damage, low_pass, smear

RATE = 32000


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def decibels(power: float) -> float:
    return float(10 * np.log10(power))


@pytest.mark.parametrize("severity", [0.25, 0.5, 1.0])
def test_noise_is_as_far_below_the_music_as_said(severity: float) -> None:
    samples = tone(440.0, 1.0).samples[0]
    added = add_noise(samples, RATE, severity, rng()) - samples
    below = decibels(np.square(samples).mean() / np.square(added).mean())
    assert below == pytest.approx(40 * (1 - severity), abs=0.01)


def test_low_pass_halves_power_at_its_cutoff_and_ends_the_rest() -> None:
    samples = noise(2.0).samples[0]
    passed = low_pass(samples, RATE, 0.5, rng())
    before, after = (np.square(np.abs(np.fft.rfft(x))) for x in (samples, passed))
    hz = np.fft.rfftfreq(samples.size, 1 / RATE)
    assert after[hz < 2000].sum() == pytest.approx(before[hz < 2000].sum(), rel=0.01)
    assert after[hz > 8000].sum() < 0.01 * before[hz > 8000].sum()
    at_cutoff = np.argmin(np.abs(hz - 4000))
    assert after[at_cutoff] / before[at_cutoff] == pytest.approx(0.5, abs=0.01)


def test_peaks_are_cut_where_said() -> None:
    samples = tone(440.0, 0.5).samples[0]
    cut = clip_peaks(samples, RATE, 0.5, rng())
    assert 20 * np.log10(np.abs(samples).max() / np.abs(cut).max()) == pytest.approx(12.0, abs=1e-3)


def test_smearing_keeps_length_and_level_roughly_and_grows() -> None:
    samples = noise(1.0).samples[0]
    errors = []
    for severity in (0.05, 0.3, 0.8):
        smeared = smear(samples, RATE, severity, rng())
        assert smeared.shape == samples.shape
        errors.append(float(np.square(smeared - samples).mean() / np.square(samples).mean()))
    assert errors[0] < 0.05 and errors == sorted(errors)


def test_what_is_drawn_is_what_is_said() -> None:
    samples = tone(440.0, 0.5).samples[0]
    drawn = [damage(samples, RATE, np.random.default_rng(seed))[1] for seed in range(40)]
    numbers = [sum(value > 0 for value in severities.values()) for severities in drawn]
    assert set(numbers) == {1, 2}
    assert {kind for severities in drawn for kind, value in severities.items() if value} == set(KINDS) == set(DAMAGES)
    first, second = (damage(samples, RATE, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first[0], second[0]) and first[1] == second[1]
    assert first[0].dtype == np.float32 and not np.array_equal(first[0], samples)
