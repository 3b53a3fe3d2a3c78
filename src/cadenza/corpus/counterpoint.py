"""A second voice against a first: imitation, note against note, and answers in the gaps.

The rules are those of two-part counterpoint as taught since Fux (Gradus ad Parnassum, 1725): consonant intervals where
both voices meet, contrary motion before parallel, no two perfect intervals of one kind in a row in parallel motion.
"""

import numpy as np

from cadenza.corpus.melody import ChordSpan, Ladder, chord_at
from cadenza.corpus.score import Meter, Note

_CONSONANT = (0, 3, 4, 5, 7, 8, 9)
_PERFECT = (0, 7)


def sounding_at(notes: list[Note], position: float) -> int | None:
    """The pitch that a single line has at a position, None where it is silent."""
    pitch = None
    for note in notes:
        if note.start > position + 1e-6:
            break
        pitch = note.pitch if note.start + note.duration > position + 1e-6 else None
    return pitch


def second_voice(leader: list[Note], spans: list[ChordSpan], ladder: Ladder, meter: Meter, loudness: int) -> list[Note]:
    """Long notes under (or over) a line, one for each chord and each half bar, moving on by passing notes.

    Args:
        leader: the first voice, one note at a time.
        spans: the chords.
        ladder: scale and range of the second voice.
    """
    places = [p for span in spans for p in _halves(span, meter)]
    ends = [*places[1:], spans[-1].start + spans[-1].duration]
    notes: list[Note] = []
    pitch, above = (ladder.low + ladder.high) // 2, None
    for place, end in zip(places, ends, strict=True):
        scale, tones = ladder.over(chord_at(spans, place))
        lead = sounding_at(leader, place)
        before, pitch = pitch, _answering(tones, pitch, above, lead)
        if notes and abs(pitch - before) in (3, 4) and notes[-1].duration >= 1.5:
            between = [p for p in scale if min(pitch, before) < p < max(pitch, before)]
            if between:
                head = notes.pop()
                notes.append(Note(head.start, head.duration - 0.5, head.pitch, head.velocity))
                notes.append(Note(head.start + head.duration - 0.5, 0.5, between[0], head.velocity - 6))
        if notes and notes[-1].pitch == pitch and end - notes[-1].start <= 4.0:
            held = notes.pop()
            notes.append(Note(held.start, end - held.start, pitch, held.velocity))
        else:
            notes.append(Note(place, end - place, pitch, loudness))
        above = lead if lead is not None else above
    return notes


def _halves(span: ChordSpan, meter: Meter) -> list[float]:
    """Where a chord starts, and the bar lines and middles inside it."""
    bar = meter.bar_quarters
    bars = range(int(span.start // bar), int((span.start + span.duration) // bar) + 1)
    inside = [place for index in bars for place in (index * bar, index * bar + meter.middle_quarters)]
    return [span.start, *(p for p in inside if span.start + 1e-6 < p < span.start + span.duration - 1e-6)]


def _answering(tones: list[int], pitch: int, above: int | None, lead: int | None) -> int:
    """The chord tone that moves least, consonant with the lead, against its motion, without parallels."""

    def cost(tone: int) -> tuple[float, int]:
        motion = abs(tone - pitch)
        total = float(motion) + (4.0 if motion > 7 else 0.0) + (1.0 if motion == 0 else 0.0)
        if lead is not None:
            interval = abs(lead - tone) % 12
            total += 6.0 * (interval not in _CONSONANT) + 5.0 * (lead == tone)
            if above is not None and above != lead and tone != pitch:
                total += 1.5 * ((lead - above) * (tone - pitch) > 0)
                total += 40.0 * (interval in _PERFECT and abs(above - pitch) % 12 == interval)
        return total, tone

    return min(tones, key=cost)


def imitate(
    leader: list[Note], spans: list[ChordSpan], ladder: Ladder, meter: Meter, first_bar: int, loudness: int
) -> list[Note]:
    """The line of the first voice, a bar later and lower: it rests a bar, then follows; strong beats fit the chord.

    Args:
        leader: the first voice within one section.
        first_bar: where the section begins.
    """
    if not leader:
        return []
    end = spans[-1].start + spans[-1].duration
    centre = (ladder.low + ladder.high) / 2
    mean = sum(note.pitch for note in leader) / len(leader)
    down = round((centre - mean) / 12) * 12
    if abs(mean + down - centre) > 4:
        down += 5 if mean + down < centre else -5
    notes: list[Note] = []
    above: int | None = None
    for note in leader:
        start = note.start + meter.bar_quarters
        if start >= end - 1e-6:
            break
        scale, tones = ladder.over(chord_at(spans, start))
        target = note.pitch + down
        lead = sounding_at(leader, start)
        where = (start - first_bar * meter.bar_quarters) % meter.bar_quarters
        meeting = lead is not None and any(abs(other.start - start) < 1e-6 for other in leader)
        if where < 1e-6 or abs(where - meter.middle_quarters) < 1e-6 or note.duration >= 1.4:
            options = tones
        else:
            options = scale
        before = notes[-1].pitch if notes else None

        def cost(tone: int, target: int = target, lead: int | None = lead, meeting: bool = meeting,
                 before: int | None = before, above: int | None = above) -> tuple[float, int]:  # fmt: skip
            total = float(abs(tone - target))
            if lead is not None:
                interval = abs(lead - tone) % 12
                total += 2.5 * (interval not in _CONSONANT) * meeting + 3.0 * (lead == tone)
                if before is not None and above is not None and above != lead and tone != before:
                    total += 40.0 * (interval in _PERFECT and abs(above - before) % 12 == interval)
            return total, tone

        pitch = min(options, key=cost)
        notes.append(Note(start, min(note.duration, end - start), pitch, loudness))
        above = lead if lead is not None else above
    return notes


def fill_gaps(
    leader: list[Note],
    spans: list[ChordSpan],
    ladder: Ladder,
    meter: Meter,
    durations: tuple[float, ...],
    loudness: int,
) -> list[Note]:
    """Answers where the first voice holds or rests for half a bar: a few steps towards its next note.

    Args:
        durations: the rhythm of the answer, in quarter notes.
    """
    half = meter.bar_quarters - meter.middle_quarters
    end = spans[-1].start + spans[-1].duration
    notes: list[Note] = []
    starts = [note.start for note in leader]
    pitch = (ladder.low + ladder.high) // 2
    bar = int(spans[0].start // meter.bar_quarters)
    while (place := bar * meter.bar_quarters + meter.middle_quarters) + half <= end + 1e-6:
        bar += 1
        if any(place + 0.1 < start < place + half - 0.1 for start in starts):
            continue
        scale, tones = ladder.over(chord_at(spans, place))
        lead = sounding_at(leader, place)
        pitch = _answering(tones, pitch, None, lead)
        rise = 1 if pitch < (ladder.low + ladder.high) / 2 else -1
        at, index = place, int(np.argmin([abs(p - pitch) for p in scale]))
        for duration in durations:
            if at + duration > place + half + 1e-6 or at + duration > end:
                break
            notes.append(Note(at, duration * 0.95, scale[min(max(index, 0), len(scale) - 1)], loudness))
            at, index = at + duration, index + rise
    return notes
