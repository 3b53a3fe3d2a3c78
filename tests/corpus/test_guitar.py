"""Guitar chords exist on six strings, hold the harmony, and move little."""

from itertools import permutations

import pytest

from cadenza.corpus.guitar import TUNING, can_hold, fret_chord, pitches, shapes
from cadenza.corpus.theory import QUALITIES, Chord, Key, chord_from_numeral


def _reachable(voicing: tuple[int, ...]) -> bool:
    """Whether some choice of strings puts every pitch within four frets (open strings are free)."""
    for strings in permutations(range(6), len(voicing)):
        if list(strings) != sorted(strings):
            continue
        frets = [pitch - TUNING[string] for pitch, string in zip(voicing, strings, strict=True)]
        pressed = [fret for fret in frets if fret > 0]
        if min(frets) >= 0 and (not pressed or max(pressed) - min(pressed) <= 3):
            return True
    return False


@pytest.mark.parametrize("shells", [False, True])
@pytest.mark.parametrize("quality", sorted(QUALITIES))
def test_every_chord_has_a_shape_that_a_hand_can_hold(quality: str, shells: bool) -> None:
    for root in range(12):
        chord = Chord(root, QUALITIES[quality], root)
        found = shapes(chord, shells)
        assert all(can_hold(tuple(fret for _, fret in shape)) for shape in found)
        assert all({p % 12 for p in pitches(shape)} <= set(chord.classes) for shape in found)
        voicing = fret_chord(None, chord, shells)
        assert voicing == tuple(sorted(voicing)) and _reachable(voicing), (chord, voicing)
        assert voicing[0] % 12 == root


def test_inversions_have_their_bass_lowest() -> None:
    for numeral in ("V^3", "I^5", "ii^3"):
        for tonic in range(12):
            chord = chord_from_numeral(numeral, Key(tonic, "major"))
            assert fret_chord(None, chord)[0] % 12 == chord.bass


def test_known_shapes() -> None:
    """E major is the open chord of six strings, and a barre with three notes above it can be held, four cannot."""
    assert fret_chord(None, Chord(4, (0, 4, 7), 4)) == (40, 47, 52, 56, 59, 64)
    assert can_hold((1, 3, 3, 2, 1, 1)) and not can_hold((1, 3, 3, 2, 4, 1))
    assert not can_hold((0, 3, 3, 2, 1, 1))


def test_changes_are_small() -> None:
    """I, IV, V and vi follow each other within the reach of a hand: the top voice moves by a fourth at most."""
    for tonic in range(12):
        voicing = None
        for numeral in ("I", "vi", "IV", "V", "I"):
            following = fret_chord(voicing, chord_from_numeral(numeral, Key(tonic, "major")))
            assert voicing is None or abs(following[-1] - voicing[-1]) <= 5, (tonic, numeral)
            voicing = following
