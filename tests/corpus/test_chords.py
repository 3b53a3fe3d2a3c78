"""Chords: in range and in time for every instrument and pattern, in voicings that belong to the instrument."""

import numpy as np
import pytest

from cadenza.corpus.accompany import play_pad, play_timpani
from cadenza.corpus.chords import comfortable_range, drop_two, play_chords
from cadenza.corpus.genre import FIVE, FOUR, SIX, THREE
from cadenza.corpus.genres import GENRES, SOLO_INSTRUMENTS
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.melody import ChordSpan, chord_at
from cadenza.corpus.patterns import CHORD_PATTERNS
from cadenza.corpus.score import Meter
from cadenza.corpus.theory import Key, chord_from_numeral

_METERS = {meter.name: meter for meter in (FOUR, THREE, SIX, FIVE)}
_PAIRS = sorted(
    {(i, p) for g in GENRES for lineup in g.lineups for line in lineup if line.role == "chords"
     for i in line.instruments for p in line.patterns}
    | {(i, p) for i, patterns in SOLO_INSTRUMENTS.items() for p in patterns}
)  # fmt: skip


def _spans(tonic: int, meter: Meter, numerals: str = "Imaj9 V7/ii ii7 V^3") -> list[ChordSpan]:
    bar, key = meter.bar_quarters, Key(tonic, "major")
    return [ChordSpan(i * bar, bar, chord_from_numeral(n, key)) for i, n in enumerate(numerals.split())]


@pytest.mark.parametrize("meter", [FOUR, THREE, SIX, FIVE], ids=lambda m: m.name)
def test_every_player_of_every_pattern_stays_in_range_and_time(meter: Meter) -> None:
    checked = 0
    for number, (instrument, pattern) in enumerate(_PAIRS):
        if meter.name not in CHORD_PATTERNS[pattern]:
            continue
        sounder = INSTRUMENTS[instrument]
        for bar, intensity in ((0, 0.0), (2, 1.0))[number % 2 :: 2]:
            rng = np.random.default_rng(number)
            spans = _spans(number % 12, meter)
            notes = play_chords(rng, instrument, pattern, spans, meter, bar, 2, intensity=intensity)
            begin, end = bar * meter.bar_quarters, (bar + 2) * meter.bar_quarters
            assert notes, (instrument, pattern)
            for note in notes:
                assert sounder.low <= note.pitch <= sounder.high, (instrument, pattern, note)
                assert begin <= note.start < end and note.duration > 0
                assert 1 <= note.velocity <= 127
            checked += 1
    assert checked > 30


def test_notes_belong_to_their_chords() -> None:
    """Only the blues shuffle's sixth is foreign."""
    for instrument, pattern in _PAIRS[::2]:
        if pattern == "shuffle":
            continue
        spans = _spans(2, FOUR)
        for note in play_chords(np.random.default_rng(0), instrument, pattern, spans, FOUR, 1, 2, intensity=0.5):
            chord = chord_at(spans, note.start - 0.1 if note.start % 4 > 3.99 else note.start)
            extra = {(chord.bass + 7) % 12} if pattern in ("power", "gallop", "chug") else set()
            assert note.pitch % 12 in set(chord.classes) | extra, (instrument, pattern, note)


def test_drop_two_spreads_four_voices_and_moves_little() -> None:
    voicing: tuple[int, ...] | None = None
    for numeral in ("ii9", "V7", "Imaj9", "VI7", "ii7"):
        chord = chord_from_numeral(numeral, Key(3, "major"))
        following = drop_two(voicing, chord, 50, 74)
        close = sorted((*following[1:], following[0] + 12))
        assert close[-1] - close[0] < 12 and len({p % 12 for p in following}) == 4
        if len(chord.classes) == 5:
            assert chord.root not in {p % 12 for p in following}
        assert voicing is None or sum(abs(a - b) for a, b in zip(voicing, following, strict=True)) <= 12
        voicing = following


def test_damped_strokes_are_short_and_soft() -> None:
    notes = play_chords(np.random.default_rng(1), "electric guitar", "funk", _spans(0, FOUR), FOUR, 0, 4, intensity=0.5)
    damped = [n for n in notes if n.duration <= 0.0601]
    others = [n for n in notes if n.duration > 0.0601]
    assert damped and others and max(n.velocity for n in damped) < min(n.velocity for n in others)


def test_waltz_left_hands_alternate_root_and_fifth() -> None:
    spans = [ChordSpan(0.0, 12.0, chord_from_numeral("I", Key(0, "major")))]
    notes = play_chords(np.random.default_rng(0), "piano", "waltz", spans, THREE, 0, 4, intensity=0.6)
    firsts = [min(n.pitch for n in notes if n.start == 3 * bar) % 12 for bar in range(4)]
    assert firsts == [0, 7, 0, 7]


def test_pads_tie_common_tones_and_stay_comfortable() -> None:
    spans = _spans(0, FOUR, "I vi IV I")
    notes = play_pad("strings", spans)
    low, high = comfortable_range("strings")
    assert all(low <= n.pitch <= high for n in notes)
    assert any(n.duration > 4.0 for n in notes), "I and vi share two tones"


def test_timpani_roll_into_the_next_phrase_and_grow_with_intensity() -> None:
    spans = _spans(0, FOUR, "I IV V I")
    counts = []
    for intensity in (0.1, 0.5, 1.0):
        notes = play_timpani(np.random.default_rng(0), spans, FOUR, 84, intensity)
        counts.append(len(notes))
        roll = [n for n in notes if n.start >= 15.0]
        assert len(roll) == 8 and roll[-1].velocity > roll[0].velocity
        assert all(36 <= n.pitch <= 57 for n in notes)
    assert counts[0] <= counts[1] < counts[2]
