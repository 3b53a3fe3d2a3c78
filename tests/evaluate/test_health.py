"""Health: music keeps every rule, and each kind of damage breaks its own."""

from collections.abc import Callable

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.health import (
    DRIFT_DB,
    NOT_FINITE,
    RULES,
    drift,
    faults,
    judge,
    loudness_drift_db,
    measure_health,
)

RATE = 22050


def music(seconds: float, seed: int = 0) -> np.ndarray:
    """Plucked notes over a soft hiss of drums, four a second."""
    rng = np.random.default_rng(seed)
    samples = 0.002 * rng.standard_normal(round(seconds * RATE))
    t = np.arange(RATE) / RATE
    for begin in range(0, samples.size - RATE, RATE // 4):
        pitch = 110 * 2 ** (rng.integers(0, 36) / 12)
        note = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 9)) * np.exp(-4 * t)
        hit = 0.5 * rng.standard_normal(RATE) * np.exp(-60 * t)
        samples[begin : begin + RATE] += 0.1 * (note + hit)
    return samples.astype(np.float32)


def gap(samples: np.ndarray) -> np.ndarray:
    samples[3 * RATE : round(5.5 * RATE)] = 0
    return samples


def silenced(samples: np.ndarray) -> np.ndarray:
    """Half a second of each is dead: no single stretch is long."""
    for begin in range(0, samples.size, RATE):
        samples[begin : begin + RATE // 2] = 0
    return samples


def clipped(samples: np.ndarray) -> np.ndarray:
    return np.clip(8 * samples, -1, 1)


def stuck(samples: np.ndarray) -> np.ndarray:
    """A chord hangs for five seconds, with a little noise."""
    t = np.arange(5 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220, 277, 330, 2000, 4000))
    samples[2 * RATE : 7 * RATE] = 0.05 * chord + 1e-5 * np.random.default_rng(1).standard_normal(t.size)
    return samples


def fading(samples: np.ndarray) -> np.ndarray:
    return samples * np.linspace(1, 0.01, samples.size) ** 1.5


def dull(samples: np.ndarray) -> np.ndarray:
    """Nothing above 300 Hz in the second half."""
    half = samples.size // 2
    spectrum = np.fft.rfft(samples[half:])
    spectrum[np.fft.rfftfreq(samples.size - half, 1 / RATE) > 300] = 0
    samples[half:] = np.fft.irfft(spectrum, samples.size - half)
    return samples


def frozen(samples: np.ndarray) -> np.ndarray:
    """Held tones at the end, for less than what counts as stuck."""
    third = 10 * samples.size // 30
    t = np.arange(third) / RATE
    samples[-third:] = 0.1 * sum(np.sin(2 * np.pi * f * t) / n for n, f in enumerate((220, 440, 880, 3520), 1))
    return samples


def noisy(samples: np.ndarray) -> np.ndarray:
    third = samples.size // 3
    samples[third : 2 * third] = 0.1 * np.random.default_rng(1).standard_normal(third)
    return samples


def test_music_keeps_every_rule_at_any_level_and_rate() -> None:
    for seed, gain in ((0, 1.0), (1, 0.1)):
        values = measure_health(Audio(gain * music(9, seed), RATE))
        assert set(values) == {rule.name for rule in RULES}
        assert faults(values) == []
    stereo = Audio(np.stack([music(9), music(9)]), RATE).resample(32000)
    assert faults(measure_health(stereo)) == []


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (gap, "gap"), (silenced, "silence"), (clipped, "clipping"), (stuck, "stuck"), (fading, "level lost"),
        (dull, "width lost"), (frozen, "movement lost"), (noisy, "noise"),
    ],
)  # fmt: skip
def test_damage_is_found(damage: Callable[[np.ndarray], np.ndarray], rule: str) -> None:
    assert rule in faults(measure_health(Audio(damage(music(9)).astype(np.float32), RATE)))


def test_silence_all_along_is_silence_and_nothing_else() -> None:
    assert faults(measure_health(Audio(np.zeros((1, 5 * RATE), np.float32), RATE))) == ["silence", "gap"]
    with pytest.raises(UserError, match="from 3 s on"):
        measure_health(Audio(np.zeros((1, 2 * RATE), np.float32), RATE))


def test_rules_over_a_set() -> None:
    kept = dict.fromkeys((rule.name for rule in RULES), 0.0)
    found = {one.rule: one for one in judge([kept, kept | {"gap": 9.0, "noise": float("nan")}, {}])}
    assert [name for name, one in found.items() if one.broken] == ["gap", "noise", NOT_FINITE]
    assert found["gap"].worst == 9.0
    assert found["gap"].share.mean == pytest.approx(1 / 3)


def test_drift_is_a_trend_in_one_direction() -> None:
    samples = np.random.default_rng(0).standard_normal(70 * 8000).astype(np.float32) * 0.05
    ramp = 10 ** (np.arange(samples.size) / 8000 / 60 * 1.0 / 20)  # one decibel a minute
    risen = loudness_drift_db(Audio((samples * ramp).astype(np.float32), 8000))
    assert risen == pytest.approx(5.0, abs=0.3)
    assert risen > DRIFT_DB
    assert loudness_drift_db(Audio(samples[: 50 * 8000], 8000)) is None
    assert drift([None]) is None
    mean = drift([5.0, -5.0, None])
    assert mean is not None and mean.mean == 0.0 and mean.count == 2
