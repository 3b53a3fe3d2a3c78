"""Bass lines rest on their chords, stay in range, and lead into what comes."""

from itertools import pairwise

import numpy as np
import pytest

from cadenza.corpus.bass import play_bass
from cadenza.corpus.genre import FIVE, FOUR, SIX, THREE
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.melody import ChordSpan, chord_at
from cadenza.corpus.patterns import BASS_PATTERNS
from cadenza.corpus.score import Meter, Note
from cadenza.corpus.theory import Key, chord_from_numeral

_METERS = {meter.name: meter for meter in (FOUR, THREE, SIX, FIVE)}
_PLAYERS = ("upright bass", "bass guitar", "slap bass", "synth bass", "acid bass", "tuba", "cello", "bassoon", "organ")


def _spans(key: Key, meter: Meter, numerals: str = "ii7 V7 Imaj7 vi7") -> list[ChordSpan]:
    bar = meter.bar_quarters
    return [ChordSpan(i * bar, bar, chord_from_numeral(n, key)) for i, n in enumerate(numerals.split())]


def _play(pattern: str, meter: Meter, tonic: int, seed: int, instrument: str = "upright bass") -> list[Note]:
    key = Key(tonic, "major")
    spans = _spans(key, meter)
    return play_bass(np.random.default_rng(seed), instrument, pattern, spans, meter, 0, 4, list(key.scale))


@pytest.mark.parametrize("pattern", sorted(BASS_PATTERNS))
def test_every_pattern_stays_in_range_and_in_time(pattern: str) -> None:
    for name in BASS_PATTERNS[pattern]:
        meter = _METERS[name]
        for number, instrument in enumerate(_PLAYERS[:: 1 + 2 * (name != "4/4")]):
            notes = _play(pattern, meter, number, number, instrument)
            sounder = INSTRUMENTS[instrument]
            assert notes and all(sounder.low <= n.pitch <= sounder.high for n in notes)
            assert all(0 <= n.start < 4 * meter.bar_quarters and n.duration > 0 for n in notes)
            for before, after in pairwise(notes):
                assert before.start + before.duration <= after.start + 1e-6


@pytest.mark.parametrize("meter", [FOUR, THREE, FIVE], ids=lambda m: m.name)
def test_walking_basses_land_on_the_chord_and_step_into_it(meter: Meter) -> None:
    steps = []
    for tonic in range(12):
        for seed in range(2):
            notes = _play("walking", meter, tonic, seed)
            spans = _spans(Key(tonic, "major"), meter)
            for bar in range(4):
                first = next(n for n in notes if n.start == bar * meter.bar_quarters)
                assert first.pitch % 12 == chord_at(spans, first.start).bass
                before = [n for n in notes if n.start < first.start]
                if before:
                    steps.append(abs(first.pitch - before[-1].pitch))
            assert all(a.pitch != b.pitch for a, b in pairwise(notes) if b.start % meter.bar_quarters)
    assert np.mean(np.array(steps) <= 2) > 0.75


def test_the_last_note_leads_into_the_next_section() -> None:
    """The approach before the end goes to the chord that follows, not to the one that ends."""
    key = Key(0, "major")
    spans = _spans(key, FOUR, "I I I I")
    goal = chord_from_numeral("bVI", key)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        notes = play_bass(rng, "upright bass", "walking", spans, FOUR, 0, 4, list(key.scale), 88, 0.9, goal)
        distance = (notes[-1].pitch - goal.bass) % 12
        assert distance in (1, 2, 7, 10, 11)


def test_tumbaos_anticipate_the_harmony() -> None:
    key = Key(0, "major")
    spans = _spans(key, FOUR, "I IV V I")
    rng = np.random.default_rng(0)
    notes = play_bass(rng, "bass guitar", "tumbao", spans, FOUR, 0, 4, list(key.scale), 88, 0.6)
    ahead = [n for n in notes if n.start % 4 == 3.5]
    assert [n.pitch % 12 for n in ahead[:3]] == [5, 7, 0]


def test_two_feel_alternates_root_and_fifth() -> None:
    key = Key(7, "major")
    notes = play_bass(np.random.default_rng(0), "tuba", "march", _spans(key, FOUR, "I I"), FOUR, 0, 2, [], 88, 0.4)
    assert {n.pitch % 12 for n in notes} == {7, 2}
    assert [n.pitch % 12 for n in notes if n.start % 2 == 0] == [7] * len([n for n in notes if n.start % 2 == 0])
