"""Tunes that no training corpus holds, hummed: number in, ten seconds or less of a voice alone out.

The composer of `cadenza.corpus` writes the lead line, from seeds far behind those of every corpus built (the corpus's
seed times a million, and up). NumPy hums it: a few overtones, glides, vibrato, breath, and a little out of tune, in the
range of a voice. No FluidSynth, so that everybody can run it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cadenza.audio import Audio
from cadenza.corpus.compose import compose
from cadenza.corpus.score import Score

SAMPLE_RATE = 32_000
FIRST_SEED = 90_000_000
SHORTEST, LONGEST = 8.0, 10.0  # seconds
LEAST_NOTES, LEAST_SOUND = 6, 0.6  # in a tune; share of its time
VOICE_CENTRE = 60  # MIDI: tunes are moved here by octaves
OUT_OF_TUNE_CENTS, VIBRATO_CENTS, VIBRATO_HZ = 12.0, 18.0, 5.3
GLIDE_SECONDS, FADE_SECONDS = 0.05, 0.04


class Sung(NamedTuple):
    """A note: start and end in seconds, MIDI pitch."""

    start: float
    end: float
    pitch: int


class Tune(NamedTuple):
    """A lead line: the seed of its piece, its length in seconds, its notes in order."""

    seed: int
    seconds: float
    notes: tuple[Sung, ...]


def tunes(count: int) -> list[Tune]:
    """The first so many tunes: the same ones, whatever the count."""
    found = _tunes()
    return [next(found) for _ in range(count)]


def _tunes() -> Iterator[Tune]:
    seed = FIRST_SEED
    while True:
        tune = lead_line(compose(seed, 22.0))
        if tune is not None:
            yield tune
        seed += 1


def lead_line(score: Score) -> Tune | None:
    """The first notes of the leading part, one at a time; None where the piece has none, or one that hardly sounds."""
    part = next((part for part in score.parts if part.role == "melody"), None)
    if part is None or not part.notes:
        return None
    rng = np.random.default_rng([score.seed, 1])
    seconds = round(float(rng.uniform(SHORTEST, LONGEST)), 2)
    scale, first = score.seconds_per_quarter, part.notes[0].start
    starts = [(note.start - first) * scale for note in part.notes]
    ends = [start + note.duration * scale for start, note in zip(starts, part.notes, strict=True)]
    following = [*starts[1:], np.inf]
    middle = float(np.median([note.pitch for note in part.notes]))
    octaves = 12 * round((VOICE_CENTRE - middle) / 12)
    sung = tuple(
        Sung(start, min(end, after, seconds), note.pitch + octaves)
        for note, start, end, after in zip(part.notes, starts, ends, following, strict=True)
        if start < seconds - 0.1 and after - start > 0.02
    )
    if len(sung) < LEAST_NOTES or sum(note.end - note.start for note in sung) < LEAST_SOUND * seconds:
        return None
    return Tune(score.seed, seconds, sung)


def hum(tune: Tune) -> Audio:
    """The tune in a voice: mono, 32 kHz."""
    rng = np.random.default_rng([tune.seed, 2])
    time = np.arange(round(tune.seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = np.full(time.size, float(tune.notes[0].pitch))
    level = np.zeros(time.size)
    for note in tune.notes:
        pitch[time >= note.start] = note.pitch + rng.normal(0.0, OUT_OF_TUNE_CENTS) / 100
        sounds = (time >= note.start) & (time < note.end)
        shape = np.minimum(1.0, np.minimum(time - note.start, note.end - time) / FADE_SECONDS)
        level[sounds] = shape[sounds]
    pitch = _smooth(pitch, GLIDE_SECONDS)
    pitch += VIBRATO_CENTS / 100 * np.sin(2 * np.pi * VIBRATO_HZ * time + rng.uniform(0, 2 * np.pi))
    phase = 2 * np.pi * np.cumsum(440.0 * 2 ** ((pitch - 69) / 12)) / SAMPLE_RATE
    voice = sum(np.sin(k * phase) / k**1.6 for k in range(1, 7))
    breath = _smooth(rng.standard_normal(time.size), 0.0002)
    return Audio(0.2 * level * (voice + 0.02 * breath), SAMPLE_RATE)


def _smooth(values: np.ndarray, seconds: float) -> np.ndarray:
    """The mean over a window of time; beyond the ends the last value goes on."""
    width = max(1, round(seconds * SAMPLE_RATE)) // 2 * 2 + 1
    total = np.cumsum(np.pad(values, (width // 2 + 1, width // 2), mode="edge"))
    return (total[width:] - total[:-width]) / width
