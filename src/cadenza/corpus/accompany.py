"""Accompaniment, all roles: chords, bass and drums in patterns, and here what has none: pads and timpani."""

import numpy as np

from cadenza.corpus.bass import play_bass
from cadenza.corpus.chords import comfortable_range, play_chords
from cadenza.corpus.drums import play_drums
from cadenza.corpus.melody import ChordSpan
from cadenza.corpus.score import Meter, Note
from cadenza.corpus.theory import lead_voices, nearest_pitch

__all__ = ["comfortable_range", "play_bass", "play_chords", "play_drums", "play_pad", "play_timpani"]


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


def play_timpani(
    rng: np.random.Generator,
    spans: list[ChordSpan],
    meter: Meter,
    loudness: int = 84,
    intensity: float | None = None,
) -> list[Note]:
    """Timpani: the root at each chord, and growing rolls into what follows.

    Quiet music (an intensity below 0.3) has the roots of new bars alone; loud music (above 0.75) doubles each of them.
    """
    notes: list[Note] = []
    for index, span in enumerate(spans):
        pitch = nearest_pitch(span.chord.bass, 43, 36, 55)
        within = span.start % meter.bar_quarters
        if intensity is not None and intensity < 0.3 and min(within, meter.bar_quarters - within) > 1e-6:
            continue
        notes.append(Note(span.start, 1.0, pitch, loudness))
        rolls = span.duration >= 2 and (index % 4 == 3 or rng.random() < 0.1)
        if intensity is not None and intensity > 0.75 and span.duration >= 2:
            notes.append(Note(span.start + span.duration / 2, 0.8, pitch, loudness - 8))
        if rolls:
            begin = span.start + span.duration - 1.0
            notes = [n for n in notes if n.start < begin - 1e-6]
            notes += [Note(begin + i * 0.125, 0.12, pitch, loudness - 30 + 4 * i) for i in range(8)]
    return sorted(notes, key=lambda n: (n.start, n.pitch))
