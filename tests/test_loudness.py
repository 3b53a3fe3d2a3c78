"""Loudness against the recommendation's calibration tone and against pyloudnorm; the limiter against its promise."""

import numpy as np
import pytest

from cadenza import loudness
from cadenza.loudness import limit, loudness_lufs, true_peak


def tone(
    frequency: float, sample_rate: int, seconds: float = 3.0, level: float = 1.0, phase: float = 0.0
) -> np.ndarray:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * frequency * time + phase)).astype(np.float32)[None]


def bursts(sample_rate: int, channels: int = 2, seconds: float = 8.0) -> np.ndarray:
    """Noise that comes and goes, so that the gates have work to do."""
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.1 * rng.normal(size=(channels, time.size)) * np.sin(time) ** 8).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [24000, 32000, 44100, 48000, 192000])
def test_calibration_tone(sample_rate):
    # BS.1770-4: a 997 Hz sine at full scale in one channel reads -3.01 LUFS. 0.05 LU: the bilinear transform
    # bends the shelf a little at other rates than 48 kHz.
    assert loudness_lufs(tone(997, sample_rate), sample_rate) == pytest.approx(-3.01, abs=0.05)


def test_two_channels_add_their_energy():
    mono = tone(997, 48000)
    assert loudness_lufs(np.repeat(mono, 2, axis=0), 48000) == pytest.approx(
        loudness_lufs(mono, 48000) + 3.01, abs=0.005
    )


@pytest.mark.parametrize(("sample_rate", "seconds"), [(32000, 8.0), (48000, 45.0)])
def test_agrees_with_pyloudnorm(sample_rate, seconds):
    pyloudnorm = pytest.importorskip("pyloudnorm")
    samples = bursts(sample_rate, seconds=seconds)
    reference = pyloudnorm.Meter(sample_rate).integrated_loudness(samples.T.astype(np.float64))
    # pyloudnorm designs the two filters from rounded parameters (1500 Hz, 4 dB): up to 0.1 LU on white noise.
    assert loudness_lufs(samples, sample_rate) == pytest.approx(reference, abs=0.1)


def test_pieces_join_exactly(monkeypatch):
    samples = bursts(16000, seconds=10.0)
    whole = loudness_lufs(samples, 16000)
    monkeypatch.setattr(loudness, "PIECE_SECONDS", (1,))
    assert loudness_lufs(samples, 16000) == pytest.approx(whole, abs=1e-9)


def test_silence_has_no_loudness():
    assert loudness_lufs(np.zeros((1, 48000), np.float32), 48000) == -np.inf


def test_shorter_than_a_block_counts_as_repeated():
    assert loudness_lufs(tone(1000, 48000, 0.1), 48000) == pytest.approx(
        loudness_lufs(tone(1000, 48000), 48000), abs=0.1
    )


def test_true_peak_lies_between_the_samples():
    # A quarter of the sampling rate, 45 degrees off: every sample is 0.707, the wave reaches 1.
    samples = tone(12000, 48000, phase=np.pi / 4)
    assert np.abs(samples).max() == pytest.approx(0.7071, abs=1e-3)
    assert true_peak(samples, 48000)[1000:-1000].max() == pytest.approx(1.0, abs=0.01)


def test_limiter_holds_the_ceiling_and_leaves_the_rest():
    samples = tone(220, 48000, 2.0, 0.3)
    samples[:, 48000] = 1.5  # one click
    limited = limit(samples, 48000, 0.5)
    assert true_peak(limited, 48000).max() <= 0.5 + 1e-6
    far = np.abs(np.arange(samples.shape[1]) - 48000) > 0.02 * 48000
    np.testing.assert_allclose(limited[:, far], samples[:, far], rtol=0.01)  # 1 %: the final trim of interpolated peaks


def test_limiter_does_nothing_below_the_ceiling():
    samples = tone(220, 48000, 1.0, 0.3)
    assert limit(samples, 48000, 0.5) is samples
