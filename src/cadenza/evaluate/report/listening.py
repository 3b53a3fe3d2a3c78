"""Which clips a reader hears, by a rule that leaves nothing to choose: measured clips in, samples for the page out."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.measurements import MeasuredClip, Measurements
from cadenza.evaluate.report.clipwise import Column
from cadenza.evaluate.report.figures import Sample, finite
from cadenza.evaluate.report.media import opus_file, spectrogram_png

LONGEST_SECONDS = 30.0
"""Of a clip that is played on the page; the rest is left out."""


@dataclass(frozen=True)
class Media:
    """A sound and its picture."""

    sound: bytes
    picture: bytes


def rule(count: int, loudness_lufs: float | None) -> str:
    """How `choose` works, for the page."""
    level = "at the level of the files" if loudness_lufs is None else f"at {loudness_lufs:g} LUFS"
    return (
        f"Of each system the {count} best, the {count} in the middle and the {count} worst clips by text alignment "
        f"(where nothing was asked for: by the Fréchet distance of single clips), equal ones by name; nobody picked. "
        f"All are played {level}, from the beginning, for {LONGEST_SECONDS:g} s at most."
    )


def choose(measured: Measurements, columns: Sequence[Column], count: int) -> list[tuple[str, int]]:
    """Rank and place in the set: the best, the middle and the worst `count`, each clip once."""
    places = _ranked(measured, _column(columns))
    count = min(count, len(places) // 3)
    middle = (len(places) - count) // 2
    parts = (
        ("best", places[:count]),
        ("median", places[middle : middle + count]),
        ("worst", places[len(places) - count :]),
    )
    return [(rank, place) for rank, part in parts for place in part]


def _column(columns: Sequence[Column]) -> Column | None:
    """What clips are ranked by."""
    for name in ("text_alignment", "song_distance"):
        for column in columns:
            if column.metric.name == name:
                return column
    return None


def _ranked(measured: Measurements, column: Column | None) -> list[int]:
    """Places from the best to the worst clip."""
    if column is None:
        return sorted(range(len(measured)), key=lambda place: measured.ids[place])
    sign = -1.0 if column.metric.better == "higher" else 1.0
    scores = {place: score for place in range(len(measured)) if (score := column.mean(place)) is not None}
    return sorted(scores, key=lambda place: (sign * scores[place], measured.ids[place]))


def samples(
    measured: Measurements,
    columns: Sequence[Column],
    sounds: Mapping[str, Path],
    count: int,
    loudness_lufs: float | None,
) -> list[tuple[Sample, Media]]:
    """The chosen clips whose files are at hand; one that cannot be read any more is left out."""
    found = []
    column = _column(columns)
    for rank, place in choose(measured, columns, count):
        clip = measured.clips[place]
        path = sounds.get(clip.id)
        if path is None:
            continue
        try:
            audio = Audio.read(path, 0.0, min(LONGEST_SECONDS, clip.heard.duration_seconds))
        except UserError:
            continue
        if loudness_lufs is not None:
            audio = audio.normalize(loudness_lufs)
        media = Media(opus_file(audio), spectrogram_png(audio))
        sample = Sample(
            system=measured.name, id=clip.id, rank=rank, text=clip.asked.text,
            ranked_by="" if column is None else column.metric.title.lower(),
            score=None if column is None else finite(column.mean(place)),
            sound=hashlib.sha256(media.sound).hexdigest(), facts=facts(clip),
        )  # fmt: skip
        found.append((sample, media))
    return found


def facts(clip: MeasuredClip) -> dict[str, str]:
    """What was asked for and what was heard, in words."""
    asked, heard = clip.asked, clip.heard
    tempo = "none" if heard.tempo.bpm is None else f"{heard.tempo.bpm:.0f} bpm"
    found = {"tempo": _both(_tempo(asked.tempo_bpm), tempo)}
    found["key"] = _both(asked.key, "none" if heard.key is None else heard.key.name)
    if heard.genres:
        found["genre"] = _both(asked.genre, heard.genre or "none")
    if heard.instruments:
        found["instruments"] = _both(", ".join(asked.instruments) or None, ", ".join(heard.named) or "none")
    if heard.melody_similarity is not None:
        found["melody"] = f"{heard.melody_similarity:.0%} of frames"
    found["loudness"] = f"{heard.loudness_lufs:.1f} LUFS"
    return found


def _both(asked: str | None, heard: str) -> str:
    return heard if not asked else f"asked {asked}, heard {heard}"


def _tempo(asked: float | tuple[float, float] | None) -> str | None:
    if asked is None:
        return None
    return f"{asked[0]:.0f} to {asked[1]:.0f} bpm" if isinstance(asked, tuple) else f"{asked:.0f} bpm"
