"""How a player plays what is written: a groove, small irregularities, accents, phrasing, articulation and strums.

Written notes of one part in, the notes as they are heard out; both in quarter notes from the start of the piece. What a
player does with time has three layers, as measured performances have: a groove (the same small offset at the same place
of every bar), a drift from onset to onset that remembers where it was, and a lag that belongs to the genre (a snare
laid back in soul, a bass that pushes in punk). Groove and drift are centred on the grid, so that the beat stays where
it is; machines play exactly.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cadenza.corpus.genre import Line
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.plan import Plan
from cadenza.corpus.score import Meter, Note, Section

_CELL = 0.25  # of a quarter: how finely a groove tells places of a bar apart
_CHORD = 0.1  # of a quarter: notes that follow their chord's first within this belong to it, as a strum is written
_SNARES = (37, 38, 39, 40)


@dataclass(frozen=True)
class Feel:
    """A player's habits with time, in milliseconds: constant lag, spread of the groove, spread of the drift."""

    lag: float = 0.0
    groove: float = 3.0
    drift: float = 4.0
    snare_lag: float = 0.0


# Genres whose rhythm sits behind the beat, or before it, by role.
_LAGS: dict[str, dict[str, float]] = {
    "lo-fi hip hop": {"melody": 10.0, "chords": 6.0, "bass": 6.0, "snare": 12.0},
    "hip hop": {"melody": 6.0, "chords": 4.0, "bass": 4.0, "snare": 8.0},
    "jazz": {"melody": 10.0, "bass": -3.0, "chords": 3.0},
    "blues": {"melody": 8.0, "snare": 6.0},
    "reggae": {"melody": 8.0, "bass": 6.0, "snare": 4.0},
    "funk": {"snare": 5.0, "bass": 2.0, "chords": -2.0},
    "bossa nova": {"melody": 8.0, "chords": -2.0},
    "piano ballad": {"melody": 6.0},
    "rock": {"bass": 2.0, "snare": 4.0},
    "country": {"melody": 3.0, "chords": -2.0},
    "latin": {"bass": -3.0, "chords": -2.0},
    "celtic": {"melody": -3.0},
}
_LOOSE = {"piano ballad": 1.6, "ambient": 1.6, "blues": 1.4, "folk": 1.3, "solo": 1.3, "jazz": 1.2, "classical": 1.2}
_TIGHT = {"metal": 0.6, "disco": 0.7, "funk": 0.7, "march": 0.8, "rock": 0.8, "baroque": 0.8}
_STACCATO = ("funk", "march", "disco", "children's music", "reggae", "latin")


def feel_of(genre: str, role: str, instrument: str) -> Feel:
    """How a player of a role and instrument treats time in a genre."""
    sounder = INSTRUMENTS[instrument]
    lags = _LAGS.get(genre, {})
    if instrument == "drum machine" or sounder.family == "synth":
        # A sampler's snare may be dragged on purpose; the rest of a machine is exact.
        return Feel(0.0, 0.0, 0.0, lags.get("snare", 0.0) if instrument == "drum machine" else 0.0)
    looseness = _LOOSE.get(genre, _TIGHT.get(genre, 1.0))
    lag = lags.get(role, 0.0)
    if role in ("drums", "bass"):
        return Feel(lag, 2.0 * looseness, 2.5 * looseness, lags.get("snare", 0.0))
    return Feel(lag, 3.5 * looseness, 4.0 * looseness)


def perform(
    rng: np.random.Generator, notes: list[Note], plan: Plan, line: Line, sections: tuple[Section, ...]
) -> tuple[Note, ...]:
    """One part as its player plays it, ending with the piece.

    Args:
        rng: the only source of chance.
        notes: as written, on the grid.
        plan: genre, tempo, meter, swing and force.
        line: the player.
        sections: the form.
    """
    instrument = INSTRUMENTS[line.instruments[0]]
    feel = feel_of(plan.genre, line.role, instrument.name)
    per_ms = plan.tempo_bpm * plan.meter.beat_quarters / 60_000.0
    end = sum(section.num_bars for section in sections) * plan.meter.bar_quarters
    ordered = sorted(notes, key=lambda note: (note.start, note.pitch))
    heads = _heads(ordered)
    onsets = sorted(set(heads))
    late = dict(zip(onsets, _offsets(rng, onsets, feel, plan.meter).tolist(), strict=True))
    spread = _spreads(rng, ordered, instrument.name, line.role)
    force = _force(rng, heads, onsets, plan, line.role, sections)
    length = _lengths(rng, ordered, heads, onsets, plan, line.role, instrument.name)
    played = []
    for index, note in enumerate(ordered):
        offset = late[heads[index]] + spread[index]
        if line.role == "drums" and note.pitch in _SNARES:
            offset += feel.snare_lag
        start = _swung(note.start, plan.swing) + offset * per_ms
        start = min(max(0.0, start), end - 0.1)
        stop = _swung(note.start + length[index], plan.swing) + late[heads[index]] * per_ms
        duration = max(0.05, min(stop, end) - start)
        velocity = min(124, max(20, round(note.velocity + plan.force + force[index])))
        played.append(Note(round(start, 5), round(duration, 5), note.pitch, velocity))
    return tuple(sorted(played, key=lambda note: (note.start, note.pitch)))


def _heads(notes: list[Note]) -> list[float]:
    """For each note the start of the chord that it belongs to."""
    heads: list[float] = []
    for note in notes:
        heads.append(heads[-1] if heads and note.start - heads[-1] < _CHORD else note.start)
    return heads


def _offsets(rng: np.random.Generator, onsets: list[float], feel: Feel, meter: Meter) -> Float[np.ndarray, "O"]:
    """Milliseconds by which each onset is late: lag, and a groove and a drift that are 0 on average."""
    cells = max(1, round(meter.bar_quarters / _CELL))
    groove = rng.normal(0.0, 1.0, cells)
    # Beats move less than what lies between them.
    groove[:: max(1, round(meter.beat_quarters / _CELL))] *= 0.5
    steps = rng.normal(0.0, 1.0, len(onsets))
    if not onsets or (feel.groove == 0.0 and feel.drift == 0.0):
        return np.full(len(onsets), feel.lag)
    drift = np.zeros(len(onsets))
    now = 0.0
    for index, step in enumerate(steps):
        now = 0.6 * now + 0.8 * step
        drift[index] = now
    places = np.round(np.array(onsets) % meter.bar_quarters / _CELL).astype(int) % cells
    offsets = np.clip(feel.groove * groove[places] + feel.drift * drift, -18.0, 18.0)
    return offsets - offsets.mean() + feel.lag


def _spreads(rng: np.random.Generator, notes: list[Note], instrument: str, role: str) -> list[float]:
    """Milliseconds by which the notes of a chord follow each other: strums, rolled harps, hands that are never quite
    together. The first sounds on time."""
    family = INSTRUMENTS[instrument].family
    per_string = float(rng.uniform(7.0, 16.0))
    per_roll = float(rng.uniform(25.0, 55.0))
    spread = [0.0] * len(notes)
    first = 0
    while first < len(notes):
        last = first
        while last + 1 < len(notes) and notes[last + 1].start - notes[first].start < 1e-6:
            last += 1
        count = last - first + 1
        if count > 1 and role != "drums":
            if instrument == "harp":
                step = per_roll if notes[first].duration >= 1.0 else 8.0
            elif family == "guitar":
                step = per_string if count > 2 else 3.0
            elif family in ("keys", "mallets"):
                step = float(rng.uniform(0.0, 4.0))
            else:
                step = 0.0
            # An upstroke, off the beat, starts with the highest string.
            up = family == "guitar" and instrument != "harp" and abs(notes[first].start % 1.0 - 0.5) < 0.26
            for voice in range(count):
                spread[first + voice] = step * (count - 1 - voice if up else voice)
        first = last + 1
    return spread


def _force(
    rng: np.random.Generator,
    heads: list[float],
    onsets: list[float],
    plan: Plan,
    role: str,
    sections: tuple[Section, ...],
) -> list[float]:
    """What is added to each velocity: the meter's accents, the phrase's arc, a swell into louder sections, chance."""
    machine = role == "drums" and plan.genre in ("house", "techno", "trance", "synthwave")
    scale = 0.4 if role == "drums" else 0.6 if role in ("pad", "bass") else 1.0
    arc = float(rng.uniform(3.0, 8.0)) * (1.0 if role in ("melody", "counter") else 0.5)
    breath = dict(zip(onsets, rng.normal(0.0, 1.2 if machine else 2.5, len(onsets)).tolist(), strict=True))
    own = rng.normal(0.0, 0.8 if machine else 2.5, len(heads))
    bar = plan.meter.bar_quarters
    found = []
    for head, chance in zip(heads, own.tolist(), strict=True):
        at = head / bar
        index = next((i for i, s in enumerate(sections) if s.first_bar <= at < s.first_bar + s.num_bars), -1)
        section, following = sections[index], sections[min(index + 1, len(sections) - 1)]
        inside = at - section.first_bar
        # Phrases are as long as sections, or four bars of a longer one.
        phrase = min(4, section.num_bars)
        total = scale * _accent(head, plan.meter) + arc * (math.sin(math.pi * (inside % phrase) / phrase) - 0.5)
        left = section.num_bars - inside
        if left < 1.0:
            total += 30.0 * (1.0 - left) * min(0.35, max(0.0, following.energy - section.energy))
        found.append(total + breath[head] + chance)
    return found


def _accent(position: float, meter: Meter) -> float:
    """A bar's first beat is firm, the others less so, and what lies between beats is light."""
    inside = position % meter.bar_quarters
    if inside < 1e-3:
        return 5.0
    beat = inside / meter.beat_quarters
    if abs(beat - round(beat)) < 1e-3:
        return 2.0 if meter.beats == 4 and round(beat) == 2 else 0.0
    return -3.0 if abs(beat * 2 - round(beat * 2)) < 1e-3 else -5.0


def _lengths(
    rng: np.random.Generator,
    notes: list[Note],
    heads: list[float],
    onsets: list[float],
    plan: Plan,
    role: str,
    instrument: str,
) -> list[float]:
    """How long each note is held, in quarters: melodies are bound or detached, basses follow their genre."""
    lengths = [note.duration for note in notes]
    detached, bound = rng.random(2)
    if role == "drums" or role in ("pad", "chords"):
        return lengths
    follower = dict(zip(onsets, [*onsets[1:], float("inf")], strict=False))
    singing = INSTRUMENTS[instrument].envelope == "sustain" and INSTRUMENTS[instrument].family != "synth"
    short = detached < (0.35 if plan.genre in _STACCATO else 0.08) and role in ("melody", "bass")
    legato = not short and bound < (0.75 if singing else 0.3)
    for index, note in enumerate(notes):
        gap = follower[heads[index]] - note.start
        if short and note.duration <= 1.0:
            lengths[index] = note.duration * 0.6
        elif legato and note.duration < gap < note.duration + 0.3:
            # Bound notes touch, and overlap by a hair where the instrument could not be re-struck.
            lengths[index] = gap + (0.02 if singing else 0.0)
    return lengths


def _swung(position: float, swing: float) -> float:
    """A straight position in quarters moved so that the second eighth of each beat comes at `swing` of the beat."""
    beat = math.floor(position + 1e-9)
    inside = position - beat
    if inside < 0.5:
        return beat + inside * 2 * swing
    return beat + swing + (inside - 0.5) * 2 * (1 - swing)
