"""Seed to score: plan, form, harmony, themes, then every part section by section.

The same seed gives the same score, note for note, on every machine: all draws come from generators made of the seed.
"""

from dataclasses import dataclass

import numpy as np

from cadenza.corpus.accompany import play_bass, play_chords, play_drums, play_pad, play_timpani
from cadenza.corpus.counterpoint import fill_gaps, imitate, second_voice
from cadenza.corpus.form import PHRASE_BARS, lay_out
from cadenza.corpus.genre import Line
from cadenza.corpus.genres import intensity_of
from cadenza.corpus.harmony import chord_spans, harmonise
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.melody import ChordSpan, Close, Ladder, ornament, sing
from cadenza.corpus.motif import Theme, augment, draw_motif, draw_theme, invert, vary
from cadenza.corpus.perform import perform
from cadenza.corpus.plan import Plan, draw_plan
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.texture import resting
from cadenza.corpus.theory import SCALES, Chord

_MELODY_CENTRE = {"piano": 74, "cello": 55, "saxophone": 62, "acoustic guitar": 64, "classical guitar": 65, "harp": 72}
_ORNATE = ("classical", "baroque", "jazz", "celtic", "solo", "bossa nova", "blues", "piano ballad")


def compose(seed: int, duration_seconds: float = 36.0) -> Score:
    """A whole piece of the given duration, to the nearest bar (four bars at least), decided by the seed alone."""
    rng = np.random.default_rng(np.random.SeedSequence([0xCADE, seed]))
    plan = draw_plan(rng)
    bar_seconds = plan.meter.bar_quarters * 60.0 / (plan.tempo_bpm * plan.meter.beat_quarters)
    num_bars = max(PHRASE_BARS, round(duration_seconds / bar_seconds))
    outline = lay_out(rng, plan.form, plan.key, num_bars, plan.wanders)
    sections = harmonise(rng, plan.idiom, plan.progressions, outline)
    parts = _parts(rng, plan, sections)
    return Score(seed, plan.genre, plan.tempo_bpm, plan.key, plan.meter, plan.moods, sections, parts)


@dataclass(frozen=True)
class _Place:
    """A section in the piece: its number, its chords, what comes next, and whether it has been heard before."""

    number: int
    section: Section
    spans: list[ChordSpan]
    next_chord: Chord | None
    returning: bool

    @property
    def final(self) -> bool:
        """Whether the piece ends here."""
        return self.next_chord is None

    @property
    def lift(self) -> int:
        """What the section's energy adds to velocities."""
        return round((self.section.energy - 0.6) * 24)


def _places(meter: Meter, sections: tuple[Section, ...]) -> list[_Place]:
    chords = [chord_spans(meter, section) for section in sections]
    names = [section.name for section in sections]
    return [
        _Place(i, section, chords[i], chords[i + 1][0].chord if i + 1 < len(chords) else None, names[i] in names[:i])
        for i, section in enumerate(sections)
    ]


def _parts(rng: np.random.Generator, plan: Plan, sections: tuple[Section, ...]) -> tuple[Part, ...]:
    themes = _themes(rng, plan, sections)
    seeds = [int(s) for s in rng.integers(0, 2**31, len(plan.lineup))]
    rests = resting(rng, plan.lineup, sections, plan.genre == "baroque")
    places = _places(plan.meter, sections)
    answer = draw_motif(rng, plan.meter, 0.5, 0.5).durations
    written: list[list[Note]] = []
    leader: list[list[Note]] = [[] for _ in sections]
    for number, line in enumerate(plan.lineup):
        notes: list[Note] = []
        for place in places:
            if rests[number][place.number]:
                continue
            if line.role == "melody":
                sung = _sing(np.random.default_rng([seeds[number], place.number]), plan, line, place, themes)
                leader[place.number] = sung
                notes += sung
            elif line.role == "counter":
                notes += _counter(plan, line, place, leader[place.number], answer)
            else:
                # The variant of a pattern is one for each kind of section, so that what returns sounds the same.
                variant = np.random.default_rng([seeds[number], *place.section.name.encode()])
                notes += _accompany(variant, plan, line, place)
        written.append(notes)
    return tuple(
        Part(line.instruments[0], line.role, perform(rng, notes, plan, line, sections), line.level)
        for line, notes in zip(plan.lineup, written, strict=True)
        if notes
    )


def _themes(rng: np.random.Generator, plan: Plan, sections: tuple[Section, ...]) -> dict[str, Theme]:
    """A theme for each kind of section, all from one germ: the chorus augments it, the bridge turns it round."""
    finest = 0.25 if plan.tempo_bpm < 112 else 0.5
    meter, density = plan.meter, plan.density
    germ = draw_motif(rng, meter, density, finest)
    breath = 0.5 if any(line.role == "counter" for line in plan.lineup) else 0.25
    first = draw_theme(rng, meter, germ, density, finest, breath)
    second = draw_theme(rng, meter, vary(rng, germ, meter), min(1.0, density + 0.1), finest, breath)
    turned = draw_theme(rng, meter, invert(germ), max(0.0, density - 0.15), finest, breath)
    wide = draw_theme(rng, meter, augment(germ, meter), max(0.0, density - 0.2), finest, breath)
    running = draw_theme(rng, meter, draw_motif(rng, meter, min(1.0, density + 0.3), finest), density + 0.25, finest, 0)
    of_section = {
        "chorus": second, "drop": second, "second episode": second, "bridge": turned, "episode": turned,
        "pre-chorus": wide, "breakdown": wide, "build-up": wide, "ending": wide, "solo": running,
    }  # fmt: skip
    return {section.name: of_section.get(section.name, first) for section in sections}


def _melody_range(instrument: str, role: str, lift: int) -> tuple[int, int]:
    sounder = INSTRUMENTS[instrument]
    centre = _MELODY_CENTRE.get(instrument, min(max(72, sounder.low + 10), sounder.high - 10))
    centre += lift - (9 if role == "counter" else 0)
    centre = min(max(centre, sounder.low + 9), sounder.high - 9)
    return max(sounder.low, centre - 10), min(sounder.high, centre + 11)


def _sing(rng: np.random.Generator, plan: Plan, line: Line, place: _Place, themes: dict[str, Theme]) -> list[Note]:
    """The melody of one section, phrase by phrase; a section that returns may come back with ornaments."""
    section = place.section
    low, high = _melody_range(line.instruments[0], line.role, plan.lift)
    ladder = Ladder(section.key, plan.scale(section.key.mode), low, high)
    tonics = [p for p in range(low, high + 1) if p % 12 == section.key.tonic]
    # Big sections lie higher; themes rise about a fifth from here and fall a third.
    wanted = (low + high) / 2 - 3 + (4 if section.energy >= 0.85 else 0)
    home = min(tonics, key=lambda p: (abs(p - wanted), p))
    count = -(-section.num_bars // PHRASE_BARS)
    notes: list[Note] = []
    for phrase in range(count):
        begin = phrase * PHRASE_BARS
        length = min(PHRASE_BARS, section.num_bars - begin)
        last = phrase == count - 1
        # A single phrase is the question; of several, the last is the answer, and a short one is its end.
        offset = PHRASE_BARS if last and count > 1 else 0
        skipped = PHRASE_BARS - length if section.name == "ending" else 0
        bars = tuple(offset + skipped + bar for bar in range(length))
        close: Close = "full" if last and section.name not in ("pre-chorus", "build-up", "intro") else "half"
        notes += sing(
            themes[section.name],
            bars,
            close,
            place.spans,
            ladder,
            plan.meter,
            section.first_bar + begin,
            home,
            86 + place.lift,
        )
    if place.returning and plan.genre in _ORNATE and not place.final:
        return ornament(rng, notes, ladder, place.spans)
    return notes


def _counter(plan: Plan, line: Line, place: _Place, leader: list[Note], answer: tuple[float, ...]) -> list[Note]:
    """The second voice: it imitates in baroque pieces, else it sings a line of its own or answers in the gaps."""
    section = place.section
    low, high = _melody_range(line.instruments[0], line.role, plan.lift)
    ladder = Ladder(section.key, plan.scale(section.key.mode), low, high)
    loudness = 80 + place.lift
    if plan.genre == "baroque" and section.num_bars > 2 and not (place.final and section.num_bars < PHRASE_BARS):
        follower = imitate(leader, place.spans, ladder, plan.meter, section.first_bar, loudness)
        if follower:
            return follower
    if leader and place.number % 2 and section.num_bars >= PHRASE_BARS and not place.final:
        gaps = fill_gaps(leader, place.spans, ladder, plan.meter, answer, loudness)
        if len(gaps) >= section.num_bars:
            return gaps
    return second_voice(leader, place.spans, ladder, plan.meter, loudness)


def _accompany(variant: np.random.Generator, plan: Plan, line: Line, place: _Place) -> list[Note]:
    """One section of an accompanying line; the piece's last bar is a single held chord or stroke."""
    section, spans, lift, meter = place.section, place.spans, place.lift, plan.meter
    instrument = line.instruments[0]
    # The first pattern is that of quiet sections, the last that of big ones.
    pattern = line.patterns[-1 if section.energy >= 0.7 else 0]
    intensity = intensity_of(plan.genre, section.energy)
    first, count = section.first_bar, section.num_bars - int(place.final)
    last = section.first_bar + section.num_bars - 1
    if line.role == "pad":
        if pattern == "drone":
            low = INSTRUMENTS[instrument].low
            pitch = low + (section.key.tonic - low) % 12
            return [Note(first * meter.bar_quarters, section.num_bars * meter.bar_quarters, pitch, 60)]
        return play_pad(instrument, spans, 70 + lift)
    if line.role == "chords":
        both = any(other.role == "melody" and other.instruments[0] == instrument for other in plan.lineup)
        lowest, loudness = 48 if both else None, 74 + lift
        notes = play_chords(variant, instrument, pattern, spans, meter, first, count, loudness, lowest, intensity)
        if place.final:
            notes += play_chords(variant, instrument, "held", spans, meter, last, 1, loudness, lowest)
        return notes
    if line.role == "bass":
        classes = [(section.key.tonic + s) % 12 for s in SCALES[section.key.mode]]
        notes = play_bass(
            variant,
            instrument,
            pattern,
            spans,
            meter,
            first,
            count,
            classes,
            88 + lift,
            intensity,
            place.next_chord,
        )
        if place.final:
            notes += play_bass(variant, instrument, "roots", spans, meter, last, 1, classes, 88 + lift)
        return notes
    if pattern == "timpani":
        return play_timpani(variant, spans, meter, 84 + lift, intensity)
    building = section.name == "build-up"
    crash = count > 0 and place.number > 0 and section.name in ("chorus", "drop", "solo", "second episode")
    notes = play_drums(variant, pattern, meter, first, count, 1.0 + lift / 100, count >= 2, crash, intensity, building)
    if place.final:
        notes += [Note(last * meter.bar_quarters, 1.0, key, 88 + lift) for key in (36, 49)]
    return notes
