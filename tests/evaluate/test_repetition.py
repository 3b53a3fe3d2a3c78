"""Repetition: loops whose length is known, and music that only keeps its pattern."""

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.evaluate.repetition import Repetition, diversity, levels_of, measure_repetition, stuck_seconds
from cadenza.testing import noise, tone

RATE = 22050


def melody(seconds: float, seed: int = 0, same: bool = False) -> Audio:
    """Plucked tones of random pitch every quarter of a second, each of its own level."""
    draw = np.random.default_rng(seed)
    time = np.arange(RATE // 4) / RATE
    parts = []
    for _ in range(round(seconds * 4)):
        pitch, level = (0, 0.2) if same else (draw.integers(24), draw.uniform(0.05, 0.3))
        wave = sum(np.sin(2 * np.pi * k * 220 * 2 ** (pitch / 12) * time) / k for k in range(1, 6))
        parts.append(level * wave * np.exp(-time / 0.1))
    return Audio(np.concatenate(parts).astype(np.float32), RATE)


def looped(audio: Audio, seconds: float, total: float) -> Audio:
    bar = audio.samples[:, : round(seconds * audio.sample_rate)]
    times = -(-round(total * audio.sample_rate) // bar.shape[1])
    return Audio(np.tile(bar, (1, times))[:, : round(total * audio.sample_rate)], audio.sample_rate)


def repetition(audio: Audio) -> Repetition:
    return measure_repetition(levels_of(audio))


@pytest.mark.parametrize("period", [1.0, 1.77, 2.5])
def test_a_loop_is_found_with_its_period(period: float) -> None:
    found = repetition(looped(melody(10.0), period, 10.0))
    assert found.share == pytest.approx(1 - period / 10, abs=0.03)  # a window of 93 ms at each end
    assert found.lag_seconds == pytest.approx(period, abs=0.012)  # a frame


def test_through_noise_and_another_rate() -> None:
    loop = looped(melody(10.0), 2.0, 10.0)
    hiss = noise(10.0, RATE, level=0.0005)
    assert repetition(Audio(loop.samples + hiss.samples, RATE)).share > 0.7
    assert repetition(loop.resample(32000).with_channels(2)).share > 0.7


def test_music_and_noise_do_not_repeat() -> None:
    assert repetition(melody(10.0)).share < 0.05
    assert repetition(noise(8.0, RATE)).share == 0.0
    assert repetition(melody(10.0, same=True)).share > 0.9  # the same tone over and over


def test_what_is_usual_in_long_clips_is_told_from_some_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that minutes of music take no gigabytes; the copies themselves are looked for at every lag."""
    loop = levels_of(looped(melody(10.0), 1.77, 10.0))
    whole = measure_repetition(loop)
    monkeypatch.setattr("cadenza.evaluate.repetition._MOST_DIFFERENCES", 20_000)
    sizes: list[int] = []
    median = np.median
    monkeypatch.setattr(np, "median", lambda values, **rest: sizes.append(values.size) or median(values, **rest))
    assert measure_repetition(loop).share == pytest.approx(whole.share, abs=0.02)
    assert measure_repetition(loop).lag_seconds == whole.lag_seconds
    assert 0 < max(sizes) <= 20_000


def test_what_is_too_short_or_silent_has_none() -> None:
    for audio in (melody(1.0), Audio(np.zeros(RATE * 5, np.float32), RATE), tone(440.0, 0.01, RATE)):
        assert repetition(audio) == Repetition(0.0, 0.0)


def test_a_rest_is_no_copy_of_another() -> None:
    rest = np.zeros(2 * RATE, np.float32)
    music = [melody(2.0, seed).samples[0] for seed in (1, 2, 3)]
    pauses = Audio(np.concatenate([music[0], rest, music[1], rest, music[2]]), RATE)
    assert repetition(pauses).share < 0.05


def test_stuck_seconds() -> None:
    moving = melody(4.0)
    assert stuck_seconds(levels_of(moving)) < 0.5
    held = Audio(np.concatenate([moving.samples[0], tone(300.0, 3.0, RATE).samples[0]]), RATE)
    assert stuck_seconds(levels_of(held)) == pytest.approx(3.0, abs=0.3)
    assert stuck_seconds(levels_of(Audio(np.zeros(RATE * 4, np.float32), RATE))) == 0.0
    assert stuck_seconds(levels_of(noise(4.0, RATE))) < 0.5


def test_diversity_by_hand() -> None:
    east, north = np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([[0.0, 2.0]])
    found = diversity([east, north, east, north], ["a", "b", "c", "b"])
    assert found.pairs == 5  # the pair within "b" is left out
    assert found.mean_similarity == pytest.approx(1 / 5)
    assert found.near_duplicates == ((0, 2, 1.0),)
    assert diversity([east]).pairs == 0
    assert diversity([]).mean_similarity == 0.0
