"""Accompaniment: chords, pads, bass lines and drums from text patterns and a chord timeline."""

import numpy as np

from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.melody import ChordSpan, chord_at
from cadenza.corpus.patterns import BASS_PATTERNS, CHORD_PATTERNS, DRUM_PATTERNS, FILLS
from cadenza.corpus.score import Meter, Note
from cadenza.corpus.theory import Chord, lead_voices, nearest_pitch

_VELOCITY = {"X": 96, "x": 80, "o": 48}


def comfortable_range(instrument: str) -> tuple[int, int]:
    """Where an instrument's chords sit: about two octaves around middle C, inside its range."""
    sounder = INSTRUMENTS[instrument]
    low = max(sounder.low, 50) if sounder.high >= 70 else sounder.low
    high = min(sounder.high, low + 24)
    return low, max(high, low + 14)


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
) -> list[Note]:
    """Chords in a rhythm pattern, voices led from chord to chord.

    Args:
        low: lowest pitch of the voicing; by default the instrument's comfortable range.
    """
    range_low, range_high = comfortable_range(instrument)
    if low is not None:
        range_low = max(low, INSTRUMENTS[instrument].low)
        range_high = range_low + 22
    rows = CHORD_PATTERNS[pattern].get(meter.name) or CHORD_PATTERNS["held"][meter.name]
    row = rows[int(rng.integers(len(rows)))]
    power = pattern in ("power", "gallop", "chug")
    strummed = INSTRUMENTS[instrument].family == "guitar" and pattern in ("strum", "held", "halves", "beats")
    floor = INSTRUMENTS[instrument].low
    step = meter.bar_quarters / len(row)
    voicing: tuple[int, ...] | None = None
    notes: list[Note] = []
    for bar in range(num_bars):
        index = 0
        while index < len(row):
            symbol = row[index]
            length = 1
            while index + length < len(row) and row[index + length] == "-":
                length += 1
            position = (first_bar + bar) * meter.bar_quarters + index * step
            index += length
            if symbol in ".-":
                continue
            chord = chord_at(spans, position)
            if power:
                root = nearest_pitch(chord.root, floor + 5, floor, floor + 11)
                pitches: tuple[int, ...] = (root, root + 7, root + 12)
            else:
                count = 4 if len(chord.classes) > 3 else 3
                voicing = lead_voices(voicing, chord, count, range_low, range_high)
                pitches = _select(symbol, voicing, chord, floor)
            duration = length * step * (0.9 if length > 1 else 0.85)
            # A chord that outlives its harmony would blur into the next one.
            duration = min(duration, _chord_end(spans, position) - position)
            velocity = loudness + (10 if symbol in "Xb" else 0) - (6 if symbol == "u" else 0)
            for voice, pitch in enumerate(pitches):
                delay = 0.018 * voice if strummed else 0.0
                notes.append(Note(position + delay, max(0.05, duration - delay), pitch, velocity))
    return notes


def _select(symbol: str, voicing: tuple[int, ...], chord: Chord, floor: int) -> tuple[int, ...]:
    if symbol == "b":
        return (nearest_pitch(chord.bass, max(floor + 6, voicing[0] - 12), floor, max(voicing[0] - 1, floor + 12)),)
    if symbol == "u":
        return voicing[1:]
    if symbol.isdigit():
        index = int(symbol)
        return (voicing[index] if index < len(voicing) else voicing[0] + 12,)
    return voicing


def _chord_end(spans: list[ChordSpan], position: float) -> float:
    for span in spans:
        if position < span.start + span.duration - 1e-6:
            return span.start + span.duration
    return position + spans[-1].duration


def play_pad(instrument: str, spans: list[ChordSpan], loudness: int = 66, voices: int = 3) -> list[Note]:
    """Long chords with tied common tones: a voice moves only when its pitch changes."""
    low, high = comfortable_range(instrument)
    ringing: dict[int, tuple[float, float]] = {}
    notes: list[Note] = []
    voicing: tuple[int, ...] | None = None
    for span in spans:
        voicing = lead_voices(voicing, span.chord, voices, low, high)
        for pitch in [p for p in ringing if p not in voicing]:
            start, end = ringing.pop(pitch)
            notes.append(Note(start, end - start, pitch, loudness))
        for pitch in voicing:
            start, end = ringing.get(pitch, (span.start, span.start))
            # Tied notes are renewed after eight quarters, so that samples with a decay do not fade away.
            if span.start - start >= 8:
                notes.append(Note(start, end - start, pitch, loudness))
                start = span.start
            ringing[pitch] = (start, span.start + span.duration)
    notes += [Note(start, end - start, pitch, loudness) for pitch, (start, end) in ringing.items()]
    return sorted(notes, key=lambda n: (n.start, n.pitch))


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
) -> list[Note]:
    """A bass line in a pattern; `scale` holds pitch classes for walking and approach notes."""
    sounder = INSTRUMENTS[instrument]
    low, high = sounder.low, min(sounder.high, sounder.low + 24)
    rows = BASS_PATTERNS[pattern].get(meter.name) or BASS_PATTERNS["roots"][meter.name]
    row = rows[int(rng.integers(len(rows)))]
    step = meter.bar_quarters / len(row)
    pitch = low + 10
    notes: list[Note] = []
    for bar in range(num_bars):
        index = 0
        while index < len(row):
            symbol = row[index]
            length = 1
            while index + length < len(row) and row[index + length] == "-":
                length += 1
            position = (first_bar + bar) * meter.bar_quarters + index * step
            index += length
            if symbol in ".-":
                continue
            chord = chord_at(spans, position)
            root = nearest_pitch(chord.bass, low + 9, low, low + 14)
            if symbol == "R":
                pitch = root
            elif symbol == "O":
                pitch = root + 12 if root + 12 <= high else root
            elif symbol == "5":
                fifth = nearest_pitch(chord.fifth, root, low, high)
                pitch = fifth
            elif symbol == "3":
                pitch = nearest_pitch(chord.third, root + 4, low, high)
            else:
                following = chord_at(spans, (first_bar + bar + 1) * meter.bar_quarters)
                goal = nearest_pitch(following.bass, low + 9, low, low + 14)
                pitch = _approach(rng, pitch, goal, chord, scale, low, high, last=symbol == "A")
            legato = 0.92 if length > 1 else 0.8
            accent = 8 if abs(position % meter.bar_quarters) < 1e-6 else 0
            notes.append(Note(position, length * step * legato, int(pitch), loudness + accent))
    return notes


def _approach(
    rng: np.random.Generator, pitch: int, goal: int, chord: Chord, scale: list[int], low: int, high: int, last: bool
) -> int:
    if last:
        options = [
            p
            for p in (goal - 1, goal + 1, goal - 2, goal + 2)
            if low <= p <= high and (p % 12 in scale or abs(p - goal) == 1)
        ]
        return int(options[int(rng.integers(len(options)))])
    direction = 1 if goal > pitch or (goal == pitch and rng.random() < 0.5) else -1
    candidates = [p for p in range(low, high + 1) if p % 12 in chord.classes and 1 <= (p - pitch) * direction <= 7]
    if not candidates:
        candidates = [p for p in range(low, high + 1) if p % 12 in chord.classes and p != pitch]
    return min(candidates, key=lambda p: (abs(p - pitch), p))


def play_drums(
    rng: np.random.Generator,
    pattern: str,
    meter: Meter,
    first_bar: int,
    num_bars: int,
    loudness: float = 1.0,
    fill: bool = True,
    crash: bool = False,
) -> list[Note]:
    """Bars of one drum pattern; the last bar may end in a fill, the first may open with a crash."""
    if pattern == "timpani":
        return []
    variants = DRUM_PATTERNS[pattern].get(meter.name) or DRUM_PATTERNS["ballad"][meter.name]
    rows = variants[int(rng.integers(len(variants)))]
    notes: list[Note] = []
    for bar in range(num_bars):
        origin = (first_bar + bar) * meter.bar_quarters
        filling = fill and bar == num_bars - 1 and meter.name in FILLS
        until = meter.bar_quarters / 2 if filling else meter.bar_quarters
        for drum, row in rows.items():
            step = meter.bar_quarters / len(row)
            notes += [
                Note(origin + i * step, 0.2, drum, _strike(symbol, loudness))
                for i, symbol in enumerate(row)
                if symbol != "." and i * step < until - 1e-6
            ]
        if filling:
            choices = FILLS[meter.name]
            for drum, row in choices[int(rng.integers(len(choices)))].items():
                step = meter.bar_quarters / 2 / len(row)
                notes += [
                    Note(origin + until + i * step, 0.2, drum, _strike(symbol, loudness))
                    for i, symbol in enumerate(row)
                    if symbol != "."
                ]
        if crash and bar == 0:
            notes.append(Note(origin, 0.5, 49, _strike("x", loudness)))
    return sorted(notes, key=lambda n: (n.start, n.pitch))


def _strike(symbol: str, loudness: float) -> int:
    return int(min(120, max(20, _VELOCITY[symbol] * loudness)))


def play_timpani(rng: np.random.Generator, spans: list[ChordSpan], meter: Meter, loudness: int = 84) -> list[Note]:
    """Timpani: the root at each chord, and a short roll into every fourth."""
    notes: list[Note] = []
    for index, span in enumerate(spans):
        pitch = nearest_pitch(span.chord.bass, 43, 36, 55)
        notes.append(Note(span.start, 1.0, pitch, loudness))
        if index % 4 == 3 and span.duration >= 2:
            begin = span.start + span.duration - 1.0
            notes += [Note(begin + i * 0.125, 0.12, pitch, loudness - 30 + 4 * i) for i in range(8)]
    return notes
