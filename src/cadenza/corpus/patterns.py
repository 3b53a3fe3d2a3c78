"""Rhythm as text: accompaniment, bass and drum patterns as rows of characters, and how a section chooses among them.

A row divides a bar evenly; "|" divides it into bars that take turns. "." rests and "-" holds what sounds. Else:

- chords: "x" / "X" the voicing (soft / accented), "u" its upper voices, "m" a damped stroke, "b" the low root and "B"
  the low fifth, "0".."3" one voice from the lowest up, "p" root and fifth, "q" root and sixth, "o" the outer voice in
  octaves, "i" the inner voices
- bass: "R" root, "5" fifth, "D" the fifth below, "3" third, "6" sixth, "7" minor seventh, "O" octave, "G" a damped
  root, "N" the root of the harmony a beat later (an anticipation), "W" a walk towards the next root, "A" a step beside
  it
- drums: "x" stroke, "A" accent, "o" ghost note

Each pattern has, for every meter it can be played in, rows from the calmest to the fullest. Where the sources are
traditions (son clave, tumbao, Charleston, Travis picking, one drop), the rows are those that every primer shows.
"""

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from cadenza.corpus.patterns_bass import BASS_PATTERNS
from cadenza.corpus.patterns_beats import BEAT_PATTERNS
from cadenza.corpus.patterns_chords import CHORD_PATTERNS
from cadenza.corpus.patterns_hands import HAND_PATTERNS
from cadenza.corpus.patterns_kit import KIT_PATTERNS

__all__ = ["BASS_PATTERNS", "CHORD_PATTERNS", "DRUM_PATTERNS", "bar_of", "choose", "strokes"]


DRUM_PATTERNS = {**KIT_PATTERNS, **BEAT_PATTERNS, **HAND_PATTERNS}

_Row = TypeVar("_Row")


def bar_of(row: str, bar: int) -> str:
    """The part of a row that is played in the bar with this number."""
    bars = row.split("|")
    return bars[bar % len(bars)]


class Stroke(NamedTuple):
    """A symbol of a row where it begins. Positions and lengths are in quarters."""

    symbol: str
    start: float
    steps: int
    """How long it holds, in places of the row."""
    step: float
    """The length of such a place."""
    left: int
    """Strokes of its bar from here on, this one included."""
    bar_end: float
    is_first: bool
    """Whether it stands in the first place of its bar."""


def strokes(row: str, bar_quarters: float, first_bar: int, num_bars: int) -> Iterator[Stroke]:
    """What is struck in so many bars of a row; "." is left out, "-" lengthens what is before it."""
    for bar in range(num_bars):
        written = bar_of(row, bar)
        step = bar_quarters / len(written)
        for index, symbol in enumerate(written):
            if symbol in ".-":
                continue
            rest = written[index + 1 :]
            start = (first_bar + bar) * bar_quarters + index * step
            left = sum(other not in ".-" for other in rest) + 1
            steps = 1 + len(rest) - len(rest.lstrip("-"))
            yield Stroke(symbol, start, steps, step, left, (first_bar + bar + 1) * bar_quarters, index == 0)


def choose(rng: np.random.Generator, rows: tuple[_Row, ...], intensity: float | None) -> _Row:
    """One of the rows from calm to full: near `intensity` (0 to 1), or any where that is None."""
    draw = float(rng.random())
    if intensity is None:
        return rows[int(draw * len(rows))]
    return rows[min(len(rows) - 1, max(0, int(intensity * (len(rows) - 1) + draw)))]
