"""Bass lines: a pattern and a chord timeline in, one voice out.

Written-out patterns name the chord's members; walking ones are led: each step goes towards the next root over chord
tones, scale steps and chromatic passing notes, and the last note before a new root lies beside it.
"""

import numpy as np

from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.melody import ChordSpan, chord_at
from cadenza.corpus.patterns import BASS_PATTERNS, choose, strokes
from cadenza.corpus.score import Meter, Note
from cadenza.corpus.theory import Chord, nearest_pitch

_REACH = 14
"""Semitones above its lowest note in which a bass places its roots."""


def play_bass(
    rng: np.random.Generator,
    instrument: str,
    pattern: str,
    spans: list[ChordSpan],
    meter: Meter,
    first_bar: int,
    num_bars: int,
    scale: list[int],
    loudness: int = 88,
    intensity: float | None = None,
    following: Chord | None = None,
) -> list[Note]:
    """A bass line in a pattern.

    Args:
        scale: pitch classes that walking and approach notes come from.
        intensity: from 0 (the calmest row of the pattern) to 1; None draws any.
        following: the chord after the last bar, which its last notes lead to; by default the last chord again.
    """
    sounder = INSTRUMENTS[instrument]
    low, high = sounder.low, min(sounder.high, sounder.low + 24)
    rows = BASS_PATTERNS[pattern].get(meter.name) or BASS_PATTERNS["roots"][meter.name]
    row = choose(rng, rows, intensity)
    end = (first_bar + num_bars) * meter.bar_quarters

    def chord_from(position: float) -> Chord:
        return following if following is not None and position > end - 1e-6 else chord_at(spans, position)

    pitch = low + 10
    notes: list[Note] = []
    for stroke in strokes(row, meter.bar_quarters, first_bar, num_bars):
        symbol, position = stroke.symbol, stroke.start
        chord = chord_at(spans, position)
        goal = _root(chord_from(stroke.bar_end), low)
        if symbol == "W" and position + 1e-6 < end:
            pitch = _walk(rng, pitch, goal, stroke.left, chord, scale, low, high)
        elif symbol == "A":
            pitch = _beside(rng, pitch, goal, scale, low, high)
        elif symbol == "N":
            pitch = _root(chord_from(position + 1.0), low)
        else:
            pitch = _member(symbol, chord, low, high)
        damped = symbol == "G"
        legato = 0.3 if damped else 0.92 if stroke.steps > 1 else 0.8
        accent = 8 if stroke.is_first else -34 if damped else 0
        notes.append(Note(position, stroke.steps * stroke.step * legato, pitch, loudness + accent))
    return notes


def _root(chord: Chord, low: int) -> int:
    return nearest_pitch(chord.bass, low + 9, low, low + _REACH)


def _member(symbol: str, chord: Chord, low: int, high: int) -> int:
    """The pitch of a member of the chord around its root in the bass."""
    root = _root(chord, low)
    if symbol in "RG":
        return root
    if symbol == "O":
        return root + 12 if root + 12 <= high else root
    if symbol == "5":
        return nearest_pitch(chord.fifth, root + 5, low, high)
    if symbol == "D":
        return nearest_pitch(chord.fifth, max(low, root - 5), low, low + _REACH)
    if symbol == "3":
        return nearest_pitch(chord.third, root + 4, low, high)
    steps = {"6": 9, "7": 10}[symbol]
    return nearest_pitch(chord.root + steps, root + steps, low, high)


def _beside(rng: np.random.Generator, pitch: int, goal: int, scale: list[int], low: int, high: int) -> int:
    """A note that leads into the goal: a half step away, a whole one if the scale has it, or the goal's fifth."""
    near = [goal - 1, goal + 1, *(p for p in (goal - 2, goal + 2) if p % 12 in scale)]
    options = [p for p in near if low <= p <= high and p != pitch]
    if low <= goal + 7 <= high and abs(goal + 7 - pitch) <= 4 and rng.random() < 0.2:
        return goal + 7
    weights = np.array([1.0 / (1.0 + abs(p - pitch)) for p in options])
    return options[int(rng.choice(len(options), p=weights / weights.sum()))]


def _walk(
    rng: np.random.Generator, pitch: int, goal: int, left: int, chord: Chord, scale: list[int], low: int, high: int
) -> int:
    """The next of `left` steps to the goal: small, never in place, and not so far that the goal is out of reach."""
    around = [p for p in range(max(low, pitch - 7), min(high, pitch + 7) + 1) if p != pitch]
    costs = []
    for candidate, chance in zip(around, rng.random(len(around)).tolist(), strict=True):
        moved, rest = abs(candidate - pitch), abs(goal - candidate)
        if candidate % 12 in chord.classes:
            foreign = 0.0
        elif candidate % 12 in scale:
            foreign = 0.8
        else:
            foreign = 1.2 if moved == 1 else 4.0
        out_of_reach = max(0.0, rest - 3.0 * left) + (rest == 0)
        costs.append(0.35 * moved + foreign + 1.5 * out_of_reach + 2.0 * chance)
    return around[costs.index(min(costs))]
