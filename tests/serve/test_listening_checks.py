"""Attention checks: beeps that can be counted, ruin that can be heard, and answers of those who listen."""

import numpy as np
import pytest

from cadenza.serve.listening_checks import BEEPS, POINTS_PER_BEEP, beeping, calibration, passed, ruined
from cadenza.testing import noise, tone

RATE = 16000


@pytest.mark.parametrize("count", [BEEPS[0], 5, BEEPS[-1]])
@pytest.mark.parametrize("seconds", [1.0, 10.0])
def test_beeps_can_be_counted_behind_the_music(count: int, seconds: float) -> None:
    music = noise(seconds, RATE, channels=2)
    clip = beeping(music, count)
    assert clip.duration_seconds == pytest.approx(max(seconds, 0.6 + 0.5 * count))
    begin = clip.num_samples - round((0.6 + 0.5 * count) * RATE)
    frames = np.abs(clip.samples[0, begin + 10 :])
    loud = frames[: len(frames) // 160 * 160].reshape(-1, 160).max(axis=1) > 0.1  # frames of 10 ms
    assert np.count_nonzero(np.diff(loud.astype(int)) == 1) == count
    if begin:
        assert np.array_equal(clip.samples[:, : begin - RATE // 10], music.samples[:, : begin - RATE // 10])


@pytest.mark.parametrize("level", [0.02, 0.2])
def test_beeps_are_as_loud_as_the_music(level: float) -> None:
    music = tone(440.0, 4.0, RATE, level=level)
    peak = float(np.abs(beeping(music, 3).samples[0, -RATE:]).max())
    assert peak == pytest.approx(level, rel=0.1)


def test_what_is_ruined_is_as_noisy_as_loud() -> None:
    music = tone(440.0, 1.0, RATE, channels=2)
    made = ruined(music, np.random.default_rng(0))
    assert made.samples.shape == music.samples.shape
    scale = np.vdot(made.samples, music.samples) / np.vdot(music.samples, music.samples)
    rest = made.samples - scale * music.samples
    ratio = 10 * np.log10(np.square(scale * music.samples).sum() / np.square(rest).sum())
    assert -2 < ratio < 2  # noise of the music's own power, and eight levels


def test_the_volume_is_set_by_pink_noise() -> None:
    power = np.abs(np.fft.rfft(calibration(RATE, np.random.default_rng(0)).samples[0])) ** 2
    octaves = [power[int(8 * low) : int(16 * low)].sum() for low in (100, 200, 400, 800, 1600)]
    assert max(octaves) < 1.3 * min(octaves)


@pytest.mark.parametrize(
    ("kind", "expected", "good", "bad"),
    [
        ("beeps", 3 * POINTS_PER_BEEP, (30, 27, 34), (20, 25, 35, 40)),
        ("alike", 1, (1, 20), (21, 90)),
        ("same", 0, (0, -1, 1), (2, -3)),
        ("ruined", -1, (-1, -3), (0, 1, 3)),
    ],
)
def test_answers_of_those_who_listen(kind: str, expected: int, good: tuple[int, ...], bad: tuple[int, ...]) -> None:
    assert all(passed(kind, expected, answer) for answer in good)
    assert not any(passed(kind, expected, answer) for answer in bad)
