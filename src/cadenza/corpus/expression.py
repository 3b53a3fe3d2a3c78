"""How a sustained or bendable instrument moves within its notes: swells, vibrato, the pedal, slides and falls.

One part of a score in, MIDI controller events out. All follow from the notes and the piece's seed; none moves a note.
"""

import zlib
from typing import NamedTuple

import numpy as np

from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.score import Note, Part, Score

MODULATION, SWELL, PEDAL, BEND = 1, 11, 64, -1
CENTRE = 8192  # a bend of nothing; 4096 more is a semitone (General MIDI bends by two)


class Event(NamedTuple):
    """A controller's new value at a position in quarters: 0 to 127, or 0 to 16383 for `BEND`."""

    position: float
    controller: int
    value: int


_SWELLING = ("strings", "voice", "brass", "wind")
_VIBRATO = {
    "violin": 46, "viola": 44, "cello": 44, "flute": 34, "oboe": 28, "saxophone": 36, "trumpet": 24, "harmonica": 30,
    "muted trumpet": 26, "trombone": 20, "electric guitar": 36, "distorted guitar": 46, "pan flute": 30,
    "tin whistle": 26, "french horn": 10, "clarinet": 10,
}  # fmt: skip
_PEDALLED = ("piano", "electric piano", "vibraphone")
_UNPEDALLED = ("jazz", "funk", "latin", "baroque", "rock", "disco", "house", "reggae", "march", "blues")
# Semitones below the note from which a player slides up to it.
_SLIDES = {
    "electric guitar": 2.0, "distorted guitar": 2.0, "saxophone": 1.0, "trombone": 1.0, "harmonica": 1.0, "sitar": 1.0,
    "violin": 0.5, "muted trumpet": 0.5, "synth lead": 2.0,
}  # fmt: skip
_SLIDING_GENRES = ("blues", "rock", "metal", "jazz", "funk", "country", "reggae", "celtic", "solo", "synthwave")
_FALLING = ("trumpet", "brass", "saxophone", "trombone", "muted trumpet")


def expression(part: Part, score: Score) -> list[Event]:
    """The controller events of a part, by position."""
    key = zlib.crc32(f"{part.role} {part.instrument}".encode())
    rng = np.random.default_rng(np.random.SeedSequence([0xE89, score.seed, key]))
    events: list[Event] = []
    family, alone = INSTRUMENTS[part.instrument].family, part.role in ("melody", "counter")
    if family in _SWELLING or part.instrument == "accordion":
        events += _note_swells(rng, part, score) if alone else _slow_swells(rng, score)
    if alone and part.instrument in _VIBRATO:
        events += _vibrato(part, score, _VIBRATO[part.instrument] * float(rng.uniform(0.6, 1.3)))
    if part.instrument in _PEDALLED and part.role in ("chords", "pad") and score.genre not in _UNPEDALLED:
        events += _pedal(score)
    if part.role == "melody" and (part.instrument in _SLIDES or part.instrument in _FALLING):
        events += _bends(rng, part, score)
    return sorted(events, key=lambda event: (event.position, event.controller))


def _seconds(note: Note, score: Score) -> float:
    return note.duration * score.seconds_per_quarter


def _note_swells(rng: np.random.Generator, part: Part, score: Score) -> list[Event]:
    """Long notes grow and fade, short ones are even."""
    depth = float(rng.uniform(8.0, 24.0))
    events = []
    for note in part.notes:
        if _seconds(note, score) < 0.7:
            events.append(Event(note.start, SWELL, 116))
            continue
        count = max(5, int(note.duration / 0.125))
        for step in range(count):
            along = step / count
            # The top lies after the middle, as breath and bow have it.
            arch = np.sin(np.pi * along**1.3)
            events.append(Event(note.start + along * note.duration, SWELL, round(123 - depth * (1 - arch))))
    return events


def _slow_swells(rng: np.random.Generator, score: Score) -> list[Event]:
    """Chords breathe over two or four bars."""
    period = float(rng.choice((2.0, 4.0))) * score.meter.bar_quarters
    depth, phase = float(rng.uniform(4.0, 14.0)), float(rng.uniform(0.0, 1.0))
    grid = np.arange(0.0, score.num_bars * score.meter.bar_quarters, 0.5)
    values = 112 + depth * np.sin(2 * np.pi * (grid / period + phase))
    return [Event(float(at), SWELL, round(float(value))) for at, value in zip(grid, values, strict=True)]


def _vibrato(part: Part, score: Score, depth: float) -> list[Event]:
    """Vibrato that sets in a quarter of a second into a long note."""
    events = []
    for note in part.notes:
        length = _seconds(note, score)
        if length < 0.55:
            continue
        events.append(Event(note.start, MODULATION, 0))
        for step in range(1, 6):
            late = (0.2 + 0.07 * step) / length
            events.append(Event(note.start + late * note.duration, MODULATION, min(127, round(depth * step / 5))))
    if events:
        events.append(Event(0.0, MODULATION, 0))
    return events


def _pedal(score: Score) -> list[Event]:
    """The sustain pedal, changed just after each new harmony and at each bar line."""
    changes: set[float] = set()
    for section in score.sections:
        for half, numeral in enumerate(section.numerals):
            start = (section.first_bar + half // 2) * score.meter.bar_quarters
            if half % 2 == 0:
                changes.add(start)
            elif numeral:
                changes.add(start + score.meter.middle_quarters)
    lag = 0.05 / score.seconds_per_quarter
    events = []
    for position in sorted(changes):
        events += [Event(position, PEDAL, 0), Event(position + lag, PEDAL, 127)]
    return [*events, Event(score.num_bars * score.meter.bar_quarters, PEDAL, 0)]


def _bends(rng: np.random.Generator, part: Part, score: Score) -> list[Event]:
    """Slides up into some long notes, and falls off the end of a few that are followed by a rest."""
    slides = part.instrument in _SLIDES and score.genre in _SLIDING_GENRES
    often = float(rng.uniform(0.1, 0.35)) if slides else 0.0
    falls = 0.2 if part.instrument in _FALLING and score.genre in ("jazz", "funk", "disco", "latin") else 0.0
    followers = [*(note.start for note in part.notes[1:]), float("inf")]
    events: list[Event] = []
    for note, following in zip(part.notes, followers, strict=True):
        slide, fall = rng.random() < often, rng.random() < falls
        if _seconds(note, score) < 0.3 or following < note.start + 0.9 * note.duration:
            continue
        if slide:
            below = _SLIDES[part.instrument] * 4096
            length = 0.1 / score.seconds_per_quarter
            ways = [step / 8 for step in range(9)]
            events += [
                Event(note.start + way * length, BEND, CENTRE - min(CENTRE, round(below * (1 - way) ** 2)))
                for way in ways
            ]
        end = note.start + note.duration
        if fall and following - end > 0.4:
            length = 0.12 / score.seconds_per_quarter
            ways = [step / 7 for step in range(7)]
            events += [Event(end - length * (1 - way), BEND, CENTRE - round(CENTRE * way**1.5)) for way in ways]
            # After the release, and before whatever comes.
            events.append(Event(end + 0.3, BEND, CENTRE))
    return events
