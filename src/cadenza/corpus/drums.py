"""Drums: a pattern's groove for as many bars as a section has, with fills, crashes and build-ups.

The groove follows the section's intensity. A phrase may end in a fill, which a crash answers on the next downbeat; a
build-up replaces its last bars by a roll that doubles its density and grows louder, the kick drum falling silent.
"""

import numpy as np

from cadenza.corpus.drumkit import CRASH, CRASH_2, HAT, KICK, OPEN, RIDE, SNARE
from cadenza.corpus.fills import FILL_STYLES, Fill, fills_of
from cadenza.corpus.patterns import DRUM_PATTERNS, bar_of, choose
from cadenza.corpus.score import Meter, Note

_VELOCITY = {"A": 98, "x": 80, "o": 46}
_PHRASE_BARS = 4
_TIMEKEEPERS = (HAT, OPEN, RIDE)
_NO_CRASH = ("hands", "latin", "brushes", "sparse")
"""Fill styles whose players hit no crash cymbal."""


def play_drums(
    rng: np.random.Generator,
    pattern: str,
    meter: Meter,
    first_bar: int,
    num_bars: int,
    loudness: float = 1.0,
    fill: bool = True,
    crash: bool = False,
    intensity: float | None = None,
    build: bool = False,
) -> list[Note]:
    """Bars of one drum pattern.

    Args:
        loudness: factor on all velocities.
        fill: the last bar ends in a fill, and so does every fourth, in a lighter one.
        crash: the first bar opens with a crash cymbal, in styles that have one.
        intensity: from 0 (the calmest groove and fill) to 1; None draws any.
        build: the last half of the bars is a roll of growing density.
    """
    if pattern == "timpani":
        return []
    grooves = DRUM_PATTERNS[pattern].get(meter.name)
    if grooves is None:
        pattern, grooves = "ballad", DRUM_PATTERNS["ballad"][meter.name]
    groove = choose(rng, grooves, intensity)
    beat, bar = meter.beat_quarters, meter.bar_quarters
    end = num_bars * bar
    gaps: list[tuple[float, float]] = []
    notes: list[Note] = []
    if build:
        gaps.append((end - max(1, num_bars // 2) * bar, end))
        notes += _roll(*gaps[0], beat, loudness)
    elif fill:
        for last in sorted({*range(_PHRASE_BARS, num_bars, _PHRASE_BARS), num_bars} - {0}):
            weight = intensity if intensity is None or last == num_bars else 0.5 * intensity
            drawn = choose(rng, fills_of(pattern, beat), weight)
            gaps.append((last * bar - min(drawn.beats, meter.beats) * beat, last * bar))
            notes += _fill(drawn, *gaps[-1], beat, loudness)
    for number in range(num_bars):
        for drum, rows in groove.items():
            row = bar_of(rows, number)
            step = bar / len(row)
            for index, symbol in enumerate(row):
                at = number * bar + index * step
                if symbol != "." and not any(start - 1e-6 < at < stop - 1e-6 for start, stop in gaps):
                    notes.append(Note(at, 0.2, drum, strike(symbol, loudness)))
    if crash and num_bars and FILL_STYLES[pattern] not in _NO_CRASH:
        # The hand that crashes does not keep time at that moment.
        notes = [n for n in notes if n.start > 1e-6 or n.pitch not in (*_TIMEKEEPERS, CRASH)]
        cymbal = CRASH_2 if pattern in ("rock", "metal", "punk") and rng.random() < 0.4 else CRASH
        notes.append(Note(0.0, 0.5, cymbal, strike("A", loudness)))
    origin = first_bar * bar
    moved = [Note(origin + n.start, n.duration, n.pitch, n.velocity) for n in notes]
    return sorted(moved, key=lambda n: (n.start, n.pitch))


def _fill(fill: Fill, start: float, end: float, beat: float, loudness: float) -> list[Note]:
    """A fill that ends with its bar; one that is longer than the bar loses its beginning."""
    notes = []
    for drum, row in fill.rows.items():
        step = fill.beats * beat / len(row)
        for index, symbol in enumerate(row):
            at = end - (len(row) - index) * step
            if symbol != "." and at > start - 1e-6:
                notes.append(Note(at, min(0.2, step), drum, strike(symbol, loudness)))
    return notes


def _roll(start: float, end: float, beat: float, loudness: float) -> list[Note]:
    """Snare strokes once, twice, then four times a beat, growing from half to full force; the kick leaves half-way."""
    notes, at = [], start
    while at < end - 1e-6:
        share = (at - start) / (end - start)
        step = beat / (1 if share < 0.25 else 2 if share < 0.6 else 4)
        notes.append(Note(at, min(0.2, step), SNARE, min(120, round((46 + 56 * share) * loudness))))
        at += step
    beats = round((end - start) / beat)
    notes += [Note(start + i * beat, 0.2, KICK, strike("x", loudness)) for i in range(beats // 2)]
    return notes


def strike(symbol: str, loudness: float) -> int:
    """The velocity of a stroke."""
    return int(min(120, max(20, _VELOCITY[symbol] * loudness)))
