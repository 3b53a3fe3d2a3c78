"""A melody closes as asked, breathes, and bends its scale to the chord."""

from itertools import pairwise

import numpy as np
import pytest

from cadenza.corpus.genre import FOUR
from cadenza.corpus.melody import ChordSpan, Ladder, ornament, sing
from cadenza.corpus.motif import draw_motif, draw_theme
from cadenza.corpus.score import Note
from cadenza.corpus.theory import Key, chord_from_numeral

_KEY = Key(9, "minor")


def _spans(*numerals: str) -> list[ChordSpan]:
    return [ChordSpan(4.0 * i, 4.0, chord_from_numeral(n, _KEY)) for i, n in enumerate(numerals)]


def _phrase(seed: int, close: str, *numerals: str) -> list[Note]:
    rng = np.random.default_rng(seed)
    theme = draw_theme(rng, FOUR, draw_motif(rng, FOUR, 0.5), 0.5)
    ladder = Ladder(_KEY, "minor", 60, 81)
    return sing(theme, (4, 5, 6, 7), close, _spans(*numerals), ladder, FOUR, 0, 69)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(8))
def test_phrases_close_as_asked_and_breathe(seed: int) -> None:
    full = _phrase(seed, "full", "i", "iv", "V", "i")
    assert full[-1].pitch % 12 == _KEY.tonic
    half = _phrase(seed, "half", "i", "iv", "iv", "V")
    assert half[-1].pitch % 12 in (4, 8, 11)
    for notes in (full, half):
        assert notes[-1].start + notes[-1].duration <= 16.0 - 0.3
        assert all(60 <= note.pitch <= 81 for note in notes)
        assert all(a.start + a.duration <= b.start + 1e-6 for a, b in pairwise(notes))


def test_the_leading_tone_replaces_the_seventh_over_the_dominant() -> None:
    ladder = Ladder(_KEY, "minor", 60, 81)
    over_tonic, _ = ladder.over(chord_from_numeral("i", _KEY))
    over_dominant, tones = ladder.over(chord_from_numeral("V7", _KEY))
    assert 67 in over_tonic
    assert 68 not in over_tonic
    assert 68 in over_dominant
    assert 67 not in over_dominant
    assert {p % 12 for p in tones} == {4, 8, 11, 2}


def test_ornaments_keep_onsets_and_fill_the_same_time() -> None:
    ladder = Ladder(_KEY, "minor", 60, 81)
    plain = [Note(float(i), 0.95, 69 + 3 * (i % 2), 80) for i in range(8)]
    adorned = ornament(np.random.default_rng(3), plain, ladder, _spans("i", "i"))
    assert len(adorned) > len(plain)
    assert {n.start for n in plain} <= {n.start for n in adorned}
    assert sum(n.duration for n in adorned) == pytest.approx(sum(n.duration for n in plain))
