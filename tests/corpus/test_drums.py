"""Drums keep to their bars; fills end phrases, crashes begin them, build-ups grow."""

import numpy as np
import pytest

from cadenza.corpus.drumkit import CRASH, CRASH_2, HAT, KICK, OPEN, RIDE, SNARE
from cadenza.corpus.drums import play_drums
from cadenza.corpus.genre import FIVE, FOUR, SIX, THREE
from cadenza.corpus.patterns import DRUM_PATTERNS
from cadenza.corpus.score import Meter

_METERS = {meter.name: meter for meter in (FOUR, THREE, SIX, FIVE)}


@pytest.mark.parametrize("pattern", sorted(DRUM_PATTERNS))
def test_every_pattern_fits_its_bars_at_every_intensity(pattern: str) -> None:
    for name in DRUM_PATTERNS[pattern]:
        meter = _METERS[name]
        for intensity in (None, 0.0, 0.5, 1.0):
            notes = play_drums(np.random.default_rng(3), pattern, meter, 4, 4, 1.0, True, True, intensity)
            assert notes == sorted(notes, key=lambda n: (n.start, n.pitch))
            assert all(4 * meter.bar_quarters - 1e-6 <= n.start < 8 * meter.bar_quarters for n in notes)
            assert all(20 <= n.velocity <= 120 and 35 <= n.pitch <= 81 for n in notes)
            twice = play_drums(np.random.default_rng(3), pattern, meter, 4, 4, 1.0, True, True, intensity)
            assert notes == twice


@pytest.mark.parametrize("meter", [FOUR, THREE, SIX, FIVE], ids=lambda m: m.name)
def test_fills_change_the_end_of_each_phrase_alone(meter: Meter) -> None:
    """Four bars out of eight and the last hold fills; everything else is the groove."""
    bar = meter.bar_quarters
    plain = play_drums(np.random.default_rng(1), "rock", meter, 0, 8, fill=False, intensity=0.9)
    filled = play_drums(np.random.default_rng(1), "rock", meter, 0, 8, fill=True, intensity=0.9)
    for number in range(8):
        inside = [[n for n in notes if number * bar <= n.start < (number + 1) * bar] for notes in (plain, filled)]
        assert (inside[0] == inside[1]) == (number % 4 != 3), number
    assert max(n.start for n in filled) > 8 * bar - 0.5 * meter.beat_quarters


def test_stronger_sections_fill_longer() -> None:
    def strokes_of_last_bar(intensity: float) -> int:
        total = 0
        for seed in range(20):
            notes = play_drums(np.random.default_rng(seed), "rock", FOUR, 0, 4, intensity=intensity)
            total += sum(n.start >= 12 and n.pitch not in (HAT, OPEN, RIDE, KICK) for n in notes)
        return total

    assert strokes_of_last_bar(1.0) > 2 * strokes_of_last_bar(0.0)


def test_a_crash_replaces_the_timekeeper_and_percussionists_have_none() -> None:
    notes = play_drums(np.random.default_rng(0), "rock", FOUR, 2, 2, crash=True, intensity=0.4)
    first = {n.pitch for n in notes if n.start == 8.0}
    assert first & {CRASH, CRASH_2} and not first & {HAT, OPEN, RIDE}
    hands = play_drums(np.random.default_rng(0), "latin", FOUR, 0, 2, crash=True)
    assert not {n.pitch for n in hands} & {CRASH, CRASH_2}


def test_build_ups_grow_in_density_and_force_and_the_kick_leaves() -> None:
    notes = play_drums(np.random.default_rng(0), "house", FOUR, 0, 4, intensity=0.6, build=True)
    roll = [n for n in notes if n.pitch == SNARE and n.start >= 8]
    counts = [sum(begin <= n.start < begin + 2 for n in roll) for begin in (8, 10, 12, 14)]
    assert counts == sorted(counts) and counts[-1] == 8 and counts[0] < counts[-1]
    forces = [n.velocity for n in roll]
    assert forces == sorted(forces) and forces[-1] > 1.8 * forces[0]
    assert not any(n.pitch == KICK and n.start >= 12 for n in notes)
    assert any(n.pitch == KICK and n.start < 8 for n in notes)
