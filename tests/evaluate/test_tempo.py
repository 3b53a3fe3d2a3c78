"""Tempo: clicks whose tempo is known, and the arithmetic of octaves."""

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.tempo import estimate_tempo, match_tempo
from cadenza.testing import noise


def clicks(bpm: float, seconds: float = 10.0, sample_rate: int = 32000) -> Audio:
    """A short tone of 1 kHz on each beat."""
    samples = np.zeros(round(seconds * sample_rate))
    time = np.arange(round(0.05 * sample_rate)) / sample_rate
    click = 0.5 * np.sin(2 * np.pi * 1000 * time) * np.exp(-time / 0.01)
    for start in np.arange(0.1, seconds - 0.1, 60 / bpm):
        first = round(start * sample_rate)
        samples[first : first + click.size] += click
    return Audio(samples.astype(np.float32), sample_rate)


@pytest.mark.parametrize("bpm", [72.0, 97.0, 120.0, 133.0])
def test_click_track_has_its_tempo(bpm: float) -> None:
    tempo = estimate_tempo(clicks(bpm))
    assert tempo.bpm == pytest.approx(bpm, rel=0.01)  # a frame of 12 ms over many beats
    assert tempo.strength > 0.5


@pytest.mark.parametrize("bpm", [52.0, 168.0, 200.0])
def test_extreme_tempos_are_right_up_to_their_octave(bpm: float) -> None:
    assert match_tempo(bpm, estimate_tempo(clicks(bpm)).bpm) in ("same", "octave")


def test_level_and_sample_rate_do_not_matter() -> None:
    audio = clicks(110.0)
    softer = Audio(audio.samples * 0.01, audio.sample_rate).resample(44100).with_channels(2)
    assert estimate_tempo(softer).bpm == pytest.approx(estimate_tempo(audio).bpm, rel=0.01)


def test_silence_has_no_tempo_and_noise_hardly_any() -> None:
    silence = Audio(np.zeros((1, 64000), dtype=np.float32), 32000)
    assert estimate_tempo(silence).bpm is None
    assert estimate_tempo(Audio(np.zeros((1, 1), dtype=np.float32), 32000)).bpm is None
    assert estimate_tempo(noise(8.0)).strength < 0.1 < estimate_tempo(clicks(100)).strength


@pytest.mark.parametrize(
    ("measured", "relation"),
    [
        (120.0, "same"), (124.7, "same"), (115.3, "same"), (125.0, "other"),
        (60.0, "octave"), (240.0, "octave"), (62.3, "octave"), (63.0, "other"),
        (40.0, "triple"), (360.0, "triple"), (80.0, "other"), (180.0, "other"), (None, "other"),
    ],
)  # fmt: skip
def test_relation_to_120(measured: float | None, relation: str) -> None:
    assert match_tempo(120.0, measured) == relation


def test_tempo_must_be_positive() -> None:
    with pytest.raises(UserError, match="0 bpm"):
        match_tempo(0, 100.0)
