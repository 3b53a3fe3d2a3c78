"""A score to clips and their ground truth: where a piece is cut, what is true of each window, and its manifest line."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cadenza.corpus.captions import HELD_OUT_STYLES, Facts, captions
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.mixing import draw_mix
from cadenza.corpus.score import Note, Score
from cadenza.corpus.synth import SAMPLE_RATE

COMPOSER = 2
"""Which composer writes; a corpus is of one composer, since the same seed gives other pieces with another."""

CLIP_SECONDS = (10.3, 12.0)
_TAIL_SECONDS = 1.2
_SHARES = (("test", 0.02), ("valid", 0.04), ("train", 1.0))
_LATE_SECONDS = 3.0
_KICKS = (35, 36)


@dataclass(frozen=True)
class Clip:
    """A window of a piece, in seconds."""

    index: int
    start: float
    duration: float

    @property
    def end(self) -> float:
        return self.start + self.duration


def split_of(seed: int) -> str:
    """Whether a piece is for training, validation or test: 96, 2 and 2 %, by its seed alone."""
    draw = np.random.default_rng(np.random.SeedSequence([0x5711, seed])).random()
    return next(name for name, limit in _SHARES if draw < limit)


def cut(score: Score) -> list[Clip]:
    """Windows of a piece that do not overlap; most start at a bar line, and many pieces are heard from the start."""
    rng = np.random.default_rng(np.random.SeedSequence([0xC07, score.seed]))
    end = score.duration_seconds + _TAIL_SECONDS
    bar = score.bar_seconds
    clips: list[Clip] = []
    position = 0.0 if rng.random() < 0.6 else bar * float(rng.integers(1, 3))
    while position + CLIP_SECONDS[0] <= end:
        duration = min(float(rng.uniform(*CLIP_SECONDS)), end - position)
        clips.append(Clip(len(clips), round(position, 4), round(duration, 4)))
        position += duration
        if rng.random() < 0.75:
            # A little before the line, since players anticipate it by some milliseconds.
            position = max(position, float(np.ceil(position / bar)) * bar - 0.02)
        else:
            position += float(rng.uniform(0.0, 0.5))
    return clips


def facts_of(score: Score, clip: Clip) -> Facts:
    """What is true of a clip: the piece's facts, and only what is heard in the window.

    Drums alone have no key.
    """
    heard = score.instruments_between(clip.start, clip.end)
    first_notes = _first_notes(score, clip)
    return Facts(
        score.genre,
        tuple(heard),
        score.moods,
        score.tempo_bpm,
        score.key_between(clip.start, clip.end).name if has_key(heard) else "",
        score.meter.name,
        roles=tuple({part.role: part.instrument for part in reversed(score.parts) if part.instrument in heard}.items()),
        entering=tuple(
            name
            for name in heard
            if clip.start + _LATE_SECONDS <= first_notes[name] <= clip.end - _LATE_SECONDS and len(heard) > 1
        ),
        faint=tuple(name for name in first_notes if name not in heard),
        traits=_traits(score, clip, heard),
        colours=_colours(score),
        place=_place(score, clip),
        sections=tuple(dict.fromkeys(name for name, _ in _sections(score, clip))),
    )


def has_key(instruments: list[str] | tuple[str, ...]) -> bool:
    """Whether any of them plays notes of a scale: kits and drum machines do not."""
    sounds = [INSTRUMENTS[name].sound for name in instruments]
    return any(not str(sound).startswith(("kit", "machine")) for sound in sounds)


def _first_notes(score: Score, clip: Clip) -> dict[str, float]:
    """When each instrument is first heard in a window, in seconds of the piece."""
    scale, first = score.seconds_per_quarter, dict[str, float]()
    for part in score.parts:
        begins = [
            max(clip.start, note.start * scale)
            for note in part.notes
            if note.start * scale < clip.end and (note.start + note.duration) * scale > clip.start
        ]
        if begins:
            first[part.instrument] = min([first.get(part.instrument, clip.end), *begins])
    return first


def _notes(score: Score, clip: Clip, role: str) -> list[Note]:
    scale = score.seconds_per_quarter
    return [
        note
        for part in score.parts
        if part.role == role
        for note in part.notes
        if clip.start <= note.start * scale < clip.end
    ]


def _traits(score: Score, clip: Clip, heard: list[str]) -> tuple[str, ...]:
    """Ways of playing that can be told from the notes."""
    traits = []
    beat = score.meter.beat_quarters
    bass = sorted((note.start, note.pitch) for note in _notes(score, clip, "bass"))
    if len(bass) > 8 and beat == 1.0:
        starts, pitches = np.array(bass).T
        steps = np.abs(np.diff(starts) - 1.0) < 0.15
        if steps.mean() > 0.8 and (np.diff(pitches) != 0).mean() > 0.8:
            traits.append("walking bass")
    kicks = [note.start for note in _notes(score, clip, "drums") if note.pitch in _KICKS]
    if score.meter.name == "4/4" and kicks:
        scale = score.seconds_per_quarter
        beats = np.arange(np.ceil(clip.start / scale + 0.1), clip.end / scale - 0.1)
        near = np.abs(np.array(kicks)[:, None] - beats).min(0) < 0.1
        if near.mean() > 0.9 and len(kicks) < 1.5 * len(beats):
            traits.append("four-on-the-floor")
    return tuple(traits)


def _colours(score: Score) -> tuple[str, ...]:
    """What the mix is plainly heard to have."""
    mix = draw_mix(score)
    plain = {
        "vinyl": mix.crackle_db is not None,
        "tape": mix.wow > 0,
        "echo": mix.echo_level > 0,
        "hall": mix.rt60_seconds > 1.8 and mix.send > 0.25,
        "dry": mix.send < 0.05,
        "muffled": mix.high_cut_hz is not None,
        "surf": mix.surf,
        "sidechain": mix.pump > 0.3,
    }
    return tuple(name for name, has in plain.items() if has)


def _sections(score: Score, clip: Clip) -> list[tuple[str, float]]:
    """Names of the sections heard for a second or more, and for how long."""
    bar, found = score.bar_seconds, []
    for section in score.sections:
        begin = section.first_bar * bar
        inside = min(begin + section.num_bars * bar, clip.end) - max(begin, clip.start)
        if inside >= 1.0:
            found.append((section.name, inside))
    return found


def _place(score: Score, clip: Clip) -> str:
    """Which part of the piece a clip shows, where it shows little else."""
    if clip.end >= score.duration_seconds and clip.start > 0:
        return "ending"
    lasting: dict[str, float] = {}
    for name, seconds in _sections(score, clip):
        lasting[name] = lasting.get(name, 0.0) + seconds
    name = max(lasting, key=lambda name: lasting[name]) if lasting else ""
    if name and lasting[name] > 0.7 * clip.duration:
        return name
    return "beginning" if clip.start == 0 else ""


def describe(score: Score, clip: Clip) -> dict[str, Any]:
    """The manifest line of a clip."""
    facts = facts_of(score, clip)
    rng = np.random.default_rng(np.random.SeedSequence([0xCA97, score.seed, clip.index]))
    name = f"{score.seed:09d}-{clip.index:02d}"
    row = {
        "id": name,
        "path": f"audio/{name}.flac",
        "duration": round(int(clip.duration * SAMPLE_RATE) / SAMPLE_RATE, 5),
        "sample_rate": SAMPLE_RATE,
        "split": split_of(score.seed),
        "composer": COMPOSER,
        "seed": score.seed,
        "start_seconds": clip.start,
        "captions": captions(facts, rng),
        "genre": facts.genre,
        "instruments": list(facts.instruments),
        "moods": list(facts.moods),
        "tempo_bpm": facts.tempo_bpm,
        "key": score.key_between(clip.start, clip.end).name,
        "meter": facts.meter,
        "sections": list(facts.sections),
        "colours": list(facts.colours),
    }
    if row["split"] == "test":
        row["held_out_captions"] = captions(facts, rng, len(HELD_OUT_STYLES), held_out=True)
    return row
