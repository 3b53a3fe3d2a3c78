"""Figures that each clip has: a measured set in, values per clip out, and what chance would reach.

Chance ("floor"): the same clip measured against what was asked for in other prompts, the next ones in order, so that
nothing is drawn. Values of one clip may be several (four instruments are four facts) or none (no key was asked for).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from cadenza.evaluate.chroma_similarity import chroma_cosine
from cadenza.evaluate.control import control_scores
from cadenza.evaluate.divergence import kl_divergence
from cadenza.evaluate.drift import slope_per_minute
from cadenza.evaluate.embedders.base import Identity
from cadenza.evaluate.frechet import frechet_per_piece
from cadenza.evaluate.intervals import Interval, cluster_interval, share_interval
from cadenza.evaluate.measurements import MeasuredClip, Measurements
from cadenza.evaluate.report.metrics import CONTROL, Metric, metric
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
    heard_by: str = ""
    """What the set calls the network; two checkpoints of one network have two names."""
    floor: Values = field(default_factory=list)
    """Against other prompts; empty where words play no part."""

    @property
    def name(self) -> str:
        """Unique within a set: the figure, and who heard it."""
        return f"{self.metric.name} ({self.heard_by})" if self.heard_by else self.metric.name

    def mean(self, place: int) -> float | None:
        """Of one clip."""
        return float(np.mean(self.values[place])) if self.values[place] else None

    def interval(self, pieces: Sequence[str], seed: int) -> Interval | None:
        """Mean over all values, and its interval, pieces being what is independent; None without values."""
        return _interval(self.values, pieces, seed, self.metric.group == CONTROL)

    def floor_interval(self, pieces: Sequence[str], seed: int) -> Interval | None:
        return _interval(self.floor, pieces, seed, self.metric.group == CONTROL) if self.floor else None

    def count(self) -> int:
        return sum(len(found) for found in self.values)


def columns(
    measured: Measurements, reference: Measurements | None = None, originals: Sequence[Measurements] = ()
) -> list[Column]:
    """All figures that the clips of a set have; those that nothing was asked for are left out.

    Args:
        reference: True music.
        originals: Sets whose clips are the recordings that captions of the same name were written for.
    """
    found = [
        *_song_distances(measured, reference),
        *_divergences(measured, originals),
        *_by_genre(measured, reference),
        *(_alignment(measured, name) for name in measured.joint),
        *_controls(measured),
        _melody(measured),
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
        yield Column(metric("song_distance"), [[value] for value in distances], heard.identity, name)


def _divergences(measured: Measurements, originals: Sequence[Measurements]) -> Iterable[Column]:
    for name, heard in measured.labels.items():
        true: dict[str, np.ndarray] = {}
        for one in originals:
            if name in one.labels and one.labels[name].identity.digest == heard.identity.digest:
                true |= dict(zip(one.ids, one.labels[name].windows, strict=True))
        yield _paired(measured, name, true)


def _paired(measured: Measurements, name: str, true: Mapping[str, np.ndarray]) -> Column:
    """KL(true || made) of clips that a true recording of the same name, or of the name of their prompt, belongs to."""
    heard = measured.labels[name]
    partner = [true.get(clip.id, true.get(clip.piece)) for clip in measured.clips]

    def between(i: int, j: int) -> list[float]:
        other = partner[j]
        return [] if other is None else [_kl(other, heard.windows[i])]

    return _with_floor(metric("kl"), measured.clips, between, heard.identity, name)


def _kl(true: np.ndarray, made: np.ndarray) -> float:
    """Of clips of different lengths only what both have is compared."""
    count = min(len(true), len(made))
    return kl_divergence(true[:count], made[:count]).forward


def _by_genre(measured: Measurements, reference: Measurements | None) -> Iterable[Column]:
    for name, heard in measured.labels.items():
        true = None if reference is None else reference.labels.get(name)
        if reference is not None and true is not None and true.identity.digest == heard.identity.digest:
            yield _towards(measured, name, _genre_means(reference, name))


def _towards(measured: Measurements, name: str, mean: Mapping[str, Float64[np.ndarray, "L"]]) -> Column:
    """KL(mean true piece of the genre || made)."""
    heard = measured.labels[name]

    def between(i: int, j: int) -> list[float]:
        true = mean.get(measured.clips[j].asked.genre or "")
        return [] if true is None else [kl_divergence(true[None], heard.windows[i].mean(axis=0)[None]).forward]

    return _with_floor(metric("kl_genre"), measured.clips, between, heard.identity, name)


def _genre_means(reference: Measurements, labeller: str) -> dict[str, Float64[np.ndarray, "L"]]:
    """What a labeller hears in the mean true piece of each genre of which there are enough."""
    by_genre: dict[str, dict[str, list[np.ndarray]]] = {}
    for clip, windows in zip(reference.clips, reference.labels[labeller].windows, strict=True):
        if clip.asked.genre is not None:
            by_genre.setdefault(clip.asked.genre, {}).setdefault(clip.piece, []).append(windows.mean(axis=0))
    return {
        genre: np.stack([np.mean(found, axis=0, dtype=np.float64) for found in of_piece.values()]).mean(axis=0)
        for genre, of_piece in by_genre.items()
        if len(of_piece) >= LEAST_OF_GENRE
    }


def _alignment(measured: Measurements, name: str) -> Column:
    heard = measured.joint[name]
    has_words = np.abs(heard.text).sum(axis=1) > 0
    sounds, sentences = heard.audio.astype(np.float64), heard.text.astype(np.float64)
    texts = [clip.asked.text.strip() for clip in measured.clips]

    def between(i: int, j: int) -> list[float]:
        """By chance only where the other clip's words are others."""
        return [float(sounds[i] @ sentences[j])] if has_words[j] and (i == j or texts[i] != texts[j]) else []

    return _with_floor(metric("text_alignment"), measured.clips, between, heard.identity, name)


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


def _melody(measured: Measurements) -> Column:
    clips = measured.clips

    def between(i: int, j: int) -> list[float]:
        found = chroma_cosine(clips[j].tune, clips[i].pitches)
        return [] if found is None else [found]

    return _with_floor(metric("chroma"), clips, between)


def _sounds(clips: Sequence[MeasuredClip]) -> Iterable[Column]:
    heard = [clip.heard for clip in clips]
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
    kind: Metric,
    clips: Sequence[MeasuredClip],
    between: Callable[[int, int], list[float]],
    identity: Identity | None = None,
    heard_by: str = "",
) -> Column:
    """`between(i, j)`: clip `i` against what was asked for in clip `j`."""
    pieces, places = [clip.piece for clip in clips], range(len(clips))
    floor = [[value for j in next_prompts(pieces, i) for value in between(i, j)] for i in places]
    return Column(kind, [between(i, i) for i in places], identity, heard_by, floor)


def _interval(values: Values, pieces: Sequence[str], seed: int, is_share: bool) -> Interval | None:
    """By resampling pieces; of shares by Wilson's formula, since resampling is sure of what never varied."""
    flat = [(value, piece) for found, piece in zip(values, pieces, strict=True) for value in found]
    if not flat:
        return None
    found = [value for value, _ in flat]
    if is_share:
        count = len({piece for _, piece in flat})
        return share_interval(float(np.mean(found)) * count, count)
    return cluster_interval(found, [piece for _, piece in flat], seed=seed)


def _finite(value: float) -> list[float]:
    return [value] if math.isfinite(value) else []
