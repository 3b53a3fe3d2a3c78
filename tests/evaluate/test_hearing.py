"""What is heard in one clip: figures that are known, and a guard over all of them."""

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.evaluate.drift import silent_share
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.hearing import hear, pitch_classes, version
from cadenza.evaluate.measure import FIGURES
from cadenza.evaluate.measurements import REST
from cadenza.evaluate.spectra import mono
from cadenza.testing import tone

RATE = 22050


def piece() -> Audio:
    """21 s: a cadence in D minor in plucked chords, 100 to the minute, then 1 s of nothing; a click at full scale."""
    time = np.arange(round(0.6 * RATE)) / RATE
    chords = ((50, 62, 65, 69), (55, 62, 67, 70), (57, 61, 64, 69), (50, 62, 65, 69))
    beats = [
        sum(np.sin(2 * np.pi * k * 440 * 2 ** ((pitch - 69) / 12) * time) / k for pitch in chord for k in (1, 2, 3))
        * np.exp(-time / 0.2)
        for chord in chords
        for _ in range(4)
    ]
    music = 0.05 * np.tile(np.concatenate(beats), 3)[: 20 * RATE]
    music[0] = 1.0
    return Audio(np.concatenate([music, np.zeros(RATE)]).astype(np.float32), RATE)


def test_known_figures() -> None:
    heard = hear(piece())
    assert (heard.duration_seconds, heard.sample_rate, heard.channels) == (21.0, RATE, 1)
    assert heard.tempo.bpm == pytest.approx(100.0, rel=0.01)
    assert heard.key is not None
    assert heard.key.name == "D minor"
    assert heard.silent_share == pytest.approx(1 / 21, abs=0.003)  # whole tenths of a second
    assert heard.clipped_share == pytest.approx(1 / (21 * RATE))
    assert heard.repetition > 0.8  # four times the same chord, and all of it again
    assert len(heard.loudness_segments) == len(heard.brightness_segments) == 2
    assert heard.loudness_segments == pytest.approx([heard.loudness_lufs] * 2, abs=0.5)
    assert heard.genre is None


def test_rules_that_change_say_so() -> None:
    """Measured sets are compared by `FIGURES`: raise it, and correct these, where a change alters what is heard."""
    heard = hear(piece())
    assert FIGURES == 2
    found = (heard.loudness_lufs, heard.true_peak_db, heard.tempo.bpm, heard.tempo.strength,
             heard.repetition, heard.repetition_seconds, heard.stuck_seconds, *heard.brightness_segments)  # fmt: skip
    known = (-29.0101, 0.0, 100.0713, 0.892956, 0.966396, 0.603719, 0.0, 443.301, 424.766)
    assert found == pytest.approx(known, rel=1e-4)  # rounding differs between processors
    assert len(version()) == 64


def test_an_ear_that_has_learnt_tempo_and_key_tells_them() -> None:
    """The shipped one agrees with the formulas where nothing is in doubt."""
    plain, heard = hear(piece()), hear(piece(), Listener.embedded())
    assert (heard.computed_tempo, heard.computed_key) == (plain.tempo, plain.key)
    assert heard.tempo != plain.tempo
    assert heard.tempo.bpm == pytest.approx(100.0, rel=0.02)  # it knows tempos in steps of 1 %
    assert heard.key is not None
    assert heard.key.name == "D minor"
    assert heard.genre in Listener.embedded().labels


def test_what_the_ear_does_not_know_is_left_out() -> None:
    heard = hear(tone(440.0, 1.0))
    assert (heard.instruments, heard.named, heard.genres) == ({}, (), {})
    assert heard.loudness_segments == ()


def test_pitch_classes_of_tones_and_rests() -> None:
    sound = Audio.concatenate([tone(440.0, 2.0), tone(440.0, 2.0, level=0.0), tone(523.25, 2.0)])
    found = pitch_classes(sound).tolist()
    assert (found[5], found[23], found[-5]) == (9, REST, 0)
    assert silent_share(mono(sound)) == pytest.approx(1 / 3, abs=0.02)
