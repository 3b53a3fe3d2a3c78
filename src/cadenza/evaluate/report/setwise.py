"""Figures that only a whole set has: its distances from true music, and how alike its clips are.

In: a measured set and the reference, measured with the same embedders. Out: figures with N, interval, extrapolation,
embedder, and what to know before trusting them.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from cadenza.errors import UserError
from cadenza.evaluate.frechet import (
    FrechetInfinity,
    frechet_distance,
    frechet_infinity,
    frechet_interval,
    least_windows,
)
from cadenza.evaluate.intervals import Interval, jackknife_interval
from cadenza.evaluate.kernel import kernel_distance, kernel_interval, median_distance
from cadenza.evaluate.mauve import mauve_divergence, mauve_interval
from cadenza.evaluate.measurements import Embeddings, Measurements
from cadenza.evaluate.repetition import diversity
from cadenza.evaluate.report.figures import EmbedderRecord, Figure, Range, finite, finite_values
from cadenza.evaluate.report.metrics import METRICS
from cadenza.evaluate.statistics import GaussianStatistics

ODD_TWINS = 0.001
"""Share of pairs that are all but the same, below which it is chance: true music has some."""
LEAST_CLIPS_MAUVE = 100
"""Clips below which MAD falls into fewer than ten clusters."""
GROUPS = 20
"""Of pieces, left out one at a time for the interval of diversity."""
TRUSTED_FIT = 0.5
"""R squared of the extrapolation, below which it is called unsure."""


def distances(measured: Measurements, reference: Measurements, mauve: bool = True, seed: int = 0) -> list[Figure]:
    """FAD, KAD and MAD under every embedder that heard both. Raises UserError where none did, or not the same one."""
    common = [name for name in measured.embeddings if name in reference.embeddings]
    if not common:
        raise UserError(
            f"{measured.name} was heard by {_listed(measured)}, {reference.name} by {_listed(reference)}: "
            "measure both with the same embedder"
        )
    figures = []
    for name in common:
        figures += [fad(measured, reference, name, seed), kad(measured, reference, name, seed)]
        if mauve:
            figures.append(mad(measured, reference, name, seed))
    return figures


def fad(measured: Measurements, reference: Measurements, embedder: str, seed: int = 0) -> Figure:
    """The distance as it is, the interval of the distance without the bias of few clips, and FAD-infinity."""
    statistics, pieces = statistics_of(reference, embedder), measured.pieces(embedder)
    judged = GaussianStatistics.of(np.concatenate(pieces), measured.embeddings[embedder].identity)
    value = frechet_distance(statistics, judged)
    interval = frechet_interval(statistics, pieces, seed=seed)
    infinity = frechet_infinity(statistics, pieces, seed=seed)
    notes = [*_few(judged.count, judged.dim, "judged"), *_few(statistics.count, statistics.dim, "reference")]
    if len(infinity.sizes) > 2 and infinity.r_squared < TRUSTED_FIT:
        notes.append(f"FAD-infinity is unsure: its line explains {infinity.r_squared:.0%} of what is measured")
    if len(infinity.sizes) < 3:
        notes.append(f"{len(pieces)} pieces: FAD-infinity needs four or more")
    return _figure(
        "fad", measured, embedder, value, interval, len(pieces), notes,
        details={
            "fad_infinity": infinity.value, "r_squared": infinity.r_squared, "without_bias": interval.mean,
            "windows": judged.count, "reference_windows": statistics.count, "dim": judged.dim,
        },
        curve=_curve(infinity), reference=reference,
    )  # fmt: skip


def kad(measured: Measurements, reference: Measurements, embedder: str, seed: int = 0) -> Figure:
    """The kernel distance times 100, its bandwidth from the reference."""
    true = np.concatenate(_alike(measured, reference, embedder).windows)
    pieces = measured.pieces(embedder)
    windows = np.concatenate(pieces)
    bandwidth = median_distance(true)
    value = kernel_distance(true, windows, bandwidth)
    interval = kernel_interval(true, pieces, bandwidth, seed=seed)
    return _figure(
        "kad", measured, embedder, value, interval, len(pieces), [],
        details={"bandwidth": bandwidth, "without_bias": interval.mean, "windows": len(windows),
                 "reference_windows": len(true)}, reference=reference,
    )  # fmt: skip


def mad(measured: Measurements, reference: Measurements, embedder: str, seed: int = 0) -> Figure:
    """MAUVE of one vector per clip, the maximum over its windows; the interval is of the value without bias."""
    true = _of_clips(_alike(measured, reference, embedder).windows)
    made = _of_clips(measured.embeddings[embedder].windows)
    pieces: dict[str, list[np.ndarray]] = {}
    for clip, vector in zip(measured.clips, made, strict=True):
        pieces.setdefault(clip.piece, []).append(vector)
    notes = []
    if min(len(true), len(made)) < LEAST_CLIPS_MAUVE:
        notes.append(f"{min(len(true), len(made))} clips are few clusters: MAD needs {LEAST_CLIPS_MAUVE} or more")
    value = mauve_divergence(true, made, seed=seed)
    interval = mauve_interval(true, [np.stack(vectors) for vectors in pieces.values()], seed=seed)
    return _figure("mad", measured, embedder, value, interval, len(made), notes,
                   details={"without_bias": interval.mean, "reference_clips": len(true)},
                   reference=reference)  # fmt: skip


def variety(
    measured: Measurements, embedder: str, reference: Measurements | None = None, seed: int = 0
) -> Figure | None:
    """One less the mean cosine of clips of different prompts, by leaving out prompts; None for fewer than three.

    Pairs that are all but the same are a warning where they are twice as frequent as in the reference and not rare.
    """
    windows = measured.embeddings[embedder].windows
    pieces = [clip.piece for clip in measured.clips]
    names = list(dict.fromkeys(pieces))
    if len(names) < 3:
        return None
    found = diversity(windows, pieces)
    order = np.random.default_rng(seed).permutation(len(names))
    left_out, sizes = [], []
    for group in np.array_split(order, min(GROUPS, len(names))):
        out = {names[i] for i in group}
        kept = [place for place, piece in enumerate(pieces) if piece not in out]
        rest = diversity([windows[place] for place in kept], [pieces[place] for place in kept])
        left_out.append(1 - rest.mean_similarity)
        sizes.append(len(pieces) - len(kept))
    interval = jackknife_interval(1 - found.mean_similarity, left_out, sizes, len(names))
    twins, usual = len(found.near_duplicates), 0.0
    if reference is not None and embedder in reference.embeddings:
        true = diversity(reference.embeddings[embedder].windows, [clip.piece for clip in reference.clips])
        usual = len(true.near_duplicates) / max(1, true.pairs)
    is_odd = twins > max(2 * usual, ODD_TWINS) * found.pairs
    notes = [f"{twins} of {found.pairs} pairs of clips are all but the same (cosine 0.98 or more)"] if is_odd else []
    return _figure("diversity", measured, embedder, 1 - found.mean_similarity, interval, len(pieces), notes,
                   details={"near_duplicates": twins, "pairs": found.pairs})  # fmt: skip


def statistics_of(measured: Measurements, embedder: str) -> GaussianStatistics:
    """Of all windows of a set."""
    heard = measured.embeddings[embedder]
    return GaussianStatistics.of(np.concatenate(heard.windows), heard.identity)


# -------------------------------------------------------------------------------------------------------------- inside


def _figure(
    name: str, measured: Measurements, embedder: str, value: float, interval: Interval | None, count: int,
    notes: Iterable[str], details: dict[str, float | None], curve: tuple[tuple[int, float], ...] = (),
    reference: Measurements | None = None,
) -> Figure:  # fmt: skip
    kind = METRICS[name]
    low, high = (None, None) if interval is None else (finite(interval.low), finite(interval.high))
    return Figure(
        metric=name,
        title=kind.title,
        system=measured.name,
        result=Range(value=finite(value), low=low, high=high),
        count=count,
        of=kind.of,
        unit=kind.unit,
        better=kind.better,
        heard_by=embedder,
        embedder=EmbedderRecord.of(measured.embeddings[embedder].identity),
        details=finite_values(details),
        curve=curve,
        notes=(*notes, *_shared(measured, reference)),
    )


def _shared(measured: Measurements, reference: Measurements | None) -> list[str]:
    """A warning where a set is held against itself: nothing that was taken off for bias was there."""
    true = set() if reference is None else {clip.sound for clip in reference.clips}
    count = sum(clip.sound in true for clip in measured.clips)
    return [f"{count} of {len(measured)} clips are in the reference too: the distance is too small"] if count else []


def _few(windows: int, dim: int, what: str) -> list[str]:
    least = least_windows(dim)
    if windows >= least:
        return []
    return [
        f"{windows} windows of the {what} set: {least} or more are needed for {dim} dimensions; its covariance is "
        "regularised (OAS), the figure only holds beside others of as many"
    ]


def _curve(infinity: FrechetInfinity) -> tuple[tuple[int, float], ...]:
    return tuple(zip(infinity.sizes, infinity.values, strict=True))


def _alike(measured: Measurements, reference: Measurements, embedder: str) -> Embeddings:
    """The reference's, after making sure that both were heard by the very same network."""
    true, made = reference.embeddings[embedder], measured.embeddings[embedder]
    empty, other = (GaussianStatistics(heard.windows[0].shape[1], heard.identity) for heard in (true, made))
    empty.match(other)
    return true


def _of_clips(windows: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([found.max(axis=0) for found in windows])


def _listed(measured: Measurements) -> str:
    return ", ".join(measured.embeddings) or "no embedder"
