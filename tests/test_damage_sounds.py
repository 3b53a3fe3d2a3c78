"""Damage by hand: each kind does what its name says, and nothing else."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.corpus.synth import SAMPLE_RATE
from cadenza.evaluate.tempo import match_tempo
from cadenza.testing import noise, tone

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def sounds() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("damage_sounds")
    sys.modules.pop("damage_sounds", None)


@pytest.mark.parametrize("snr_db", [20.0, 0.0])
def test_noise_is_as_loud_as_asked(sounds: Any, snr_db: float) -> None:
    music = tone(440.0, 2.0, level=0.1)
    added = sounds.with_noise(music, snr_db, seed=1).samples - music.samples
    ratio = 10 * np.log10(np.square(music.samples).mean() / np.square(added).mean())
    assert ratio == pytest.approx(snr_db, abs=0.1)  # 64,000 draws: 0.03 dB is one standard deviation
    other = sounds.with_noise(music, snr_db, seed=2).samples - music.samples
    assert abs(np.corrcoef(added[0], other[0])[0, 1]) < 0.03


def test_noise_on_loud_music_is_not_cut(sounds: Any) -> None:
    loud = sounds.with_noise(tone(440.0, 1.0, level=1.0), 0.0, seed=1).samples
    assert 0.9 < np.abs(loud).max() < 1.0
    assert (np.abs(loud) > 0.99).sum() < 5


def test_low_pass_keeps_what_is_below_and_takes_what_is_above(sounds: Any) -> None:
    low, high = (tone(hertz, 1.0, level=0.1).samples for hertz in (1500.0, 2500.0))
    passed = sounds.low_passed(Audio(low + high, 32000), 2000.0)
    inside = slice(1600, -1600)  # a cut tone rings at its ends
    np.testing.assert_allclose(passed.samples[0, inside], low[0, inside], atol=1e-3)


def test_a_looped_bar_is_the_first_whole_one_at_its_line(sounds: Any) -> None:
    """Bars of 1.30003 s, no whole number of samples; the clip begins 0.2 s before a line. Cutting the music's own bar
    lines keeps every sample but those of the crossfade, round after round."""
    rate, bar = 32000, 1.30003
    music = noise(9.0, level=0.1, sample_rate=rate, seed=3)
    looped = sounds.looped_bar(music, 5 * bar - 0.2, bar)
    assert looped.num_samples == music.num_samples
    line, fade = round(0.2 * rate), round(0.005 * rate)
    length = round(bar * rate) - fade
    for number in range(6):
        place = round(number * bar * rate)
        np.testing.assert_array_equal(
            looped.samples[0, place : place + length], music.samples[0, line : line + length], err_msg=str(number)
        )


def test_a_looped_bar_does_not_click(sounds: Any) -> None:
    music = tone(437.0, 6.0, level=0.5)
    steepest = np.abs(np.diff(music.samples)).max()
    assert np.abs(np.diff(sounds.looped_bar(music, 0.9, 1.0).samples)).max() < 1.5 * steepest


def test_bars_last_as_long_as_the_score_says(sounds: Any) -> None:
    assert sounds.bar_seconds(120.0, "4/4") == 2.0
    assert sounds.bar_seconds(90.0, "3/4") == 2.0
    assert sounds.bar_seconds(60.0, "6/8") == 2.0  # two dotted quarters


def test_no_listener_takes_the_other_tempo_for_the_first(sounds: Any) -> None:
    for bpm in np.arange(44.0, 221.0):
        assert match_tempo(bpm, sounds.other_tempo(bpm), tolerance=0.15) == "other"
    assert sounds.other_tempo(80.0) == 112.0
    assert sounds.other_tempo(140.0) == 100.0


def test_another_tempo_plays_the_same_notes_from_the_same_place(sounds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renderer that clicks at every quarter: the clip begins at the same one, and they come 1.25 times faster."""

    def clicks(score: Any, soundfont: Any) -> np.ndarray:
        samples = np.zeros(round(score.duration_seconds * SAMPLE_RATE), np.float32)
        times = np.arange(score.num_bars * score.meter.bar_quarters) * score.seconds_per_quarter
        samples[np.round(times * SAMPLE_RATE).astype(int)] = 0.5 + 0.001 * np.arange(len(times))
        return samples

    monkeypatch.setattr(sounds, "render", clicks)
    monkeypatch.setattr(sounds, "set_level", lambda piece, *levels: piece)
    score = sounds.compose(5, sounds.piece_seconds(5))
    quarter = score.seconds_per_quarter
    found = sounds.at_tempo(5, score.tempo_bpm * 1.25, 4 * quarter, 8 * quarter).samples[0]
    places = np.flatnonzero(found)
    np.testing.assert_allclose(np.diff(places) / SAMPLE_RATE, quarter / 1.25, atol=1e-4)  # a sample is 3e-5 s
    assert found[places[0]] == pytest.approx(0.504)
    assert len(places) == 10


@pytest.mark.parametrize("count", [2, 3, 50])
def test_everyone_is_given_words_of_another(sounds: Any, count: int) -> None:
    order = sounds.deranged(count, seed=1)
    assert sorted(order) == list(range(count))
    assert all(place != other for place, other in enumerate(order))
