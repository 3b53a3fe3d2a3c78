"""Keys: synthesised cadences whose key is known, and MIREX weights by hand."""

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.key import (
    KRUMHANSL_KESSLER,
    Key,
    chroma,
    estimate_key,
    mirex_score,
    parse_key,
    relate_keys,
)
from cadenza.evaluate.spectra import SAMPLE_RATE
from cadenza.testing import tone

MAJOR_CADENCE = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))  # I IV V I, semitones above the tonic
MINOR_CADENCE = ((0, 3, 7), (5, 8, 12), (7, 11, 14), (0, 3, 7))


def play(chords: tuple[tuple[int, ...], ...], tonic: int, sample_rate: int = 32000) -> Audio:
    """Each chord for a second, notes with four decaying overtones, the lowest an octave below as a bass."""
    time = np.arange(sample_rate) / sample_rate
    parts = []
    for chord in chords:
        pitches = [60 + tonic + chord[0] - 12, *(60 + tonic + step for step in chord)]
        hertz = [440 * 2 ** ((pitch - 69) / 12) for pitch in pitches]
        parts.append(sum(0.1 / k * np.sin(2 * np.pi * k * f * time) for f in hertz for k in range(1, 5)))
    return Audio(np.concatenate(parts).astype(np.float32), sample_rate)


@pytest.mark.parametrize("tonic", range(12))
def test_cadence_has_its_key(tonic: int) -> None:
    major, minor = estimate_key(play(MAJOR_CADENCE, tonic)), estimate_key(play(MINOR_CADENCE, tonic))
    assert major is not None
    assert minor is not None
    assert (major.tonic, major.mode) == (tonic, "major")
    assert (minor.tonic, minor.mode) == (tonic, "minor")


def test_c_major_scale() -> None:
    scale = play(tuple((step,) for step in (0, 2, 4, 5, 7, 9, 11, 12)), 0)
    for key in (estimate_key(scale), estimate_key(scale, KRUMHANSL_KESSLER)):
        assert key is not None
        assert key.name == "C major"


def test_chroma_of_one_tone_is_its_pitch_class() -> None:
    energy = chroma(tone(440.0, 1.0, sample_rate=SAMPLE_RATE).samples[0])
    assert int(energy.argmax()) == 9
    assert energy[9] > 0.99
    assert energy.sum() == pytest.approx(1.0)


def test_silence_has_no_key() -> None:
    assert estimate_key(Audio(np.zeros((1, 32000), dtype=np.float32), 32000)) is None
    assert estimate_key(Audio(np.zeros((1, 1), dtype=np.float32), 32000)) is None
    assert mirex_score(Key(0, "major"), None) == 0.0


@pytest.mark.parametrize(
    ("asked", "measured", "relation", "score"),
    [
        ("C major", "C major", "same", 1.0),
        ("C major", "G major", "fifth", 0.5),
        ("C major", "F major", "fifth", 0.5),
        ("C major", "A minor", "relative", 0.3),
        ("A minor", "C major", "relative", 0.3),
        ("C major", "C minor", "parallel", 0.2),
        ("C minor", "C major", "parallel", 0.2),
        ("C major", "D major", "other", 0.0),
        ("C major", "G minor", "other", 0.0),
        ("A minor", "F# minor", "other", 0.0),
    ],
)
def test_mirex_weights(asked: str, measured: str, relation: str, score: float) -> None:
    assert relate_keys(parse_key(asked), parse_key(measured)) == relation
    assert mirex_score(parse_key(asked), parse_key(measured)) == score


@pytest.mark.parametrize(
    ("words", "name"),
    [("C", "C major"), ("f# minor", "F# minor"), ("E-flat minor", "Eb minor"), ("Cb major", "B major"),
     ("B♭", "Bb major"), ("g sharp minor", "Ab minor")],
)  # fmt: skip
def test_words_for_keys(words: str, name: str) -> None:
    assert parse_key(words).name == name


def test_words_that_are_no_key() -> None:
    with pytest.raises(UserError, match="H dur"):
        parse_key("H dur")
