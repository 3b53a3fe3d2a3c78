"""Chords in a rhythm: a pattern and a chord timeline in, an instrument's idiomatic voicings out.

Guitars play shapes of six strings, distorted ones fifths; keyboards spread four-note chords in drop-2 position (a close
chord whose second voice from the top sinks an octave, the pianist's and arranger's standard), leaving the root of ninth
chords to the bass; all others lead three or four voices. Every voicing is the one nearest to the last.
"""

from functools import lru_cache

import numpy as np

from cadenza.corpus.guitar import GUITARS, fret_chord
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.melody import ChordSpan, chord_at
from cadenza.corpus.patterns import CHORD_PATTERNS, choose, strokes
from cadenza.corpus.score import Meter, Note
from cadenza.corpus.theory import Chord, lead_voices, nearest_pitch

_POWER = ("power", "gallop", "chug")
_SHELLS = ("comp", "bossa", "stabs")
_SPREAD = ("piano", "electric piano", "hammond organ", "vibraphone")
_STRUM_QUARTERS = 0.012
"""How long after its lower neighbour a string sounds, in quarter notes."""


def comfortable_range(instrument: str) -> tuple[int, int]:
    """Where an instrument's chords sit: about two octaves around middle C, inside its range."""
    sounder = INSTRUMENTS[instrument]
    low = max(sounder.low, 50) if sounder.high >= 70 else sounder.low
    high = min(sounder.high, low + 24)
    return low, max(high, low + 14)


@lru_cache(maxsize=16384)
def drop_two(previous: tuple[int, ...] | None, chord: Chord, low: int, high: int) -> tuple[int, ...]:
    """Four voices of a chord with four or five members in drop-2 position, nearest to the previous voicing.

    Args:
        previous: ascending pitches that sounded before, or None for the middle of the range.
        low: lowest pitch allowed; `high` the highest, two octaves above or more.
    """
    members = chord.classes[-4:]
    middle = (low + high) / 2
    best: tuple[float, tuple[int, ...]] | None = None
    for bottom in range(low, high + 1):
        if bottom % 12 not in members:
            continue
        close = sorted(bottom + (member - bottom) % 12 for member in members)
        voicing = tuple(sorted((*close[:2], close[2] - 12, close[3])))
        if voicing[0] < low or voicing[-1] > high:
            continue
        if previous is not None and len(previous) == 4:
            motion = float(sum(abs(a - b) for a, b in zip(voicing, previous, strict=True)))
        else:
            motion = abs(sum(voicing) / 4 - middle)
        if best is None or (motion, voicing) < best:
            best = (motion, voicing)
    assert best is not None, f"no drop-2 voicing of {chord} in {low}..{high}"
    return best[1]


def play_chords(
    rng: np.random.Generator,
    instrument: str,
    pattern: str,
    spans: list[ChordSpan],
    meter: Meter,
    first_bar: int,
    num_bars: int,
    loudness: int = 76,
    low: int | None = None,
    intensity: float | None = None,
) -> list[Note]:
    """Chords in a rhythm pattern, voices led from chord to chord.

    Args:
        low: lowest pitch of the voicing; by default the instrument's comfortable range. Guitars keep to their shapes.
        intensity: from 0 (the calmest row of the pattern) to 1; None draws any.
    """
    sounder = INSTRUMENTS[instrument]
    range_low, range_high = comfortable_range(instrument)
    if low is not None:
        range_low = max(low, sounder.low)
        range_high = range_low + 22
    row = choose(rng, CHORD_PATTERNS[pattern].get(meter.name) or CHORD_PATTERNS["held"][meter.name], intensity)
    guitar = instrument in GUITARS
    voicing: tuple[int, ...] | None = None
    notes: list[Note] = []
    for stroke in strokes(row, meter.bar_quarters, first_bar, num_bars):
        symbol, position = stroke.symbol, stroke.start
        chord = chord_at(spans, position)
        if pattern in _POWER:
            pitches = _power(chord, sounder.low)
        else:
            if guitar:
                voicing = fret_chord(voicing, chord, pattern in _SHELLS or instrument == "jazz guitar")
            elif instrument in _SPREAD and len(chord.classes) > 3 and range_high - range_low >= 24:
                voicing = drop_two(voicing, chord, range_low, range_high)
            else:
                voicing = lead_voices(voicing, chord, 4 if len(chord.classes) > 3 else 3, range_low, range_high)
            pitches = _select(symbol, voicing, chord, sounder.low, guitar)
        damped = symbol == "m"
        duration = 0.06 if damped else stroke.steps * stroke.step * (0.9 if stroke.steps > 1 else 0.85)
        # A chord that outlives its harmony would blur into the next one.
        duration = min(duration, _chord_end(spans, position) - position)
        velocity = loudness + (10 if symbol in "Xb" else -26 if damped else -6 if symbol == "u" else 0)
        ordered = pitches[::-1] if symbol == "u" else pitches
        for voice, pitch in enumerate(ordered):
            delay = _STRUM_QUARTERS * voice if guitar and len(pitches) > 2 else 0.0
            notes.append(Note(position + delay, max(0.05, duration - delay), pitch, velocity))
    return notes


def _power(chord: Chord, floor: int) -> tuple[int, ...]:
    root = nearest_pitch(chord.bass, floor + 5, floor, floor + 11)
    return (root, root + 7, root + 12) if chord.fifth == (chord.bass + 7) % 12 else (root, root + 12)


def _select(symbol: str, voicing: tuple[int, ...], chord: Chord, floor: int, guitar: bool) -> tuple[int, ...]:
    """The pitches of a voicing that a symbol of the notation asks for."""
    if symbol in "bB":
        ceiling = max(voicing[0] - 1, floor + 12)
        root = voicing[0] if guitar else nearest_pitch(chord.bass, max(floor + 6, voicing[0] - 12), floor, ceiling)
        if symbol == "b":
            return (root,)
        return (nearest_pitch(chord.fifth, max(floor, root - 5), floor, floor + 24),)
    if symbol in "pq":
        root = nearest_pitch(chord.root, floor + 6, floor, floor + 11)
        return (root, root + 9) if symbol == "q" else (root, root + (chord.fifth - chord.root) % 12)
    upper = voicing[-3:] if guitar else voicing[1:]
    if symbol in "um":
        return upper
    if symbol == "o":
        return (voicing[-1] - 12, voicing[-1]) if voicing[-1] - 12 >= floor else voicing[-1:]
    if symbol == "i":
        return voicing[:-1][-2:]
    if symbol.isdigit():
        voices = upper if guitar else voicing
        index = int(symbol)
        return (voices[index] if index < len(voices) else voices[0] + 12,)
    return voicing


def _chord_end(spans: list[ChordSpan], position: float) -> float:
    for span in spans:
        if position < span.start + span.duration - 1e-6:
            return span.start + span.duration
    return position + spans[-1].duration
