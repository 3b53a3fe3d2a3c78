"""Which of two did they prefer: votes in, strengths of the systems with intervals out.

Bradley and Terry (1952) with ties as Davidson (1970) has them: of systems with strengths a and b the first wins in
proportion to e^a, the second to e^b, and neither to v e^((a + b) / 2). Fitted by maximum likelihood (Newton's method).

Where it exists: if one group of systems never lost against the rest, no finite strengths are the most likely (Ford
1957), nor where ties explain all votes that were lost (`decided`). Then, and only then, each system gets half a won and
half a lost vote against an opponent of average strength, which keeps it finite; the result says so (`prior`), and such
strengths are at least as far apart as they say.

Votes of one listener are no more independent than those about one prompt: the variance is clustered by both (Cameron,
Gelbach and Miller 2011) and never below that of independent votes.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from cadenza.evaluate.intervals import Interval, t_quantile
from cadenza.evaluate.ratings.means import two_sided

PRIOR_VOTES = 0.5
_STEPS, _TOLERANCE = 100, 1e-10


@dataclass(frozen=True)
class Difference:
    """How much stronger the first of two systems is, on the scale of log odds; `p_value` of no difference."""

    first: int
    second: int
    interval: Interval
    p_value: float


@dataclass(frozen=True)
class PairModel:
    """Strengths, natural logarithms, of mean zero.

    Args:
        tie: Davidson's v; the share of "no preference" between equals is v / (2 + v).
        prior: Votes added to each system's sides; 0 where the votes alone decide.
    """

    strengths: tuple[Interval, ...]
    tie: float
    prior: float
    differences: tuple[Difference, ...]

    def chance(self, first: int, second: int) -> float:
        """That the first is preferred, where one is."""
        return 1 / (1 + math.exp(self.strengths[second].mean - self.strengths[first].mean))


def fit_pairs(
    first: Sequence[int],
    second: Sequence[int],
    outcomes: Sequence[float],
    listeners: Sequence[Hashable],
    items: Sequence[Hashable],
    systems: int,
) -> PairModel:
    """Fit votes between systems 0 .. `systems` - 1: an outcome below 0 prefers the first, above 0 the second."""
    assert len(first) == len(second) == len(outcomes) == len(listeners) == len(items) > 0, "one of each for every vote"
    left, right, signs = np.asarray(first), np.asarray(second), np.sign(np.asarray(outcomes, dtype=np.float64))
    prior = 0.0 if decided(left, right, signs, systems) else PRIOR_VOTES
    has_ties = bool((signs == 0).any())
    votes = _Votes.of(left, right, signs, systems, has_ties, prior)
    point = votes.solve()
    inverse = np.linalg.pinv(votes.information(point), hermitian=True)
    robust = inverse @ _clustered(votes.scores(point), listeners, items) @ inverse
    groups = min(len(set(listeners)), len(set(items)))
    degrees = max(1, groups - 1)
    point[:systems] -= point[:systems].mean()

    def interval(contrast: np.ndarray, count: int) -> tuple[Interval, float]:
        mean = float(contrast @ point)
        if groups < 2:
            return Interval(mean, -math.inf, math.inf, count), 1.0
        error = math.sqrt(max(float(contrast @ inverse @ contrast), float(contrast @ robust @ contrast)))
        half = t_quantile(degrees) * error
        return Interval(mean, mean - half, mean + half, count), two_sided(mean / error, degrees)

    unit = np.eye(systems + 1)
    middle = np.append(np.full(systems, 1 / systems), 0.0)
    counts = [int(((left == one) | (right == one)).sum()) for one in range(systems)]
    strengths = tuple(interval(unit[one] - middle, counts[one])[0] for one in range(systems))
    differences = []
    for one in range(systems):
        for other in range(one + 1, systems):
            both = ((left == one) & (right == other)) | ((left == other) & (right == one))
            differences.append(Difference(one, other, *interval(unit[one] - unit[other], int(both.sum()))))
    return PairModel(strengths, math.exp(point[-1]) if has_ties else 0.0, prior, tuple(differences))


def decided(left: np.ndarray, right: np.ndarray, signs: np.ndarray, systems: int) -> bool:
    """Whether the votes alone have most likely strengths, and a most likely v, that are finite.

    Ford's condition: from every system a chain of votes won or tied leads to every other one. Where there are ties, v
    must be held from above too: it grows without end if steps of strength exist that are 1 or more for every vote won
    and 1 or less for every tie; a cycle of more votes won than tied rules that out.
    """
    winner, loser = np.where(signs <= 0, left, right), np.where(signs <= 0, right, left)
    won, tied = signs != 0, signs == 0
    steps = np.full((systems, systems), np.inf)  # how much stronger the second may be than the first
    np.fill_diagonal(steps, 0)
    for one, other in ((winner, loser), (loser, winner)):
        steps[one[tied], other[tied]] = 1
    steps[winner[won], loser[won]] = -1
    for middle in range(systems):  # Floyd and Warshall
        steps = np.minimum(steps, steps[:, middle, None] + steps[None, middle])
    return bool(np.isfinite(steps).all()) and (not tied.any() or bool((np.diag(steps) < 0).any()))


@dataclass(frozen=True)
class _Votes:
    """Votes as choices between vectors: the systems' own, and half of each and the tie's."""

    options: np.ndarray
    """[votes, 2 or 3, systems + 1]"""
    chosen: np.ndarray
    weights: np.ndarray
    real: int
    """So many are votes; behind them stand those of the prior."""

    @classmethod
    def of(
        cls, left: np.ndarray, right: np.ndarray, signs: np.ndarray, systems: int, has_ties: bool, prior: float
    ) -> "_Votes":
        unit = np.eye(systems + 1)
        unit[systems] = 0  # also the opponent of average strength
        one, other = unit[left], unit[right]
        chosen = np.where(signs < 0, 0, np.where(signs > 0, 1, 2))
        weights = np.ones(len(left))
        if prior:
            each = np.repeat(np.arange(systems), 2)
            one, other = (
                np.concatenate([one, unit[each]]),
                np.concatenate([other, np.zeros((2 * systems, systems + 1))]),
            )
            chosen = np.concatenate([chosen, np.tile([0, 1], systems)])
            weights = np.concatenate([weights, np.full(2 * systems, prior)])
        options = [one, other]
        if has_ties:
            tie = (one + other) / 2
            tie[:, systems] = 1
            options.append(tie)
        return cls(np.stack(options, axis=1), chosen, weights, len(left))

    def solve(self) -> np.ndarray:
        """The most likely strengths and logarithm of v."""
        point = np.zeros(self.options.shape[2])
        best = self.likelihood(point)
        for _ in range(_STEPS):
            step = np.linalg.pinv(self.information(point), hermitian=True) @ self._scores(point).sum(axis=0)
            scale = 1.0
            while (found := self.likelihood(point + scale * step)) < best and scale > 1e-6:
                scale /= 2
            point, gain, best = point + scale * step, found - best, found
            if gain < _TOLERANCE:
                break
        return point

    def likelihood(self, point: np.ndarray) -> float:
        return float(self.weights @ np.log(self._chances(point)[np.arange(len(self.chosen)), self.chosen]))

    def scores(self, point: np.ndarray) -> np.ndarray:
        """Of the votes alone: where each would pull. [votes, systems + 1]"""
        return self._scores(point)[: self.real]

    def information(self, point: np.ndarray) -> np.ndarray:
        chances = self._chances(point)
        mean = np.einsum("vo,vod->vd", chances, self.options)
        away = self.options - mean[:, None]
        return np.einsum("v,vo,vod,voe->de", self.weights, chances, away, away, optimize=True)

    def _scores(self, point: np.ndarray) -> np.ndarray:
        mean = np.einsum("vo,vod->vd", self._chances(point), self.options)
        return self.weights[:, None] * (self.options[np.arange(len(self.chosen)), self.chosen] - mean)

    def _chances(self, point: np.ndarray) -> np.ndarray:
        worth = self.options @ point
        worth = np.exp(worth - worth.max(axis=1, keepdims=True))
        return worth / worth.sum(axis=1, keepdims=True)


def _clustered(scores: np.ndarray, listeners: Sequence[Hashable], items: Sequence[Hashable]) -> np.ndarray:
    """Spread of the sum of scores if listeners and items were drawn anew."""
    both = list(zip(listeners, items, strict=True))
    return _spread(scores, listeners) + _spread(scores, items) - _spread(scores, both)


def _spread(scores: np.ndarray, groups: Sequence[Hashable]) -> np.ndarray:
    sums: dict[Hashable, np.ndarray] = {}
    for group, score in zip(groups, scores, strict=True):
        sums[group] = sums.get(group, 0) + score
    if len(sums) < 2:
        return np.zeros((scores.shape[1], scores.shape[1]))
    table = np.stack(list(sums.values()))
    return table.T @ table * (len(sums) / (len(sums) - 1))
