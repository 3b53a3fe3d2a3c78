"""The quick loudness meter against pyloudnorm, and levelling against its targets."""

import numpy as np
import pyloudnorm
import pytest

from cadenza.corpus.level import LoudnessMeter, set_level

RATE = 32_000


def _music(seed: int, seconds: float = 12.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(80, 4000, 4))
    swell = 0.3 + 0.7 * np.abs(np.sin(2 * np.pi * 0.4 * time))
    return (0.05 * tone * swell + 0.01 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_a_standard_meter(seed: int) -> None:
    samples = _music(seed)
    expected = pyloudnorm.Meter(RATE).integrated_loudness(samples)
    # The last partial block and pyloudnorm's own filter constants account for some hundredths of a LU.
    assert LoudnessMeter(samples, RATE).lufs(0.0, 12.0) == pytest.approx(expected, abs=0.1)


def test_silence_has_no_loudness() -> None:
    meter = LoudnessMeter(np.zeros(RATE * 2, np.float32), RATE)
    assert meter.lufs(0.0, 2.0) == float("-inf")
    assert meter.lufs(0.0, 0.2) == float("-inf")


def test_level_meets_target_and_ceiling() -> None:
    samples = _music(5)
    lufs = LoudnessMeter(samples, RATE).lufs(0.0, 12.0)
    levelled = set_level(samples, lufs, -16.0, -1.0)
    assert LoudnessMeter(levelled, RATE).lufs(0.0, 12.0) == pytest.approx(-16.0, abs=0.5)
    loud = set_level(samples, lufs, 0.0, -1.0)
    assert np.abs(loud).max() <= 10 ** (-1 / 20) + 1e-6
    assert levelled.dtype == loud.dtype == np.float32
