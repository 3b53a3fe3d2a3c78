"""MAUVE Audio Divergence (MAD, Huang et al. 2025, arXiv 2503.16669): -ln MAUVE of two sets of vectors, one per clip.

In: embeddings (in the paper MERT's last layer, the maximum over time). Out: 0 for sets that fall alike into clusters;
larger is worse. MAUVE (Pillutla et al. 2021) is the area under the frontier of the two Kullback-Leibler divergences
from mixtures of both, of the shares of each set in the clusters of a joint k-means.

Settings are those of mauve-text, which mad_metric calls: vectors of unit length, principal components that hold 90 % of
the variance, a cluster per ten vectors of the smaller set, scaling 5, 25 mixtures. The k-means is our own: seeds by
k-means++ (Arthur and Vassilvitskii 2007), float64, all vectors; faiss draws its seeds at random, in float32, and uses
256 vectors per cluster at most. Both keep the best of five runs, so figures differ by how well they cluster.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int

from cadenza.errors import UserError
from cadenza.evaluate.intervals import Interval, jackknife_interval

SCALING = 5.0
MIXTURES = 25
EXPLAINED = 0.9
RUNS, ITERATIONS = 5, 500


def mauve_divergence(
    reference: Float[np.ndarray, "_ _"], judged: Float[np.ndarray, "_ _"], clusters: int | None = None, seed: int = 0
) -> float:
    """MAD of two sets.

    Args:
        clusters: None: a tenth of the smaller set, at least 2.

    Even of two sets of one distribution it is not 0 but about 0.04 (200 or 1,000 normal vectors each; `mauve_interval`
    takes that away), and another seed changes it by 0.01 to 0.02.
    Raises UserError for sets of other widths, and for fewer vectors than clusters.
    """
    labels, clusters = _labels(reference, judged, clusters, seed)
    count = len(reference)
    return _divergence(_shares(labels[:count], clusters), _shares(labels[count:], clusters))


def mauve_interval(
    reference: Float[np.ndarray, "_ _"],
    pieces: Sequence[Float[np.ndarray, "_ _"]],
    clusters: int | None = None,
    draws: int = 50,
    seed: int = 0,
) -> Interval:
    """MAD less what the size of the judged set adds to it, and its 95 % interval; clusters and reference as they are.

    `pieces`: the vectors of all clips of each independent piece. One of `draws` groups of pieces is left out at a time
    (the jackknife); they are drawn by seed.
    """
    if not pieces:
        raise UserError("no pieces to judge: every clip was left out, or none was given")
    if not all(map(len, pieces)):
        raise UserError("a piece without vectors: leave it out")
    labels, clusters = _labels(reference, np.concatenate(pieces), clusters, seed)
    p, judged = _shares(labels[: len(reference)], clusters), labels[len(reference) :]
    order = np.random.default_rng(seed).permutation(len(pieces))
    of_piece = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    left_out, sizes = [], []
    for group in np.array_split(order, min(draws, len(pieces))):
        out = np.isin(of_piece, group)
        sizes.append(int(out.sum()))
        left_out.append(_divergence(p, _shares(judged[~out], clusters)) if len(group) < len(pieces) else math.nan)
    return jackknife_interval(_divergence(p, _shares(judged, clusters)), left_out, sizes, len(pieces))


def frontier_area(p: Float64[np.ndarray, "K"], q: Float64[np.ndarray, "K"]) -> float:
    """MAUVE of two histograms: 1 for equal ones, above 0 for all others (Pillutla et al. 2021, equations 1 and 2).

    The frontier runs through its two ends and 25 mixtures, straight in between, as in mauve-text.
    """
    weights = np.linspace(1e-6, 1 - 1e-6, MIXTURES)[:, None]
    mixtures = weights * p + (1 - weights) * q
    x = np.concatenate([[1.0], np.exp(-SCALING * _divergences(q, mixtures)), [0.0]])
    y = np.concatenate([[0.0], np.exp(-SCALING * _divergences(p, mixtures)), [1.0]])
    return float(((y[1:] + y[:-1]) / 2 * (x[:-1] - x[1:])).sum())


def _labels(
    reference: Float[np.ndarray, "_ _"], judged: Float[np.ndarray, "_ _"], clusters: int | None, seed: int
) -> tuple[Int[np.ndarray, "N"], int]:
    """The cluster of each vector of both sets, and how many clusters there are."""
    if reference.shape[1] != judged.shape[1]:
        raise UserError(
            f"vectors of {judged.shape[1]} values beside {reference.shape[1]}: measure both with one embedder"
        )
    least = min(len(reference), len(judged))
    clusters = max(2, round(least / 10)) if clusters is None else clusters
    if least < 1 or len(reference) + len(judged) < clusters:
        raise UserError(f"{len(reference)} and {len(judged)} vectors in {clusters} clusters: give more clips")
    together = np.concatenate([reference, judged]).astype(np.float64)
    if not np.isfinite(together).all():
        raise UserError("a vector is not finite: leave its clip out, or measure it again")
    return _cluster(_components(together), clusters, np.random.default_rng(seed)), clusters


def _shares(labels: Int[np.ndarray, "N"], clusters: int) -> Float64[np.ndarray, "K"]:
    return np.bincount(labels, minlength=clusters) / len(labels)


def _divergence(p: Float64[np.ndarray, "K"], q: Float64[np.ndarray, "K"]) -> float:
    return max(0.0, -math.log(frontier_area(p, q)))


def _divergences(p: Float64[np.ndarray, "K"], mixtures: Float64[np.ndarray, "R K"]) -> Float64[np.ndarray, "R"]:
    """KL(p || r) for each mixture, none of which is 0 where p is not."""
    known = p > 0
    return (p[known] * np.log(p[known] / mixtures[:, known])).sum(axis=1)


def _components(vectors: Float64[np.ndarray, "N D"]) -> Float64[np.ndarray, "N E"]:
    """Vectors of unit length in as few principal components as hold 90 % of their variance."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    known = vectors / np.where(lengths > 0, lengths, 1.0)
    known -= known.mean(axis=0)
    values, directions = np.linalg.eigh(known.T @ known)
    held = np.cumsum(np.maximum(values[::-1], 0.0))
    if held[-1] == 0.0:
        return known[:, :1]
    count = int(np.argmax(held >= EXPLAINED * held[-1])) + 1
    return known @ directions[:, ::-1][:, :count]


def _cluster(points: Float64[np.ndarray, "N E"], clusters: int, random: np.random.Generator) -> Int[np.ndarray, "N"]:
    """The cluster of each point: Lloyd's k-means, the best of some runs."""
    best, found = math.inf, np.zeros(len(points), dtype=np.int64)
    for _ in range(RUNS):
        centres = _seeds(points, clusters, random)
        labels = np.full(len(points), -1)
        for _ in range(ITERATIONS):
            squares = _squares(points, centres)
            nearest = squares.argmin(axis=1)
            if (nearest == labels).all():
                break
            labels = nearest
            sizes = np.bincount(labels, minlength=clusters)
            sums = np.zeros_like(centres)
            np.add.at(sums, labels, points)
            centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        within = float(squares.min(axis=1).sum())
        if within < best:
            best, found = within, labels
    return found


def _seeds(
    points: Float64[np.ndarray, "N E"], clusters: int, random: np.random.Generator
) -> Float64[np.ndarray, "K E"]:
    """k-means++: each next centre is a point, drawn in proportion to its squared distance from those so far."""
    chosen = [int(random.integers(len(points)))]
    squares = _squares(points, points[chosen])[:, 0]
    while len(chosen) < clusters:
        total = squares.sum()
        weights = squares / total if total > 0 else None
        chosen.append(int(random.choice(len(points), p=weights)))
        squares = np.minimum(squares, _squares(points, points[chosen[-1:]])[:, 0])
    return points[chosen]


def _squares(a: Float64[np.ndarray, "N E"], b: Float64[np.ndarray, "K E"]) -> Float64[np.ndarray, "N K"]:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * (a @ b.T)
    return np.maximum(squares, 0.0)
