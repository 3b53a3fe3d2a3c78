"""Controllers: in range, in order, on the instruments that have them, and back at rest."""

from itertools import pairwise

import pytest

from cadenza.corpus.expression import BEND, CENTRE, MODULATION, PEDAL, SWELL, Event, expression
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.theory import Key

SECTIONS = (Section("verse", 0, 2, ("I", "", "IV", "V"), Key(0, "major")),)


def _events(name: str, role: str = "melody", genre: str = "folk", seed: int = 0) -> list[Event]:
    notes = tuple(Note(start, length, 60, 80) for start, length in ((0.0, 2.0), (2.0, 0.5), (2.5, 0.5), (4.0, 3.0)))
    part = Part(name, role, notes)
    return expression(part, Score(seed, genre, 90.0, Key(0, "major"), Meter(4), (), SECTIONS, (part,)))


@pytest.mark.parametrize("genre", ["blues", "jazz", "classical"])
def test_values_are_in_range_and_in_order(genre: str) -> None:
    for name in INSTRUMENTS:
        for role in ("melody", "counter", "chords", "pad", "bass", "drums"):
            events = _events(name, role, genre)
            assert all(0 <= e.value <= (16383 if e.controller == BEND else 127) for e in events)
            assert all(a.position <= b.position for a, b in pairwise(events))
            assert all(0.0 <= e.position <= 8.1 for e in events)
            assert events == _events(name, role, genre)


def test_only_what_can_swell_swells_and_never_out_of_hearing() -> None:
    for name in ("violin", "trumpet", "choir", "flute"):
        swells = [e.value for e in _events(name) if e.controller == SWELL]
        assert len(set(swells)) > 3
        assert min(swells) >= 90
    assert not [e for name in ("piano", "harp", "drums", "organ") for e in _events(name) if e.controller == SWELL]


def test_vibrato_sets_in_late_and_only_in_long_notes() -> None:
    events = [e for e in _events("cello") if e.controller == MODULATION]
    assert {e.position for e in events if e.value == 0} == {0.0, 4.0}
    late = 0.2 / (60 / 90)
    for event in events:
        if event.value:
            start = max(s for s in (0.0, 4.0) if s <= event.position)
            assert late < event.position - start < 1.2
    assert not [e for e in _events("cello", "pad") if e.controller == MODULATION]


def test_the_pedal_is_changed_with_the_harmony() -> None:
    events = [e for e in _events("piano", "chords") if e.controller == PEDAL]
    assert [e.position for e in events if e.value == 0] == [0.0, 4.0, 6.0, 8.0]
    assert [e.position for e in events if e.value] == pytest.approx([0.075, 4.075, 6.075])
    assert not _events("piano", "melody")
    assert not _events("piano", "chords", "funk")


def test_bends_come_back_and_begin_below_the_note() -> None:
    bent = 0
    for seed in range(30):
        events = [e for e in _events("electric guitar", genre="blues", seed=seed) if e.controller == BEND]
        bent += bool(events)
        assert all(e.value <= CENTRE for e in events)
        if events:
            assert events[0].value == CENTRE - 8192
            assert events[-1].value == CENTRE
    assert 5 < bent < 30


def test_falls_end_with_the_note_and_are_undone_before_the_next() -> None:
    fallen = 0
    for seed in range(60):
        events = [e for e in _events("trumpet", genre="jazz", seed=seed) if e.controller == BEND]
        falls = [e for e in events if 2.7 < e.position <= 3.0]
        fallen += bool(falls)
        if falls:
            assert min(e.value for e in falls) < 3000
            after = next(e for e in events if e.position > 3.0)
            assert after.value == CENTRE
            assert after.position < 4.0
    assert 3 < fallen < 40
