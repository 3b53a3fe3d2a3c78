"""Tracks of one style, composed: pieces of one genre of `cadenza.corpus`, played by other instruments than its own.

In: a style and a number of tracks. Out: a folder of FLAC files, each with its words beside it in a text file, as a
person would keep a folder of own tracks. The seeds are used by no corpus, and the line-ups occur in none: a model that
was trained on the composer's corpora knows the notes of such a style, but not its sound.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cadenza.audio import Audio
from cadenza.corpus.compose import compose
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.level import LoudnessMeter, set_level
from cadenza.corpus.render import render
from cadenza.corpus.score import Part, Score
from cadenza.corpus.synth import SAMPLE_RATE

FIRST_SEED = 60_000_000
"""Corpora are built from 0 to 11, a million pieces each; `hum.py` begins at 90 million."""
PLACES = 100_000
LOUDNESS_LUFS, PEAK_DB = -16.0, -1.0


@dataclass(frozen=True)
class Style:
    """A genre and who plays which role; roles that are not named keep the genre's own players. `place` tells styles
    apart: its seeds begin there."""

    name: str
    place: int
    genre: str
    players: Mapping[str, str] = field(default_factory=dict)
    words: str = ""


STYLES = {
    style.name: style
    for style in (
        Style(
            "synth-baroque",
            0,
            "baroque",
            {
                "melody": "synth lead",
                "counter": "synth pluck",
                "chords": "synth pluck",
                "pad": "synth pad",
                "bass": "acid bass",
            },
            "baroque counterpoint on synthesisers",
        ),
        Style(
            "village-reggae",
            1,
            "reggae",
            {"melody": "accordion", "chords": "kalimba", "bass": "tuba", "drums": "marching drums"},
            "reggae played by a village band: kalimba, accordion, tuba, marching drums",
        ),
        Style(
            "bagpipe-waltz",
            2,
            "waltz",
            {"melody": "bagpipes", "counter": "tin whistle", "chords": "banjo", "pad": "choir", "bass": "slap bass"},
            "a waltz for bagpipes and banjo",
        ),
    )
}
CONTROL = Style("rock", 9, "rock", {}, "a rock band with electric guitars")


def write_tracks(style: Style, folder: Path, count: int, seconds: float, first: int = 0) -> list[Path]:
    """Track `first` and those behind it, `count` in all; files that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, score in zip(range(first + count), scores(style, seconds), strict=False):
        if number < first:
            continue
        path = folder / f"{style.name}-{number:02d}.flac"
        if not path.exists():
            samples = render(score)
            lufs = LoudnessMeter(samples, SAMPLE_RATE).lufs(0.0, len(samples) / SAMPLE_RATE)
            Audio(set_level(samples, lufs, LOUDNESS_LUFS, PEAK_DB)[None], SAMPLE_RATE).write(path, loudness_lufs=None)
            path.with_suffix(".txt").write_text(caption(style, score) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def scores(style: Style, seconds: float) -> Iterator[Score]:
    """Pieces of the style, endlessly, always the same ones."""
    start = FIRST_SEED + style.place * PLACES
    for seed in range(start, start + PLACES):
        score = compose(seed, seconds)
        if score.genre == style.genre:
            yield replace(score, parts=tuple(_played(part, style.players.get(part.role)) for part in score.parts))


def caption(style: Style, score: Score) -> str:
    """What a person would write beside the track: the style, its mood and tempo."""
    return f"{style.words}, {score.moods[0]}, {score.tempo_bpm:.0f} bpm"


def _played(part: Part, player: str | None) -> Part:
    """The part on another instrument, notes outside its range moved by octaves."""
    if player is None:
        return part
    instrument = INSTRUMENTS[player]
    if part.role == "drums":
        return replace(part, instrument=player)
    notes = []
    for note in part.notes:
        pitch = note.pitch
        while pitch < instrument.low:
            pitch += 12
        while pitch > instrument.high:
            pitch -= 12
        notes.append(replace(note, pitch=pitch))
    return replace(part, instrument=player, notes=tuple(notes))
