"""Chords against textbook spellings; voice leading against its promises."""

import numpy as np
import pytest

from cadenza.corpus.genre import Genre
from cadenza.corpus.genres import GENRES
from cadenza.corpus.theory import SCALES, Key, chord_from_numeral, count_parallels, lead_voices, nearest_pitch

C_MAJOR, C_MINOR, A_MINOR = Key(0, "major"), Key(0, "minor"), Key(9, "minor")


@pytest.mark.parametrize(
    ("numeral", "key", "classes"),
    [
        ("I", C_MAJOR, (0, 4, 7)),
        ("ii7", C_MAJOR, (2, 5, 9, 0)),
        ("V7/V", C_MAJOR, (2, 6, 9, 0)),
        ("IVmaj7", C_MAJOR, (5, 9, 0, 4)),
        ("bVI", C_MINOR, (8, 0, 3)),
        ("iidim", C_MINOR, (2, 5, 8)),
        ("iim7b5", A_MINOR, (11, 2, 5, 9)),
        ("i", A_MINOR, (9, 0, 4)),
        ("V", A_MINOR, (4, 8, 11)),
        ("im9", C_MINOR, (0, 3, 7, 10, 2)),
        ("V7/bIII", C_MINOR, (10, 2, 5, 8)),
    ],
)
def test_numerals_spell_their_chords(numeral: str, key: Key, classes: tuple[int, ...]) -> None:
    assert chord_from_numeral(numeral, key).classes == classes


def test_key_names_and_scales() -> None:
    assert Key(2, "minor").name == "D minor"
    assert set(Key(2, "minor").scale) == {2, 4, 5, 7, 9, 10, 0}
    assert Key(0, "major").pitches("major pentatonic", 60, 72) == [60, 62, 64, 67, 69, 72]


def _numerals(genre: Genre) -> list[tuple[str, str]]:
    return [
        (mode, numeral)
        for mode, progressions in (("major", genre.major_progressions), ("minor", genre.minor_progressions))
        for progression in progressions
        for bar in progression.split()
        for numeral in bar.split("_")
    ]


@pytest.mark.parametrize("genre", GENRES, ids=lambda g: g.name)
def test_every_progression_parses_and_touches_its_key(genre: Genre) -> None:
    for mode, numeral in _numerals(genre):
        for tonic in range(12):
            key = Key(tonic, mode)
            chord = chord_from_numeral(numeral, key)
            assert len(set(chord.classes)) == len(chord.classes)
            assert any(c in key.scale for c in chord.classes), (numeral, key)


@pytest.mark.parametrize("name", ["classical", "baroque", "folk", "march", "waltz"])
def test_diatonic_genres_stay_in_key(name: str) -> None:
    """Chord tones lie in the key, harmonic minor's leading tone and the applied dominant's third aside."""
    genre = next(g for g in GENRES if g.name == name)
    borrowed = {"V7/V", "bVII"}
    for mode, numeral in _numerals(genre):
        if numeral in borrowed and mode == "major":
            continue
        allowed = set(SCALES[mode]) | ({11} if mode == "minor" else set())
        assert set(chord_from_numeral(numeral, Key(0, mode)).classes) <= allowed, (mode, numeral)


def test_voices_move_little_and_spell_the_chord() -> None:
    previous = None
    for numeral in ["I", "vi", "IV", "V7", "I", "iii7", "IVmaj7", "ii7", "V7", "I"]:
        chord = chord_from_numeral(numeral, C_MAJOR)
        voicing = lead_voices(previous, chord, 3, 50, 74)
        assert list(voicing) == sorted(set(voicing))
        assert all(50 <= p <= 74 and p % 12 in chord.classes for p in voicing)
        assert chord.third in {p % 12 for p in voicing}
        if previous is not None:
            # Some chord tone is never further than a fourth, and least total motion keeps voices near theirs.
            assert max(abs(a - b) for a, b in zip(voicing, previous, strict=True)) <= 7
        previous = voicing


def test_common_tones_are_kept() -> None:
    c_chord = (60, 64, 67)
    a_minor = lead_voices(c_chord, chord_from_numeral("vi", C_MAJOR), 3, 50, 74)
    assert a_minor == (60, 64, 69)


def test_nearest_pitch_stays_in_range() -> None:
    assert nearest_pitch(0, 61, 55, 70) == 60
    assert nearest_pitch(11, 58, 60, 72) == 71


def test_inversions_put_another_tone_into_the_bass() -> None:
    assert chord_from_numeral("V^3", C_MAJOR).bass == 11
    assert chord_from_numeral("I^5", C_MAJOR).bass == 7
    assert chord_from_numeral("V^3", C_MAJOR).classes == chord_from_numeral("V", C_MAJOR).classes


def test_parallels_are_counted_and_avoided() -> None:
    assert count_parallels((60, 67, 72), (62, 69, 74)) == 2
    assert count_parallels((60, 64, 67), (59, 62, 67)) == 0
    rng = np.random.default_rng(1)
    previous = None
    for numeral in rng.choice(["I", "ii", "iii", "IV", "V", "vi"], 200):
        voicing = lead_voices(previous, chord_from_numeral(str(numeral), C_MAJOR), 3, 50, 74)
        assert previous is None or count_parallels(previous, voicing) == 0, (previous, numeral, voicing)
        previous = voicing
