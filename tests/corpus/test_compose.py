"""What every score promises, over many seeds; and what one seed promises twice."""

from functools import lru_cache

import numpy as np
import pytest

from cadenza.corpus.compose import compose
from cadenza.corpus.genres import GENRES
from cadenza.corpus.harmony import chord_spans
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.melody import chord_at
from cadenza.corpus.plan import draw_plan
from cadenza.corpus.score import Part, Score, Section
from cadenza.corpus.theory import Key

_SEEDS = range(36)
_LONG_SEEDS = range(300, 314)


@lru_cache(maxsize=1)
def _scores() -> tuple[Score, ...]:
    return tuple(compose(seed, 24.0) for seed in _SEEDS)


@lru_cache(maxsize=1)
def _long_scores() -> tuple[Score, ...]:
    return tuple(compose(seed, 110.0) for seed in _LONG_SEEDS)


def _inside(part: Part, score: Score, section: Section) -> list[float]:
    """Starts of a part's notes in a section, in quarters from its beginning."""
    bar = score.meter.bar_quarters
    starts = [note.start - section.first_bar * bar for note in part.notes]
    return [s for s in starts if -0.1 < s < section.num_bars * bar - 0.1]


def test_same_seed_same_score() -> None:
    for seed in (0, 123456789):
        assert compose(seed) == compose(seed)
    assert compose(1) != compose(2)


def test_all_genres_and_both_modes_are_written() -> None:
    plans = [draw_plan(np.random.default_rng(seed)) for seed in range(400)]
    assert {p.genre for p in plans} == {g.name for g in GENRES} | {"solo"}
    assert {p.key for p in plans} == {Key(tonic, mode) for tonic in range(12) for mode in ("major", "minor")}
    assert {p.meter.name for p in plans} == {"4/4", "3/4", "6/8", "5/4"}


def test_the_shortest_piece_of_every_genre_is_written() -> None:
    genres = set()
    for seed in range(1000, 1060):
        score = compose(seed, 4.0)
        genres.add(score.genre)
        assert all(part.notes for part in score.parts)
        assert score.num_bars >= 4
    assert len(genres) >= 18


def test_notes_are_playable() -> None:
    for score in (*_scores(), *_long_scores()):
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


@pytest.mark.parametrize("seconds", [12.0, 22.0, 44.0, 300.0])
def test_a_piece_lasts_what_was_asked_to_the_nearest_bar(seconds: float) -> None:
    for seed in range(40, 43):
        score = compose(seed, seconds)
        assert abs(score.duration_seconds - seconds) <= score.bar_seconds / 2 + 1e-6 or score.num_bars == 4


def test_sections_tile_the_piece_and_chords_tile_the_sections() -> None:
    for score in (*_scores(), *_long_scores()):
        bar = 0
        for section in score.sections:
            assert section.first_bar == bar
            bar += section.num_bars
            position = section.first_bar * score.meter.bar_quarters
            for span in chord_spans(score.meter, section):
                assert span.start == pytest.approx(position)
                position += span.duration
            assert position == pytest.approx(bar * score.meter.bar_quarters)
        assert score.num_bars == bar


def test_strong_beats_of_melodies_sing_the_harmony() -> None:
    """Bars open on chord tones: a melody's first note in a bar belongs to the chord that sounds there."""
    checked = 0
    for score in _scores():
        spans = [s for section in score.sections for s in chord_spans(score.meter, section)]
        for part in score.parts:
            if part.role != "melody":
                continue
            for note in part.notes:
                bar = round(note.start / score.meter.bar_quarters)
                at = bar * score.meter.bar_quarters
                if abs(note.start - at) < 0.06:
                    assert note.pitch % 12 in chord_at(spans, at).classes, (score.seed, score.genre, note)
                    checked += 1
    assert checked > 150


def test_melodies_stay_in_a_singable_range() -> None:
    for score in _long_scores():
        for part in score.parts:
            if part.role == "melody":
                pitches = [note.pitch for note in part.notes]
                assert max(pitches) - min(pitches) <= 24, score.seed


def test_sections_return_with_their_melody() -> None:
    """Two sections of one name and length share nearly all onsets of their melody (repeats may be ornamented)."""
    found = 0
    for score in _long_scores():
        melody = next((p for p in score.parts if p.role == "melody"), None)
        if melody is None:
            continue
        for name in {s.name for s in score.sections} - {"ending"}:
            same = [s for s in score.sections if s.name == name and s is not score.sections[-1]]
            for first, second in ((same[0], other) for other in same[1:]):
                one, two = _inside(melody, score, first), _inside(melody, score, second)
                if first.num_bars != second.num_bars or not one or not two:
                    continue
                found += 1
                # Players move a note by some hundredths of a quarter.
                kept = sum(any(abs(a - b) < 0.15 for b in two) for a in one)
                assert kept >= 0.9 * len(one), (score.seed, name)
    assert found > 15


def test_every_piece_ends_at_home() -> None:
    """The last bar is the tonic chord of the last section's key, and nobody strikes again after its first beat."""
    for score in (*_scores(), *_long_scores()):
        last = score.sections[-1]
        final = chord_spans(score.meter, last)[-1]
        assert final.chord.root == last.key.tonic, (score.seed, last.numerals)
        for part in score.parts:
            if part.role == "bass":
                closing = [n for n in part.notes if n.start > (score.num_bars - 1) * score.meter.bar_quarters - 0.1]
                assert [n.pitch % 12 for n in closing] == [last.key.tonic], score.seed


def test_somebody_with_a_pitch_plays_in_every_section() -> None:
    for score in (*_scores(), *_long_scores()):
        pitched = [p for p in score.parts if p.role != "drums" or p.instrument == "timpani"]
        if not pitched or all(p.role == "bass" for p in pitched):
            continue
        for section in score.sections:
            assert any(_inside(p, score, section) for p in pitched), (score.seed, section.name)


def test_long_pieces_thin_out_and_fill_up() -> None:
    """Not every section of a piece of several players has the same players."""
    varied = several = 0
    for score in _long_scores():
        if len(score.parts) < 3:
            continue
        several += 1
        crews = {tuple(bool(_inside(p, score, s)) for p in score.parts) for s in score.sections}
        varied += len(crews) > 1
    assert several > 5
    assert varied > 0.7 * several


def test_a_bar_lasts_what_tempo_and_meter_say() -> None:
    for score in _scores():
        beat = 60.0 / score.tempo_bpm
        assert score.bar_seconds == pytest.approx(score.meter.beats * beat)
        assert 40 <= score.tempo_bpm <= 220


def test_the_key_of_a_window_is_the_one_that_lasts() -> None:
    moved = [s for s in _long_scores() if len({section.key for section in s.sections}) > 1]
    assert moved
    for score in moved:
        for section in score.sections:
            begin = section.first_bar * score.bar_seconds
            end = begin + section.num_bars * score.bar_seconds
            assert score.key_between(begin, end) == section.key
            assert score.key_between(begin + 0.1, begin + 0.2) == section.key
        assert score.key_between(1e6, 1e6 + 10) == score.sections[-1].key


def test_instruments_between_hears_only_who_plays() -> None:
    for score in _scores()[:20]:
        whole = score.instruments_between(0.0, score.duration_seconds)
        assert whole
        assert set(whole) <= {p.instrument for p in score.parts}
        assert score.instruments_between(score.duration_seconds + 5, score.duration_seconds + 15) == []
