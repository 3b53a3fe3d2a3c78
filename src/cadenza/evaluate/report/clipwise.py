"""Figures that each clip has: a measured set in, values per clip out, and what chance would reach.

Chance ("floor"): the same clip measured against what was asked for in other prompts, the next ones in order, so that
nothing is drawn. Values of one clip may be several (four instruments are four facts) or none (no key was asked for).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from cadenza.evaluate.control import control_scores
from cadenza.evaluate.divergence import kl_divergence
from cadenza.evaluate.drift import slope_per_minute
from cadenza.evaluate.embedders.base import Identity
from cadenza.evaluate.frechet import frechet_per_piece
from cadenza.evaluate.intervals import Interval, cluster_interval
from cadenza.evaluate.measurements import Joint, Labels, MeasuredClip, Measurements
from cadenza.evaluate.report.metrics import Metric, metric
from cadenza.evaluate.statistics import GaussianStatistics

SHUFFLES = 20
"""Other prompts that a clip is measured against for the floor, at most."""
LEAST_OF_GENRE = 5
"""True pieces of a genre that make a mean of it."""
LONG_SECONDS = 30.0

Values = list[list[float]]
"""Per clip, in the order of the set."""


@dataclass(frozen=True)
class Column:
    """One figure of every clip of a set."""

    metric: Metric
    values: Values
    identity: Identity | None = None
    floor: Values = field(default_factory=list)
    """Against other prompts; empty where words play no part."""

    @property
    def name(self) -> str:
        """Unique within a set: the figure, and who heard it."""
        return self.metric.name if self.identity is None else f"{self.metric.name} ({self.identity.name})"

    def mean(self, place: int) -> float | None:
        """Of one clip."""
        return float(np.mean(self.values[place])) if self.values[place] else None

    def interval(self, pieces: Sequence[str], seed: int) -> Interval | None:
        """Mean over all values, and its interval by resampling pieces; None without values."""
        return _interval(self.values, pieces, seed)

    def floor_interval(self, pieces: Sequence[str], seed: int) -> Interval | None:
        return _interval(self.floor, pieces, seed) if self.floor else None

    def count(self) -> int:
        return sum(len(found) for found in self.values)


def columns(measured: Measurements, reference: Measurements | None, others: Sequence[Measurements]) -> list[Column]:
    """All figures that the clips of a set have; those that nothing was asked for are left out.

    `others` are true recordings that a clip of the same name is paired with, beside those of the reference.
    """
    found = [
        *_song_distances(measured, reference),
        *_divergences(measured, [*([] if reference is None else [reference]), *others]),
        *_by_genre(measured, reference),
        *(_alignment(measured, heard) for heard in measured.joint.values()),
        *_controls(measured),
        *_sounds(measured.clips),
    ]
    return [column for column in found if any(column.values)]


def next_prompts(pieces: Sequence[str], place: int) -> list[int]:
    """The places of up to `SHUFFLES` clips of other prompts, from the next one on, each prompt once."""
    chosen: dict[str, int] = {}
    for step in range(1, len(pieces)):
        other = (place + step) % len(pieces)
        if pieces[other] != pieces[place]:
            chosen.setdefault(pieces[other], other)
        if len(chosen) == SHUFFLES:
            break
    return list(chosen.values())


# ---------------------------------------------------------------------------------------------------------- the figures


def _song_distances(measured: Measurements, reference: Measurements | None) -> Iterable[Column]:
    for name, heard in measured.embeddings.items():
        if reference is None or name not in reference.embeddings:
            continue
        statistics = GaussianStatistics.of(
            np.concatenate(reference.embeddings[name].windows), reference.embeddings[name].identity
        )
        distances = frechet_per_piece(statistics, heard.windows)
        yield Column(metric("song_distance"), [[value] for value in distances], heard.identity)


def _divergences(measured: Measurements, references: Sequence[Measurements]) -> Iterable[Column]:
    for name, heard in measured.labels.items():
        true: dict[str, np.ndarray] = {}
        for reference in references:
            if name in reference.labels and reference.labels[name].identity.digest == heard.identity.digest:
                true |= dict(zip(reference.ids, reference.labels[name].windows, strict=True))
        yield _paired(measured, heard, true)


def _paired(measured: Measurements, heard: Labels, true: Mapping[str, np.ndarray]) -> Column:
    """KL(true || made) of clips that a true recording of the same name, or of the name of their prompt, belongs to."""
    partner = [true.get(clip.id, true.get(clip.piece)) for clip in measured.clips]

    def between(i: int, j: int) -> list[float]:
        other = partner[j]
        return [] if other is None else [_kl(other, heard.windows[i])]

    return _with_floor(metric("kl"), measured.clips, between, heard.identity)


def _kl(true: np.ndarray, made: np.ndarray) -> float:
    """Of clips of different lengths only what both have is compared."""
    count = min(len(true), len(made))
    return kl_divergence(true[:count], made[:count]).forward


def _by_genre(measured: Measurements, reference: Measurements | None) -> Iterable[Column]:
    for name, heard in measured.labels.items():
        true = None if reference is None else reference.labels.get(name)
        if reference is not None and true is not None and true.identity.digest == heard.identity.digest:
            yield _towards(measured, heard, _genre_means(reference, name))


def _towards(measured: Measurements, heard: Labels, mean: Mapping[str, Float64[np.ndarray, "L"]]) -> Column:
    """KL(mean true piece of the genre || made)."""

    def between(i: int, j: int) -> list[float]:
        true = mean.get(measured.clips[j].asked.genre or "")
        return [] if true is None else [kl_divergence(true[None], heard.windows[i].mean(axis=0)[None]).forward]

    return _with_floor(metric("kl_genre"), measured.clips, between, heard.identity)


def _genre_means(reference: Measurements, labeller: str) -> dict[str, Float64[np.ndarray, "L"]]:
    """What a labeller hears in the mean true piece of each genre of which there are enough."""
    by_genre: dict[str, dict[str, list[np.ndarray]]] = {}
    for clip, windows in zip(reference.clips, reference.labels[labeller].windows, strict=True):
        if clip.asked.genre is not None:
            by_genre.setdefault(clip.asked.genre, {}).setdefault(clip.piece, []).append(windows.mean(axis=0))
    return {
        genre: np.mean([np.mean(found, axis=0) for found in of_piece.values()], axis=0, dtype=np.float64)
        for genre, of_piece in by_genre.items()
        if len(of_piece) >= LEAST_OF_GENRE
    }


def _alignment(measured: Measurements, heard: Joint) -> Column:
    has_words = np.abs(heard.text).sum(axis=1) > 0

    def between(i: int, j: int) -> list[float]:
        return [float(heard.audio[i] @ heard.text[j])] if has_words[j] else []

    return _with_floor(metric("text_alignment"), measured.clips, between, heard.identity)


def _controls(measured: Measurements) -> Iterable[Column]:
    clips = measured.clips
    pieces = [clip.piece for clip in clips]
    scores = [control_scores(clip.asked, clip.heard) for clip in clips]
    floors: list[dict[str, list[float]]] = []
    for place, clip in enumerate(clips):
        chance: dict[str, list[float]] = {}
        for other in next_prompts(pieces, place):
            for name, values in control_scores(clips[other].asked, clip.heard).items():
                chance.setdefault(name, []).extend(values)
        floors.append(chance)
    for name in dict.fromkeys(name for found in scores for name in found):
        yield Column(
            metric(name),
            [found.get(name, []) for found in scores],
            floor=[found.get(name, []) for found in floors],
        )


def _sounds(clips: Sequence[MeasuredClip]) -> Iterable[Column]:
    heard = [clip.heard for clip in clips]
    tunes = [[] if h.melody_similarity is None else [h.melody_similarity] for h in heard]
    yield Column(metric("chroma"), tunes)
    yield Column(metric("loudness"), [_finite(h.loudness_lufs) for h in heard])
    yield Column(metric("true_peak"), [_finite(h.true_peak_db) for h in heard])
    yield Column(metric("silence"), [[h.silent_share] for h in heard])
    yield Column(metric("clipping"), [[h.clipped_share] for h in heard])
    yield Column(metric("repetition"), [[h.repetition] for h in heard])
    yield Column(metric("stuck"), [[h.stuck_seconds] for h in heard])
    long = [h.duration_seconds >= LONG_SECONDS - 0.01 for h in heard]
    for name, segments in (
        ("loudness_drift", [h.loudness_segments for h in heard]),
        ("brightness_drift", [h.brightness_segments for h in heard]),
    ):
        slopes = [
            [slope_per_minute(s)] if is_long and len(s) > 1 else [] for is_long, s in zip(long, segments, strict=True)
        ]
        yield Column(metric(name), slopes)


# -------------------------------------------------------------------------------------------------------------- inside


def _with_floor(
    kind: Metric, clips: Sequence[MeasuredClip], between: Callable[[int, int], list[float]], identity: Identity
) -> Column:
    """`between(i, j)`: clip `i` against what was asked for in clip `j`."""
    pieces, places = [clip.piece for clip in clips], range(len(clips))
    floor = [[value for j in next_prompts(pieces, i) for value in between(i, j)] for i in places]
    return Column(kind, [between(i, i) for i in places], identity, floor)


def _interval(values: Values, pieces: Sequence[str], seed: int) -> Interval | None:
    flat = [(value, piece) for found, piece in zip(values, pieces, strict=True) for value in found]
    if not flat:
        return None
    return cluster_interval([value for value, _ in flat], [piece for _, piece in flat], seed=seed)


def _finite(value: float) -> list[float]:
    return [value] if math.isfinite(value) else []
