"""Drift: sounds made to change by known amounts, and sounds made not to."""

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.evaluate.drift import (
    longest_repeat,
    longest_run,
    measure_segment,
    measure_segments,
    pitch_similarity,
    slope_per_minute,
    spectral_distance,
    trend,
)
from cadenza.testing import noise, tone


def test_steady_sound_does_not_drift() -> None:
    segments = measure_segments(noise(6.5), seconds=2.0)
    assert [s.start_seconds for s in segments] == [0.0, 2.0, 4.0]  # the half second at the end is no segment
    loudness = [s.loudness_lufs for s in segments]
    assert abs(slope_per_minute(loudness, 2.0)) < 1.0  # 2 s of noise are known to 0.03 LU, over a tenth of a minute
    assert spectral_distance(segments[:1], segments[1:]) < 0.5


def test_a_fade_has_its_slope() -> None:
    """A sine that loses 6 dB in each segment of 2 s loses 180 dB a minute."""
    parts = [tone(440.0, 2.0, level=0.5 * 10 ** (-6 * i / 20)) for i in range(4)]
    segments = measure_segments(Audio.concatenate(parts), seconds=2.0)
    assert slope_per_minute([s.loudness_lufs for s in segments], 2.0) == pytest.approx(-180.0, rel=0.01)
    distances = [spectral_distance(segments[:1], [s]) for s in segments]
    assert max(distances) < 0.5  # level is no matter of the spectrum


def test_the_centroid_of_a_tone_is_its_frequency() -> None:
    for frequency in (300.0, 3000.0):
        assert measure_segment(tone(frequency, 1.0)).centroid_hz == pytest.approx(frequency, rel=0.02)


def test_another_sound_is_far_away() -> None:
    low, high = measure_segment(tone(300.0, 1.0)), measure_segment(tone(3000.0, 1.0))
    assert spectral_distance([low], [high]) > 10 * spectral_distance([low], [measure_segment(tone(302.0, 1.0))])


def test_pitch_classes() -> None:
    """An octave is the same, a tritone is not."""
    a, octave, tritone = (measure_segment(tone(f, 1.0)) for f in (440.0, 880.0, 622.25))
    assert pitch_similarity([a], [octave]) == pytest.approx(1.0, abs=0.02)
    assert pitch_similarity([a], [tritone]) == pytest.approx(-1 / 11, abs=0.02)  # two of twelve unit vectors


def test_variety_is_the_entropy_of_notes() -> None:
    drone = tone(440.0, 4.096)
    assert measure_segment(drone).variety_bits == 0.0
    four = Audio.concatenate([tone(440 * 2 ** (step / 12), 1.024) for step in (0, 3, 6, 9)])
    assert measure_segment(four).variety_bits == pytest.approx(2.0, abs=0.1)  # frames at the seams may fall either way


def test_silence_and_clipping_are_shares() -> None:
    half = Audio(np.concatenate([np.zeros(32000), np.sign(np.cos(np.arange(32000)))]), 32000)
    found = measure_segment(half)
    assert found.silent == pytest.approx(0.5, abs=0.06)  # resampling spreads the edge over a tenth of a second
    assert found.clipped == 0.5
    silence = measure_segment(Audio(np.zeros((1, 32000), np.float32), 32000))
    assert (silence.silent, silence.clipped, silence.centroid_hz, silence.loudness_lufs) == (1.0, 0.0, 0.0, -70.0)
    assert silence.variety_bits == 0.0
    assert pitch_similarity([silence], [found]) == 0.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, 1, 2, 3, 5], (3, 0, 4)),
        ([1, 2, 1, 2, 1, 2], (2, 0, 2)),  # the run of four overlaps itself: only two of it are said again
        ([7, 7, 7, 7, 7, 7], (3, 0, 3)),
        ([1, 2, 3, 4], (0, 0, 0)),
        ([1], (0, 0, 0)),
    ],
)
def test_longest_run(values: list[int], expected: tuple[int, int, int]) -> None:
    assert longest_run(np.array(values), 1) == expected


def test_near_repeats_do_not_count() -> None:
    assert longest_run(np.array([5, 5, 9, 8, 7, 6, 9, 8]), 3) == (2, 2, 4)


def test_a_loop_is_found() -> None:
    """3.072 s (24 frames) of notes, twice, with others between."""
    semitones = [440 * 2 ** (step / 12) for step in range(12)]
    theme = [tone(semitones[i], 0.512) for i in (0, 4, 7, 2, 9, 5)]
    between = [tone(semitones[i], 0.512) for i in (1, 3, 6, 8, 10, 11)]
    found = longest_repeat(Audio.concatenate([*theme, *between, *theme]))
    assert found.seconds == pytest.approx(3.072, abs=0.3)  # frames at the seams hear both sides
    assert found.again_seconds - found.first_seconds == pytest.approx(6.144, abs=0.01)
    assert longest_repeat(Audio.concatenate([*theme, *between])).seconds < 0.6


def test_a_trend_is_over_pieces() -> None:
    """Three pieces that fall by 1, 2 and 3 a minute; jitter within them changes nothing of how many there are."""
    minutes = np.arange(30) / 6
    found = trend([list(-slope * minutes) for slope in (1.0, 2.0, 3.0)])
    assert (found.mean, found.count) == (pytest.approx(-2.0), 3)
    assert found.low == pytest.approx(-4.484, abs=0.01)
