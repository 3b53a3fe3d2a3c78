"""Seed to plan: what is decided before the first note - genre, key, tempo, meter, line-up, moods, touch."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from cadenza.corpus.genre import FOUR, SIX, THREE, Genre, Line
from cadenza.corpus.genres import GENRES, SOLO_INSTRUMENTS
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.patterns import BASS_PATTERNS, CHORD_PATTERNS, DRUM_PATTERNS
from cadenza.corpus.score import Meter
from cadenza.corpus.theory import Key

_SOLO_SHARE = 0.33


_SOLO_WEIGHTS = {
    "piano": 7.0, "acoustic guitar": 3.0, "violin": 2.5, "cello": 2.0, "flute": 2.0, "harp": 2.0, "organ": 1.5,
    "music box": 1.5,
    "electric guitar": 2.0, "saxophone": 1.5, "trumpet": 1.5, "strings": 1.5, "choir": 1.5, "synth lead": 1.5,
    "rock drums": 0.5, "percussion": 0.7, "tuba": 0.4, "glockenspiel": 0.5, "bagpipes": 0.5, "sitar": 0.5,
    "bassoon": 0.5,
    "muted trumpet": 0.4, "viola": 0.5, "tin whistle": 0.5, "upright bass": 0.5, "steel drums": 0.5, "celesta": 0.5,
}  # fmt: skip


_MANNERS: dict[str, tuple[str, str, str]] = {
    # genre -> form, idiom of harmony, how it may change key; songs by default
    "classical": ("ternary", "classical", "related"),
    "baroque": ("binary", "classical", "related"),
    "waltz": ("ternary", "classical", "related"),
    "march": ("ternary", "classical", "related"),
    "children's music": ("ternary", "classical", ""),
    "jazz": ("aaba", "jazz", "related"),
    "bossa nova": ("aaba", "jazz", "related"),
    "blues": ("blues", "blues", ""),
    "metal": ("song", "metal", ""),
    "funk": ("song", "loop", ""),
    "disco": ("song", "loop", "lift"),
    "lo-fi hip hop": ("song", "jazz", ""),
    "hip hop": ("song", "loop", ""),
    "house": ("dance", "loop", ""),
    "techno": ("dance", "loop", ""),
    "trance": ("dance", "loop", ""),
    "synthwave": ("song", "loop", ""),
    "ambient": ("flow", "ambient", ""),
    "country": ("song", "folk", "lift"),
    "folk": ("song", "folk", ""),
    "celtic": ("binary", "folk", ""),
    "reggae": ("song", "loop", ""),
}


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first note.

    `tradition` is where harmony and scales come from, also for a solo; `form`, `idiom` and `wanders` are names that
    `form.FORMS`, `progressions.CADENCES` and `form.lay_out` know.
    """

    genre: str
    tradition: Genre
    tempo_bpm: float
    key: Key
    meter: Meter
    moods: tuple[str, ...]
    lineup: tuple[Line, ...]
    form: str
    idiom: str
    wanders: str
    swing: float
    density: float
    force: int
    lift: int

    @property
    def progressions(self) -> dict[str, tuple[str, ...]]:
        """Four-bar progressions of the tradition, by mode."""
        return {"major": self.tradition.major_progressions, "minor": self.tradition.minor_progressions}

    def scale(self, mode: str) -> str:
        """The scale that melodies use in a mode: a name in `theory.SCALES`."""
        return self.tradition.minor_scale if mode == "minor" else self.tradition.major_scale


def draw_plan(rng: np.random.Generator) -> Plan:
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
    swing = genre.swing if meter is not SIX else 0.5
    return Plan(
        genre.name,
        genre,
        tempo,
        Key(key_tonic, mode),
        meter,
        moods,
        lineup,
        *_MANNERS.get(genre.name, ("song", "pop", "lift")),
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
    moods = _moods(rng, "solo", (), tempo, mode, meter)
    density = float(rng.uniform(0.25, 0.75))
    return Plan(
        "solo",
        genre,
        tempo,
        Key(tonic, mode),
        meter,
        moods,
        lines,
        *_MANNERS[source],
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
    meters: dict[str, dict[str, Collection[str]]] = {
        "chords": {name: tuple(rows) for name, rows in CHORD_PATTERNS.items()},
        "bass": {name: tuple(rows) for name, rows in BASS_PATTERNS.items()},
        "drums": {name: tuple(rows) for name, rows in DRUM_PATTERNS.items()},
    }
    if line.role not in meters or line.patterns == ("timpani",):
        return line.patterns or ("-",)
    return tuple(p for p in line.patterns if meter.name in meters[line.role][p])


_FALLBACK = {"chords": "held", "bass": "roots", "drums": "ballad"}


def _settle(rng: np.random.Generator, line: Line, meter: Meter) -> Line:
    """The line with one instrument, and one or two patterns that fit the meter: for quiet and for big sections."""
    patterns = _patterns_in(line, meter) or (_FALLBACK[line.role],)
    drawn = tuple(patterns[int(i)] for i in rng.permutation(len(patterns))[: 1 + int(rng.random() < 0.6)])
    instrument = line.instruments[int(rng.integers(len(line.instruments)))]
    return replace(line, instruments=(instrument,), patterns=drawn)


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
