"""Seed to score: genre, key, tempo, line-up, form, harmony, then every part bar by bar.

The same seed gives the same score, note for note, on every machine: all draws come from one generator, in one order.
"""

from dataclasses import replace

import numpy as np

from cadenza.corpus.accompany import play_bass, play_chords, play_drums, play_pad, play_timpani
from cadenza.corpus.genre import Line
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.melody import ChordSpan, draw_motif, sing, vary_motif
from cadenza.corpus.perform import perform
from cadenza.corpus.plan import Plan, draw_plan
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.theory import SCALES, Key, chord_from_numeral

_MELODY_CENTRE = {"piano": 74, "cello": 55, "saxophone": 62, "acoustic guitar": 64, "classical guitar": 65, "harp": 72}


def compose(seed: int, duration_seconds: float = 36.0) -> Score:
    """A whole piece of roughly the given duration (the next whole phrase), decided by the seed alone."""
    rng = np.random.default_rng(np.random.SeedSequence([0xCADE, seed]))
    plan = draw_plan(rng)
    bar_seconds = plan.meter.bar_quarters * 60.0 / (plan.tempo_bpm * plan.meter.beat_quarters)
    num_phrases = max(2, round(duration_seconds / bar_seconds / 4))
    sections = _form(rng, plan, num_phrases)
    parts = _parts(rng, plan, sections)
    return Score(seed, plan.genre, plan.tempo_bpm, plan.key, plan.meter, plan.moods, sections, parts)


_FORMS = {
    2: ("A", "A"),
    3: ("A", "A", "B"),
    4: ("I", "A", "A", "B"),
    5: ("I", "A", "B", "A", "A"),
    6: ("I", "A", "A", "B", "A", "B"),
    7: ("I", "A", "A", "B", "B", "A", "A"),
    8: ("I", "A", "A", "B", "A", "A", "B", "A"),
}


_SECTION_NAMES = {"I": "intro", "A": "verse", "B": "chorus"}


def _form(rng: np.random.Generator, plan: Plan, num_phrases: int) -> tuple[Section, ...]:
    """Phrases of four bars, each with a chord for every half bar ("" holds the previous one)."""
    letters = list(_FORMS[min(num_phrases, 8)])
    while len(letters) < num_phrases:
        letters += ["A", "B"]
    letters = letters[:num_phrases]
    choices = rng.permutation(len(plan.progressions))
    progression = {"A": plan.progressions[choices[0]], "B": plan.progressions[choices[1 % len(choices)]]}
    progression["I"] = progression["A"]
    if plan.genre == "blues" and len(plan.progressions) >= 3:
        order = plan.progressions
        letters = [("A", "B", "C")[i % 3] for i in range(num_phrases)]
        progression = {"A": order[0], "B": order[1], "C": order[2]}
    sections = []
    for index, letter in enumerate(letters):
        bars = progression[letter].split()
        numerals: list[str] = []
        for bar in range(4):
            symbols = bars[bar % len(bars)].split("_")
            numerals += [symbols[0], symbols[1] if len(symbols) > 1 else ""]
        if index == len(letters) - 1:
            numerals[-2:] = [progression["A"].split()[0].split("_")[0], ""]
            if plan.genre in ("classical", "baroque", "waltz", "march", "celtic", "folk", "country"):
                numerals[-2] = "i" if plan.key.mode == "minor" else "I"
        sections.append(Section(_SECTION_NAMES.get(letter, letter), index * 4, 4, tuple(numerals), plan.key))
    return tuple(sections)


def chord_spans(score_key: Key, meter: Meter, section: Section) -> list[ChordSpan]:
    """The chords of a section on the timeline."""
    half = meter.bar_quarters / 2
    spans: list[ChordSpan] = []
    for slot, numeral in enumerate(section.numerals):
        start = section.first_bar * meter.bar_quarters + slot * half
        if numeral:
            spans.append(ChordSpan(start, half, chord_from_numeral(numeral, score_key)))
        else:
            spans[-1] = replace(spans[-1], duration=spans[-1].duration + half)
    return spans


def _melody_range(instrument: str, role: str, lift: int) -> tuple[int, int]:
    sounder = INSTRUMENTS[instrument]
    centre = _MELODY_CENTRE.get(instrument, min(max(72, sounder.low + 10), sounder.high - 10))
    centre += lift - (9 if role == "counter" else 0)
    centre = min(max(centre, sounder.low + 9), sounder.high - 9)
    return max(sounder.low, centre - 10), min(sounder.high, centre + 11)


def _parts(rng: np.random.Generator, plan: Plan, sections: tuple[Section, ...]) -> tuple[Part, ...]:
    finest = 0.25 if plan.tempo_bpm < 112 else 0.5
    motifs = {
        name: [draw_motif(rng, plan.meter, plan.density, finest) for _ in range(2)]
        for name in ("verse", "chorus", "intro", "C")
    }
    variations = {name: vary_motif(rng, pair[0]) for name, pair in motifs.items()}
    slow_motifs = [draw_motif(rng, plan.meter, 0.1, 0.5) for _ in range(2)]
    pattern_seeds = [int(s) for s in rng.integers(0, 2**31, len(plan.lineup))]
    resting = _entries(rng, plan.lineup, sections)
    parts = []
    for number, line in enumerate(plan.lineup):
        notes: list[Note] = []
        last: int | None = None
        for index, section in enumerate(sections):
            if resting[number][index]:
                continue
            spans = chord_spans(plan.key, plan.meter, section)
            lift = {"intro": -8, "verse": 0, "chorus": 6}.get(section.name, 0)
            # The pattern's variant is one per section name, so that a returning verse returns.
            variant = np.random.default_rng([pattern_seeds[number], len(section.name)])
            if line.role in ("melody", "counter"):
                pair, varied = motifs[section.name], variations[section.name]
                sequence = [pair[0], varied, pair[1], pair[0]]
                if line.role == "counter":
                    # In baroque pieces the second voice imitates the first a bar later; elsewhere it sings long notes.
                    imitating = plan.genre == "baroque"
                    sequence = (
                        [pair[1], pair[0], varied, pair[1]] if imitating else [slow_motifs[i % 2] for i in range(4)]
                    )
                low, high = _melody_range(line.instruments[0], line.role, plan.lift)
                sung = sing(
                    sequence,
                    spans,
                    plan.key,
                    plan.melody_scale,
                    plan.meter,
                    section.first_bar,
                    low,
                    high,
                    last,
                    88 + lift,
                )
                last = sung[-1].pitch if sung else last
                notes += sung
            else:
                notes += _accompany(variant, plan, line, spans, section, lift, index, final=index == len(sections) - 1)
        if notes:
            parts.append(Part(line.instruments[0], line.role, perform(rng, notes, plan, line, sections), line.level))
    return tuple(parts)


def _accompany(
    rng: np.random.Generator,
    plan: Plan,
    line: Line,
    spans: list[ChordSpan],
    section: Section,
    lift: int,
    index: int,
    final: bool,
) -> list[Note]:
    """One section of an accompanying line; the piece's last bar is a single held chord or stroke."""
    instrument, pattern, meter = line.instruments[0], line.patterns[0], plan.meter
    first, count = section.first_bar, section.num_bars - int(final)
    last = section.first_bar + section.num_bars - 1
    if line.role == "pad":
        if pattern == "drone":
            low = INSTRUMENTS[instrument].low
            pitch = low + (plan.key.tonic - low) % 12
            return [Note(first * meter.bar_quarters, section.num_bars * meter.bar_quarters, pitch, 60)]
        return play_pad(instrument, spans, 70 + lift)
    if line.role == "chords":
        both = any(other.role == "melody" and other.instruments[0] == instrument for other in plan.lineup)
        low_pitch = 48 if both else None
        notes = play_chords(rng, instrument, pattern, spans, meter, first, count, 74 + lift, low_pitch)
        if final:
            notes += play_chords(rng, instrument, "held", spans, meter, last, 1, 74 + lift, low_pitch)
        return notes
    if line.role == "bass":
        classes = [(plan.key.tonic + s) % 12 for s in SCALES[plan.key.mode]]
        notes = play_bass(rng, instrument, pattern, spans, meter, first, count, classes, 88 + lift)
        if final:
            notes += play_bass(rng, instrument, "roots", spans, meter, last, 1, classes, 88 + lift)
        return notes
    if pattern == "timpani":
        return play_timpani(rng, spans, meter, 84 + lift)
    crash = index > 0 and index % 2 == 0
    notes = play_drums(rng, pattern, meter, first, count, 1.0 + lift / 100, fill=index % 2 == 1 or final, crash=crash)
    if final:
        notes += [Note(last * meter.bar_quarters, 1.0, key, 88 + lift) for key in (36, 49)]
    return notes


def _entries(rng: np.random.Generator, lineup: tuple[Line, ...], sections: tuple[Section, ...]) -> list[list[bool]]:
    """Which line rests in which section: intros are thin, and sometimes a verse drops a player."""
    resting = [[False] * len(sections) for _ in lineup]
    if len(lineup) < 2:
        return resting
    for index, section in enumerate(sections):
        if section.name == "intro":
            kept = int(rng.integers(1, len(lineup)))
            stay = set(rng.permutation(len(lineup))[:kept].tolist())
            for number in range(len(lineup)):
                resting[number][index] = number not in stay
        elif index > 0 and len(lineup) > 2 and rng.random() < 0.2:
            resting[int(rng.integers(len(lineup)))][index] = True
    return resting
