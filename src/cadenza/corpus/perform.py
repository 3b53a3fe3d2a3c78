"""How a player plays what is written: small irregularities in time and force, and swing.

Written notes of one part in, the notes as they are heard out; both in quarter notes from the start of the piece.
"""

import numpy as np

from cadenza.corpus.genre import Line
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.plan import Plan
from cadenza.corpus.score import Note, Section


def perform(
    rng: np.random.Generator, notes: list[Note], plan: Plan, line: Line, sections: tuple[Section, ...]
) -> tuple[Note, ...]:
    """Swing, a player's small irregularities in time and force, and the end of the piece as a hard stop for notes."""
    machine = line.instruments[0] in ("drum machine",) or INSTRUMENTS[line.instruments[0]].family == "synth"
    spread_seconds = 0.0 if machine else 0.007
    quarters_per_second = plan.tempo_bpm * plan.meter.beat_quarters / 60.0
    end = sum(s.num_bars for s in sections) * plan.meter.bar_quarters
    offsets = rng.normal(0.0, spread_seconds * quarters_per_second, len(notes))
    force = rng.normal(0.0, 1.5 if machine else 4.0, len(notes))
    played = []
    for note, offset, push in zip(notes, offsets, force, strict=True):
        start = _swung(note.start, plan.swing)
        stop = _swung(note.start + note.duration, plan.swing)
        start = min(max(0.0, start + float(offset)), end - 0.1)
        duration = max(0.05, min(stop, end) - start)
        velocity = int(np.clip(round(note.velocity + plan.force + push), 20, 124))
        played.append(Note(round(start, 5), round(duration, 5), note.pitch, velocity))
    return tuple(sorted(played, key=lambda n: (n.start, n.pitch)))


def _swung(position: float, swing: float) -> float:
    """A straight position in quarters moved so that the second eighth of each beat comes at `swing` of the beat."""
    beat = np.floor(position + 1e-9)
    inside = position - beat
    if inside < 0.5:
        return float(beat + inside * 2 * swing)
    return float(beat + swing + (inside - 0.5) * 2 * (1 - swing))
