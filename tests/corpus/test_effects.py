"""Effects against what they promise: decay times, gains, periods, and time that stays where it is."""

import numpy as np
import pytest

from cadenza.corpus import effects
from cadenza.corpus.synth import SAMPLE_RATE


def _noise(seconds: float, channels: int = 1, level: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (level * rng.standard_normal((channels, int(seconds * SAMPLE_RATE)))).astype(np.float32)


@pytest.mark.parametrize("least", [1, 2, 7, 97, 1000, 1_000_003])
def test_fast_lengths_have_small_factors_and_little_waste(least: int) -> None:
    size = rest = effects.fast_length(least)
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1
    assert least <= size <= max(1.1 * least, 8)


@pytest.mark.parametrize("rt60", [0.4, 1.2, 3.0])
def test_a_room_decays_by_its_rt60(rt60: float) -> None:
    slopes = []
    for seed in range(4):
        response = effects.room(rt60, 0.6, 0.02, seed, 2)
        assert np.sum(response**2, axis=1) == pytest.approx([1.0, 1.0], rel=1e-4)
        assert not response[:, : round(0.02 * SAMPLE_RATE)].any()
        assert abs(np.sum(response[0] * response[1])) < 0.15
        # Schroeder's backward integral of what is below 1 kHz, its slope between -5 and -25 dB.
        spectrum = np.fft.rfft(response)
        spectrum[:, np.fft.rfftfreq(response.shape[1], 1 / SAMPLE_RATE) > 1000] = 0
        power = np.sum(np.fft.irfft(spectrum, response.shape[1]) ** 2, axis=0)
        energy = np.cumsum(power[::-1])[::-1]
        level = 10 * np.log10(energy / energy[0] + 1e-12)
        first, last = (int(np.argmax(level < limit)) for limit in (-5.0, -25.0))
        slopes.append(3 * (last - first) / SAMPLE_RATE)
    # A short room's noise is a small sample.
    assert np.mean(slopes) == pytest.approx(rt60, rel=0.08)


def test_treble_dies_first() -> None:
    wave = effects.room(1.5, 0.5, 0.0, 2)[0]
    middle = len(wave) // 2

    def treble_share(part: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(part)) ** 2
        return float(power[len(power) // 2 :].sum() / power.sum())

    assert treble_share(wave[middle:]) < 0.1 * treble_share(wave[:middle])


def test_echoes_fall_by_their_feedback() -> None:
    response = effects.echoes(0.25, 0.5, 3)[0]
    assert np.flatnonzero(response).tolist() == [8000, 16000, 24000]
    assert response[[8000, 16000, 24000]].tolist() == [1.0, 0.5, 0.25]


def test_tone_tilts_by_the_octave_within_bounds_and_closes_its_ends() -> None:
    level = 20 * np.log10(effects.tone(np.array([400.0, 800.0, 1600.0, 12800.0]), 1.0, 10.0, None))
    assert level == pytest.approx([-1.0, 0.0, 1.0, 4.0], abs=0.01)
    steep = effects.tone(np.array([100.0, 12800.0]), 3.0, 10.0, None)
    assert 20 * np.log10(steep) == pytest.approx([-6.0, 6.0], abs=0.01)
    dull = effects.tone(np.array([800.0, 4000.0, 16000.0]), 0.0, 10.0, 4000.0)
    assert 20 * np.log10(dull) == pytest.approx([0.0, -3.0, -24.1], abs=0.1)


def test_ducking_has_the_period_of_its_starts() -> None:
    starts = np.arange(8) * 0.5
    gain = effects.ducking(starts, 4 * SAMPLE_RATE, 0.6)
    cycles = gain.reshape(8, -1)
    np.testing.assert_allclose(cycles[1:], cycles[1:2].repeat(7, axis=0), atol=1e-6)
    assert gain.min() == pytest.approx(0.4, abs=0.03)
    assert gain.max() == 1.0
    assert cycles[1].argmin() < 0.01 * SAMPLE_RATE
    assert cycles[1][-1] > 0.98


def test_a_compressor_evens_out_loud_and_soft() -> None:
    mix = _noise(4.0, 2)
    mix[:, : mix.shape[1] // 2] *= 0.25
    halves = [np.sqrt(np.mean(half**2)) for half in np.split(effects.compress(mix, 3.0, 0.0), 2, axis=1)]
    # 12 dB apart; the louder half stands 2.8 dB above the mean, a third of which remains: 12 - 1.9.
    assert 20 * np.log10(halves[1] / halves[0]) == pytest.approx(12.04 - 2.77 * 2 / 3, abs=0.3)
    assert effects.compress(mix, 1.0) is mix
    silence = np.zeros((1, SAMPLE_RATE), np.float32)
    assert not effects.compress(silence, 3.0).any()


def test_saturation_bends_peaks_and_leaves_the_soft_alone() -> None:
    mix = _noise(1.0)
    mix[0, 100], mix[0, 200] = 2.0, 0.001
    bent = effects.saturate(mix, 1.0)
    assert np.abs(bent).max() < 0.8
    assert bent[0, 200] == pytest.approx(0.001, rel=1e-3)
    assert (np.sign(bent) == np.sign(mix)).all()
    assert effects.saturate(mix, 0.0) is mix


def test_a_wavering_tape_moves_no_beat() -> None:
    mix = np.zeros((1, 4 * SAMPLE_RATE), np.float32)
    clicks = np.arange(1, 8) * SAMPLE_RATE // 2
    mix[0, clicks] = 1.0
    moved = effects.waver(mix, 0.002, 3)
    found = [int(np.argmax(moved[0, c - 400 : c + 400])) - 400 for c in clicks]
    # 0.002 / (2 pi 0.4 Hz) is 0.8 ms, and flutter adds little.
    assert max(map(abs, found)) <= 0.0009 * SAMPLE_RATE
    assert len(set(found)) > 2


def test_vinyl_clicks_as_often_as_asked_and_repeats_exactly() -> None:
    sound = effects.crackle(10 * SAMPLE_RATE, 10.0, 4)
    loud = np.flatnonzero(np.abs(sound[0]) > 0.04)
    clicks = 1 + np.count_nonzero(np.diff(loud) > 64)
    assert 60 < clicks < 120
    assert np.abs(sound).max() < 1.5
    np.testing.assert_array_equal(sound, effects.crackle(10 * SAMPLE_RATE, 10.0, 4))
    assert not np.array_equal(sound, effects.crackle(10 * SAMPLE_RATE, 10.0, 5))
