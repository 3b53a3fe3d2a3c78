"""Seed to score: genre, key, tempo, line-up, form, harmony, then every part bar by bar.

The same seed gives the same score, note for note, on every machine: all draws come from one generator, in one order.
"""

from dataclasses import dataclass, replace

import numpy as np

from cadenza.corpus.accompany import play_bass, play_chords, play_drums, play_pad, play_timpani
from cadenza.corpus.genre import FOUR, SIX, THREE, Genre, Line
from cadenza.corpus.genres import GENRES, SOLO_INSTRUMENTS
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.melody import ChordSpan, draw_motif, sing, vary_motif
from cadenza.corpus.patterns import BASS_PATTERNS, CHORD_PATTERNS, DRUM_PATTERNS
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.theory import SCALES, Key, chord_from_numeral

_SOLO_SHARE = 0.33
_SOLO_WEIGHTS = {
    "piano": 7.0, "acoustic guitar": 3.0, "violin": 2.5, "cello": 2.0, "flute": 2.0, "harp": 2.0, "organ": 1.5,
    "music box": 1.5,
    "electric guitar": 2.0, "saxophone": 1.5, "trumpet": 1.5, "strings": 1.5, "choir": 1.5, "synth lead": 1.5,
    "rock drums": 0.5, "percussion": 0.7, "tuba": 0.4, "glockenspiel": 0.5, "bagpipes": 0.5, "sitar": 0.5,
    "bassoon": 0.5,
    "muted trumpet": 0.4, "viola": 0.5, "tin whistle": 0.5, "upright bass": 0.5, "steel drums": 0.5, "celesta": 0.5,
}  # fmt: skip
_MELODY_CENTRE = {"piano": 74, "cello": 55, "saxophone": 62, "acoustic guitar": 64, "classical guitar": 65, "harp": 72}


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first note."""

    genre: str
    tempo_bpm: float
    key: Key
    meter: Meter
    moods: tuple[str, ...]
    lineup: tuple[Line, ...]
    progressions: tuple[str, ...]
    melody_scale: str
    swing: float
    density: float
    force: int
    lift: int


def compose(seed: int, duration_seconds: float = 36.0) -> Score:
    """A whole piece of roughly the given duration (the next whole phrase), decided by the seed alone."""
    rng = np.random.default_rng(np.random.SeedSequence([0xCADE, seed]))
    plan = _plan(rng)
    bar_seconds = plan.meter.bar_quarters * 60.0 / (plan.tempo_bpm * plan.meter.beat_quarters)
    num_phrases = max(2, round(duration_seconds / bar_seconds / 4))
    sections = _form(rng, plan, num_phrases)
    parts = _parts(rng, plan, sections)
    return Score(seed, plan.genre, plan.tempo_bpm, plan.key, plan.meter, plan.moods, sections, parts)


def _plan(rng: np.random.Generator) -> Plan:
    key_tonic = int(rng.integers(12))
    if rng.random() < _SOLO_SHARE:
        return _solo_plan(rng, key_tonic)
    weights = np.array([g.weight for g in GENRES])
    genre = GENRES[int(rng.choice(len(GENRES), p=weights / weights.sum()))]
    mode = "minor" if rng.random() < genre.minor else "major"
    low, high = genre.tempo
    tempo = float(round(float(np.exp(rng.uniform(np.log(low), np.log(high))))))
    meters = [m for m in genre.meters if _playable(genre, m)]
    meter = meters[int(rng.integers(len(meters)))]
    if meter is SIX:
        tempo = float(round(max(44.0, tempo * 0.8)))
    lineup = genre.lineups[int(rng.integers(len(genre.lineups)))]
    lineup = tuple(line for line in lineup if rng.random() < line.chance) or lineup[:1]
    lineup = tuple(_settle(rng, line, meter) for line in lineup)
    lineup = _one_voice_each(lineup)
    density = float(rng.uniform(*genre.density))
    moods = _moods(rng, genre.name, genre.moods, tempo, mode, meter)
    progressions = genre.minor_progressions if mode == "minor" else genre.major_progressions
    scale = genre.minor_scale if mode == "minor" else genre.major_scale
    swing = genre.swing if meter is not SIX else 0.5
    return Plan(
        genre.name,
        tempo,
        Key(key_tonic, mode),
        meter,
        moods,
        lineup,
        progressions,
        scale,
        swing,
        density,
        _force(rng, genre.name, tempo),
        _register(rng),
    )


def _solo_plan(rng: np.random.Generator, tonic: int) -> Plan:
    names = tuple(SOLO_INSTRUMENTS)
    weights = np.array([_SOLO_WEIGHTS.get(n, 1.0) for n in names])
    name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    mode = "minor" if rng.random() < 0.5 else "major"
    tempo = float(round(float(np.exp(rng.uniform(np.log(56), np.log(156))))))
    patterns = SOLO_INSTRUMENTS[name]
    folk = INSTRUMENTS[name].family in ("guitar",) or name in (
        "harmonica",
        "tin whistle",
        "accordion",
        "banjo",
        "bagpipes",
    )
    source = "folk" if folk else "classical"
    genre = next(g for g in GENRES if g.name == source)
    meter = (FOUR, FOUR, FOUR, THREE, SIX)[int(rng.integers(5))]
    if INSTRUMENTS[name].family == "drums":
        meter = FOUR
        styles = {
            "percussion": ("latin", "samba"),
            "drum machine": ("house", "techno", "hip hop", "trap"),
            "rock drums": ("rock", "metal"),
            "drums": ("rock", "funk", "disco", "hip hop", "swing"),
        }[name]
        lines: tuple[Line, ...] = (Line("drums", (name,), styles),)
    elif name in ("bass guitar", "upright bass"):
        lines = (
            Line(
                "bass", (name,), ("walking", "funk", "rock") if name == "bass guitar" else ("walking", "two", "bossa")
            ),
        )
        meter = FOUR
    elif not patterns:
        lines = (Line("melody", (name,)),)
    elif rng.random() < 0.65 and INSTRUMENTS[name].family in ("keys", "guitar", "mallets", "organ"):
        lines = (Line("melody", (name,)), Line("chords", (name,), patterns, level=0.75))
    else:
        lines = (Line("pad" if name == "synth pad" else "chords", (name,), patterns),)
    if meter is SIX:
        tempo = float(round(max(44.0, tempo * 0.7)))
    lines = tuple(_settle(rng, line, meter) for line in lines)
    progressions = genre.minor_progressions if mode == "minor" else genre.major_progressions
    moods = _moods(rng, "solo", (), tempo, mode, meter)
    density = float(rng.uniform(0.25, 0.75))
    return Plan(
        "solo",
        tempo,
        Key(tonic, mode),
        meter,
        moods,
        lines,
        progressions,
        mode,
        0.5,
        density,
        _force(rng, "solo", tempo),
        _register(rng),
    )


_LOUD = ("rock", "metal", "techno", "house", "trance", "march", "disco", "funk")
_SOFT = ("ambient", "piano ballad", "lo-fi hip hop", "bossa nova")


def _force(rng: np.random.Generator, genre: str, tempo: float) -> int:
    """How hard the players play, added to every velocity: slow and tender pieces are softer."""
    middle = 8 if genre in _LOUD else -12 if genre in _SOFT else (tempo - 100) / 8
    return int(np.clip(round(float(rng.normal(middle, 6.0))), -24, 16))


def _register(rng: np.random.Generator) -> int:
    """Semitones by which the melody sits lower or higher than its instrument's usual centre."""
    return int((-5, 0, 0, 0, 5)[int(rng.integers(5))])


def _playable(genre: Genre, meter: Meter) -> bool:
    """Whether some pattern of every line of some line-up exists in a meter."""
    return any(all(_patterns_in(line, meter) for line in lineup) for lineup in genre.lineups)


def _patterns_in(line: Line, meter: Meter) -> tuple[str, ...]:
    tables = {"chords": CHORD_PATTERNS, "bass": BASS_PATTERNS, "drums": DRUM_PATTERNS}
    table = tables.get(line.role)
    if table is None or line.patterns == ("timpani",):
        return line.patterns or ("-",)
    return tuple(p for p in line.patterns if meter.name in table[p])


_FALLBACK = {"chords": "held", "bass": "roots", "drums": "ballad"}


def _settle(rng: np.random.Generator, line: Line, meter: Meter) -> Line:
    """The line with one instrument and one pattern that fits the meter."""
    patterns = _patterns_in(line, meter)
    pattern = patterns[int(rng.integers(len(patterns)))] if patterns else _FALLBACK[line.role]
    instrument = line.instruments[int(rng.integers(len(line.instruments)))]
    return replace(line, instruments=(instrument,), patterns=(pattern,))


def _one_voice_each(lineup: tuple[Line, ...]) -> tuple[Line, ...]:
    """Keep at most one line per role and instrument, so that no player doubles itself."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for line in lineup:
        mark = (line.role, line.instruments[0])
        if mark not in seen:
            seen.add(mark)
            kept.append(line)
    return tuple(kept)


def _moods(
    rng: np.random.Generator, genre: str, own: tuple[str, ...], tempo: float, mode: str, meter: Meter
) -> tuple[str, ...]:
    """Two or three moods: what tempo and mode say, and what the genre says."""
    pace = tempo * (1.3 if meter is SIX else 1.0)
    if pace < 84:
        common = (
            ("sad", "melancholic", "somber", "wistful") if mode == "minor" else ("calm", "peaceful", "gentle", "warm")
        )
    elif pace < 116:
        common = (
            ("moody", "mysterious", "serious", "pensive")
            if mode == "minor"
            else ("hopeful", "pleasant", "bright", "sweet")
        )
    else:
        common = (
            ("dark", "tense", "dramatic", "urgent") if mode == "minor" else ("happy", "joyful", "upbeat", "cheerful")
        )
    if genre in _LOUD:
        common = (
            ("dark", "brooding", "tense", "gritty")
            if mode == "minor"
            else ("positive", "confident", "bright", "upbeat")
        )
    picked = [str(m) for m in rng.choice(common, size=2, replace=False)]
    # A genre's own words are kept only where they do not contradict the mode and tempo.
    sunny = {
        "cheerful",
        "joyful",
        "sunny",
        "happy",
        "festive",
        "innocent",
        "playful",
        "uplifting",
        "triumphant",
        "warm",
    }
    lively = {"energetic", "lively", "festive", "driving", "danceable", "dancing"}
    fitting = [m for m in own if not (mode == "minor" and m in sunny) and not (pace < 84 and m in lively)]
    if fitting:
        picked.append(str(rng.choice(fitting)))
    return tuple(picked)


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
        sections.append(Section(_SECTION_NAMES.get(letter, letter), index * 4, 4, tuple(numerals)))
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
                    variant,
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
            parts.append(Part(line.instruments[0], line.role, _perform(rng, notes, plan, line, sections), line.level))
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


def _perform(
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
