"""Melodies: a theme's motifs and a chord timeline in, notes out.

Each bar starts from a chord tone near the height that the theme gives it, strong beats take chord tones, the rest walks
the scale in small steps. A phrase closes on a long tone and breathes. Where a section returns over the same chords the
same notes return, since nothing but theme, chords and range decides them; repeats may be ornamented afterwards.
"""

from dataclasses import dataclass, replace
from math import pi, sin
from typing import Literal

import numpy as np

from cadenza.corpus.motif import Motif, Theme
from cadenza.corpus.score import Meter, Note
from cadenza.corpus.theory import SCALES, Chord, Key

Close = Literal["open", "half", "full"]
"""How a phrase ends: running on, on a tone that asks (not the tonic), or on the tonic."""


@dataclass(frozen=True)
class ChordSpan:
    """A chord and where it sounds, in quarter notes."""

    start: float
    duration: float
    chord: Chord


def chord_at(spans: list[ChordSpan], position: float) -> Chord:
    """The chord that sounds at a position (the last one beyond the end)."""
    for span in spans:
        if position < span.start + span.duration - 1e-6:
            return span.chord
    return spans[-1].chord


class Ladder:
    """The tones a line may use over each chord: the scale, bent where the chord leaves the key."""

    def __init__(self, key: Key, scale: str, low: int, high: int) -> None:
        self.key, self.low, self.high = key, low, high
        self._home = {(key.tonic + step) % 12 for step in (0, 4 if key.mode == "major" else 3, 7)}
        self._scale = frozenset((key.tonic + step) % 12 for step in SCALES[scale])
        self._bends = scale != "blues"
        self._made: dict[tuple[int, ...], tuple[list[int], list[int]]] = {}

    def over(self, chord: Chord) -> tuple[list[int], list[int]]:
        """Pitches of the scale over a chord, and those of the chord itself, both ascending."""
        if chord.classes not in self._made:
            classes = set(self._scale)
            for tone in chord.classes:
                if self._bends and tone not in self.key.scale:
                    # A raised or lowered degree replaces its neighbour: the leading tone over V in minor.
                    classes -= {(tone + step) % 12 for step in (-1, 1)} - set(chord.classes)
                    classes.add(tone)
            pitches = range(self.low, self.high + 1)
            self._made[chord.classes] = (
                [p for p in pitches if p % 12 in classes],
                [p for p in pitches if p % 12 in chord.classes[:4]],
            )
        return self._made[chord.classes]

    def strangeness(self, pitch: int) -> float:
        """What a tone outside the tonic triad costs, in semitones: between equals, a melody says where home is."""
        return 0.0 if pitch % 12 in self._home else 0.8


def sing(
    theme: Theme,
    bars: tuple[int, ...],
    close: Close,
    spans: list[ChordSpan],
    ladder: Ladder,
    meter: Meter,
    first_bar: int,
    home: int,
    loudness: int = 88,
) -> list[Note]:
    """Realise one phrase: some bars of a theme over the chords.

    Args:
        theme: what is sung.
        bars: which bars of the theme, in order.
        close: how the last bar ends.
        spans: chords covering those bars.
        ladder: the scale and the range.
        first_bar: where the phrase begins.
        home: the pitch from which the theme's heights count.

    Returns:
        Notes by start time.
    """
    notes: list[Note] = []
    pitch: int | None = None
    for index, bar in enumerate(bars):
        origin = (first_bar + index) * meter.bar_quarters
        scale, tones = ladder.over(chord_at(spans, origin))
        wanted = _climb(scale, home, theme.heights[bar])
        came_from = pitch
        pitch = min(
            tones,
            key=lambda p: (abs(p - wanted) + 0.4 * abs(p - (came_from or p)) + ladder.strangeness(p), p),
        )
        closing = close != "open" and index == len(bars) - 1
        motif = _shorten(theme.motifs[bar], meter) if closing else theme.motifs[bar]
        position = origin
        for i, (duration, step, rest) in enumerate(zip(motif.durations, motif.steps, motif.rests, strict=True)):
            chord = chord_at(spans, position)
            scale, tones = ladder.over(chord)
            where = position - origin
            last = closing and i == len(motif.durations) - 1
            if last:
                pitch = _final(tones, pitch, chord, ladder.key, close)
            elif i:
                target = _climb(scale, pitch, step)
                strong = duration >= 1.5 or abs(where - meter.middle_quarters) < 1e-6
                before = pitch
                pitch = (
                    min(tones, key=lambda p: (abs(p - target) + 0.4 * (p == before) + ladder.strangeness(p), p))
                    if strong
                    else target
                )
            if not rest:
                swell = 7 * sin(pi * (index + where / meter.bar_quarters) / len(bars))
                accent = 5 if where < 1e-6 else 0
                sounding = max(duration * 0.6, duration - meter.beat_quarters) if last else duration * 0.95
                velocity = min(120, max(30, round(loudness + swell + accent)))
                notes.append(Note(position, sounding, pitch, velocity))
            position += duration
    return notes


def ornament(rng: np.random.Generator, notes: list[Note], ladder: Ladder, spans: list[ChordSpan]) -> list[Note]:
    """A repeat with small additions: some notes of a beat or more get a turn to the neighbour and back.

    What falls on a beat stays where it was.
    """
    adorned: list[Note] = []
    for note in notes:
        scale, _ = ladder.over(chord_at(spans, note.start))
        if 0.9 <= note.duration < 2.0 and rng.random() < 0.3 and note.pitch in scale:
            neighbour = _climb(scale, note.pitch, 1 if rng.random() < 0.7 else -1)
            third = 0.5 if note.duration < 1.4 else 1.0
            tail = note.duration - third
            adorned.append(replace(note, duration=third / 2))
            adorned.append(Note(note.start + third / 2, third / 2, neighbour, note.velocity - 8))
            adorned.append(Note(note.start + third, tail, note.pitch, note.velocity - 4))
        else:
            adorned.append(note)
    return adorned


def _shorten(motif: Motif, meter: Meter) -> Motif:
    """The head of a motif, then one tone to the end of the bar."""
    head = motif.durations[: max(1, len(motif.durations) // 3)]
    left = meter.bar_quarters - sum(head)
    durations = (*head, left) if left > 0.6 * meter.beat_quarters else (meter.bar_quarters,)
    return Motif(durations, (*motif.steps, 1)[: len(durations)], (False,) * len(durations))


def _final(tones: list[int], pitch: int, chord: Chord, key: Key, close: Close) -> int:
    """The tone that a phrase rests on: the tonic if the chord has it and the phrase ends there, else one that asks."""
    at_home = [p for p in tones if p % 12 == key.tonic]
    asking = [p for p in tones if p % 12 != key.tonic]
    return min((at_home if close == "full" else asking) or tones, key=lambda p: (abs(p - pitch), p))


def _climb(scale: list[int], pitch: int, steps: int) -> int:
    """The pitch a number of scale steps away, turned back at the ends of the range."""
    nearest = min(range(len(scale)), key=lambda i: abs(scale[i] - pitch))
    index = nearest + steps
    if not 0 <= index < len(scale):
        index = nearest - steps
    return scale[min(max(index, 0), len(scale) - 1)]
