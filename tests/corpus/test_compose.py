"""What every score promises, over many seeds; and what one seed promises twice."""

from functools import lru_cache

import pytest

from cadenza.corpus.compose import chord_spans, compose
from cadenza.corpus.genres import GENRES
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.patterns import BASS_PATTERNS, CHORD_PATTERNS, DRUM_PATTERNS
from cadenza.corpus.score import Score
from cadenza.corpus.theory import Key

_SEEDS = range(80)


@lru_cache(maxsize=1)
def _scores() -> tuple[Score, ...]:
    return tuple(compose(seed, 24.0) for seed in _SEEDS)


def test_same_seed_same_score() -> None:
    for seed in (0, 7, 123456789):
        assert compose(seed) == compose(seed)
    assert compose(1) != compose(2)


def test_all_genres_and_both_modes_are_written() -> None:
    scores = [compose(seed, 8.0) for seed in range(1000, 1220)]
    assert {s.genre for s in scores} == {g.name for g in GENRES} | {"solo"}
    assert {s.key for s in scores} == {Key(tonic, mode) for tonic in range(12) for mode in ("major", "minor")}
    assert len({s.meter.name for s in scores}) == 3


def test_notes_are_playable() -> None:
    for score in _scores():
        end = score.num_bars * score.meter.bar_quarters
        assert score.parts
        for part in score.parts:
            instrument = INSTRUMENTS[part.instrument]
            assert list(part.notes) == sorted(part.notes, key=lambda n: (n.start, n.pitch))
            for note in part.notes:
                assert note.duration > 0
                assert 0 <= note.start < end
                assert note.start + note.duration <= end + 1e-3, (score.seed, part.instrument, note)
                assert 1 <= note.velocity <= 127
                assert instrument.low <= note.pitch <= instrument.high, (score.seed, part.instrument, note)


def test_sections_tile_the_piece_and_chords_tile_the_sections() -> None:
    for score in _scores():
        bar = 0
        for section in score.sections:
            assert section.first_bar == bar
            bar += section.num_bars
            spans = chord_spans(score.key, score.meter, section)
            position = section.first_bar * score.meter.bar_quarters
            for span in spans:
                assert span.start == pytest.approx(position)
                position += span.duration
            assert position == pytest.approx(bar * score.meter.bar_quarters)
        assert score.num_bars == bar


def test_pattern_rows_divide_their_bars() -> None:
    """A row has whole sixteenths, eighths or quarters: its length divides the bar's sixteenths."""
    sixteenths = {"4/4": 16, "3/4": 12, "6/8": 12, "5/4": 20}
    for table in (CHORD_PATTERNS, BASS_PATTERNS):
        for name, meters in table.items():
            for meter, rows in meters.items():
                assert all(sixteenths[meter] % len(row) == 0 for row in rows), (name, meter)
    for name, meters in DRUM_PATTERNS.items():
        for meter, variants in meters.items():
            assert all(len(row) == sixteenths[meter] for rows in variants for row in rows.values()), (name, meter)


def test_strong_beats_of_melodies_sing_the_harmony() -> None:
    """Bars open on chord tones: a melody's first note in a bar belongs to the chord that sounds there."""
    checked = 0
    for score in _scores():
        spans = [s for section in score.sections for s in chord_spans(score.key, score.meter, section)]
        for part in score.parts:
            if part.role != "melody":
                continue
            for note in part.notes:
                bar = round(note.start / score.meter.bar_quarters)
                if abs(note.start - bar * score.meter.bar_quarters) > 0.08:
                    continue
                at = bar * score.meter.bar_quarters
                chord = next(s.chord for s in spans if s.start <= at + 1e-6 < s.start + s.duration)
                assert note.pitch % 12 in chord.classes, (score.seed, score.genre, note)
                checked += 1
    assert checked > 300


def test_melodies_return() -> None:
    """Two verses share their rhythm: the motif comes back."""
    found = 0
    for score in _scores():
        verses = [s for s in score.sections if s.name == "verse"]
        melody = next((p for p in score.parts if p.role == "melody"), None)
        if melody is None or len(verses) < 2:
            continue
        bar = score.meter.bar_quarters
        rhythms = []
        for verse in verses[:2]:
            inside = [n.start - verse.first_bar * bar for n in melody.notes]
            rhythms.append([round(x * 8) for x in inside if -0.1 < x < 2 * bar - 0.2])
        if not all(rhythms):
            continue
        found += 1
        # Humanised timing moves a note by under a 32nd here and there, so counts and most places agree.
        assert len(rhythms[0]) == len(rhythms[1]), score.seed
    assert found > 10


def test_a_bar_lasts_what_tempo_and_meter_say() -> None:
    for score in _scores():
        beat = 60.0 / score.tempo_bpm
        assert score.bar_seconds == pytest.approx(score.meter.beats * beat)
        assert 40 <= score.tempo_bpm <= 220


def test_instruments_between_hears_only_who_plays() -> None:
    for score in _scores()[:40]:
        whole = score.instruments_between(0.0, score.duration_seconds)
        assert whole
        assert set(whole) <= {p.instrument for p in score.parts}
        assert score.instruments_between(score.duration_seconds + 5, score.duration_seconds + 15) == []
