"""Melodies from motifs: a chord timeline in, notes out.

A piece owns two or three one-bar motifs. A phrase of four bars states one, answers it with a variation, moves on, and
closes on a long chord tone; when the section returns, so do its motifs. Strong beats take chord tones, the rest walks
the scale in small steps.
"""

from dataclasses import dataclass

import numpy as np

from cadenza.corpus.score import Meter, Note
from cadenza.corpus.theory import Chord, Key

_CELLS: dict[float, tuple[tuple[float, tuple[float, ...]], ...]] = {
    # beat length in quarters -> (busyness from 0 to 1, durations that fill one or two beats)
    1.0: (
        (0.0, (2.0,)),
        (0.1, (1.0,)),
        (0.3, (1.5, 0.5)),
        (0.35, (1.0, 1.0)),
        (0.5, (0.5, 0.5)),
        (0.5, (0.5, 1.0, 0.5)),
        (0.6, (0.75, 0.25)),
        (0.75, (0.5, 0.25, 0.25)),
        (0.8, (0.25, 0.25, 0.5)),
        (1.0, (0.25, 0.25, 0.25, 0.25)),
    ),
    1.5: (
        (0.0, (3.0,)),
        (0.1, (1.5,)),
        (0.4, (1.0, 0.5)),
        (0.8, (0.5, 0.5, 0.5)),
        (0.7, (0.75, 0.25, 0.5)),
    ),
}


@dataclass(frozen=True)
class Motif:
    """One bar of melody: durations in quarter notes, and the scale steps from each note to the next."""

    durations: tuple[float, ...]
    steps: tuple[int, ...]
    rests: tuple[bool, ...]


def draw_motif(rng: np.random.Generator, meter: Meter, density: float, finest: float = 0.25) -> Motif:
    """A one-bar motif whose busyness follows `density` (0 long notes, 1 running notes).

    Args:
        finest: shortest note allowed, in quarter notes; fast pieces use longer ones.
    """
    durations: list[float] = []
    cells = [(b, c) for b, c in _CELLS[meter.beat_quarters] if min(c) >= finest]
    while (left := meter.bar_quarters - sum(durations)) > 1e-6:
        fitting = [(b, c) for b, c in cells if sum(c) <= left + 1e-6]
        weights = np.array([np.exp(-(((b - density) / 0.22) ** 2)) + 1e-4 for b, _ in fitting])
        durations += fitting[int(rng.choice(len(fitting), p=weights / weights.sum()))][1]
    leap = rng.random(len(durations))
    sizes = np.where(leap < 0.12, 0, np.where(leap < 0.72, 1, np.where(leap < 0.92, 2, 3)))
    direction = 1 if rng.random() < 0.5 else -1
    signs = []
    for _ in durations:
        if rng.random() < 0.35:
            direction = -direction
        signs.append(direction)
    rests = tuple(bool(i > 0 and d <= 1.0 and rng.random() < 0.08) for i, d in enumerate(durations))
    return Motif(tuple(durations), tuple(int(s * z) for s, z in zip(signs, sizes, strict=True)), rests)


def vary_motif(rng: np.random.Generator, motif: Motif) -> Motif:
    """The same rhythm with one change: inverted contour, a new ending, or two notes joined."""
    kind = int(rng.integers(3))
    steps, durations, rests = list(motif.steps), list(motif.durations), list(motif.rests)
    if kind == 0:
        steps = [-s for s in steps]
    elif kind == 1:
        steps[-1] = int(rng.integers(-2, 3))
        steps[len(steps) // 2] = int(rng.integers(-2, 3))
    elif len(durations) > 2:
        at = int(rng.integers(len(durations) - 1))
        durations[at] += durations.pop(at + 1)
        steps.pop(at + 1)
        rests.pop(at + 1)
    return Motif(tuple(durations), tuple(steps), tuple(rests))


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


def sing(
    motifs: list[Motif],
    spans: list[ChordSpan],
    key: Key,
    scale: str,
    meter: Meter,
    first_bar: int,
    low: int,
    high: int,
    previous: int | None = None,
    loudness: int = 88,
    closing: bool = True,
) -> list[Note]:
    """Realise one motif per bar over the chords.

    Args:
        motifs: one per bar.
        spans: chords covering those bars.
        scale: name of the scale in `theory.SCALES` that the passing notes come from.
        low: lowest pitch, and `high` the highest; the line stays inside.
        previous: the pitch it continues from.
        closing: end the last bar on one long chord tone.

    Returns:
        Notes by start time.
    """
    ladder = key.pitches(scale, low, high)
    centre = (low + high) / 2
    pitch = previous if previous is not None else min(ladder, key=lambda p: abs(p - centre))
    notes: list[Note] = []
    for index, motif in enumerate(motifs):
        position = (first_bar + index) * meter.bar_quarters
        durations, steps, rests = motif.durations, motif.steps, motif.rests
        if closing and index == len(motifs) - 1:
            head = durations[: max(1, len(durations) // 3)]
            durations = (
                (*head, meter.bar_quarters - sum(head)) if sum(head) < meter.bar_quarters else (meter.bar_quarters,)
            )
            steps, rests = (*steps, 1)[: len(durations)], (False,) * len(durations)
        for i, (duration, step, rest) in enumerate(zip(durations, steps, rests, strict=True)):
            chord = chord_at(spans, position)
            local = sorted(set(ladder) | {p for p in range(low, high + 1) if p % 12 in chord.classes})
            where = position % meter.bar_quarters
            strong = i == 0 or duration >= 1.5 or abs(where - meter.bar_quarters / 2) < 1e-6
            drift = -1 if pitch > centre + 7 else 1 if pitch < centre - 7 else 0
            target = _walk(ladder, pitch, step + drift)
            if strong:
                tones = [p for p in local if p % 12 in chord.classes[:4]]
                target = min(tones, key=lambda p: (abs(p - target) + (0.4 if p == pitch else 0.0), p))
            else:
                target = _sharpen(target, chord, key, high)
            pitch = target
            if not rest:
                arc = 6 * np.sin(np.pi * (index + where / meter.bar_quarters) / max(1, len(motifs)))
                accent = 6 if where < 1e-6 else 0
                velocity = int(np.clip(loudness + arc + accent, 30, 120))
                notes.append(Note(position, duration * 0.95, int(pitch), velocity))
            position += duration
    return notes


def _sharpen(pitch: int, chord: Chord, key: Key, high: int) -> int:
    """Raise the seventh degree of a minor key over a chord that holds the leading tone (harmonic minor)."""
    leading = (key.tonic + 11) % 12
    if key.mode == "minor" and leading in chord.classes and pitch % 12 == (key.tonic + 10) % 12 and pitch < high:
        return pitch + 1
    return pitch


def _walk(ladder: list[int], pitch: int, steps: int) -> int:
    """The pitch a number of scale steps away, turned back at the ends of the ladder."""
    nearest = min(range(len(ladder)), key=lambda i: abs(ladder[i] - pitch))
    index = nearest + steps
    if not 0 <= index < len(ladder):
        index = nearest - steps
    return ladder[min(max(index, 0), len(ladder) - 1)]
