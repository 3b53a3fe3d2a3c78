"""A mean over ratings that share listeners and items: neither the ratings of one person nor those of one prompt are
independent, and the figure is to hold for other listeners and other prompts.

In: values, who gave each and to what. Out: mean, 95 % interval, and where the spread comes from. The model is the one
of CrowdMOS (Ribeiro et al. 2011), value = mean + listener + item + rest, all drawn at random. The three variances come
from sums of squares within listeners, within items and in total (Henderson 1953, method I; for any pattern of who rated
what: Gao and Owen 2017, "Efficient moment calculations for variance components in large unbalanced crossed random
effects models"); the degrees of freedom from Satterthwaite (1946), at least those of the factor with fewer levels.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from cadenza.evaluate.intervals import Interval, t_quantile

_MOST_DEGREES = 1000  # beyond, Student's t is the normal distribution to three digits


@dataclass(frozen=True)
class CrossedMean:
    """A mean over crossed listeners and items.

    Args:
        interval: With its 95 % interval; endless where there is one listener or one item only.
        listener_sd: How much listeners differ from each other in level; likewise items, and what is left.
        p_value: Two-sided, of a mean of zero: for differences. 1 where the interval is endless.
    """

    interval: Interval
    listeners: int
    items: int
    listener_sd: float
    item_sd: float
    residual_sd: float
    degrees: int
    p_value: float


def crossed_mean(values: Sequence[float], listeners: Sequence[Hashable], items: Sequence[Hashable]) -> CrossedMean:
    """Mean of `values` [N], given by `listeners` [N] to `items` [N] (at most once each)."""
    assert len(values) == len(listeners) == len(items) > 0, "one listener and one item for each value"
    y = np.asarray(values, dtype=np.float64)
    by_listener, by_item = _numbers(listeners), _numbers(items)
    sizes_l, sizes_i = np.bincount(by_listener), np.bincount(by_item)
    total, num_l, num_i, mean = len(y), len(sizes_l), len(sizes_i), float(y.mean())
    if num_l == 1 or num_i == 1:
        endless = Interval(mean, -math.inf, math.inf, total)
        return CrossedMean(endless, num_l, num_i, math.nan, math.nan, math.nan, 0, 1.0)
    share_l, share_i = float(np.square(sizes_l).sum()) / total, float(np.square(sizes_i).sum()) / total
    parts = _components(y - mean, by_listener, by_item, sizes_l, sizes_i, share_l, share_i)
    degrees = min(num_l, num_i) - 1
    if parts is None:  # nobody rated two items, or nothing was rated twice: what differs cannot be told apart
        spread = max(_clustered(y - mean, by_listener), _clustered(y - mean, by_item))
        deviations = (math.nan, math.nan, math.nan)
    else:
        listener, item, rest = (max(0.0, part) for part in parts)
        from_l, from_i, from_rest = listener * share_l / total, item * share_i / total, rest / total
        spread = from_l + from_i + from_rest
        free = max(1, total - num_l - num_i + 1)
        shaky = (from_l + from_rest) ** 2 / (num_l - 1) + (from_i + from_rest) ** 2 / (num_i - 1) + from_rest**2 / free
        if shaky > 0:  # where variances were cut off at zero it says fewer than either factor has
            degrees = max(degrees, min(_MOST_DEGREES, int(spread**2 / shaky)))
        deviations = (math.sqrt(listener), math.sqrt(item), math.sqrt(rest))
    error = math.sqrt(spread)
    half = t_quantile(degrees) * error
    p_value = two_sided(mean / error, degrees) if error > 0 else float(mean == 0)
    interval = Interval(mean, mean - half, mean + half, total)
    return CrossedMean(interval, num_l, num_i, *deviations, degrees, p_value)


def _components(
    centred: np.ndarray,
    by_listener: np.ndarray,
    by_item: np.ndarray,
    sizes_l: np.ndarray,
    sizes_i: np.ndarray,
    share_l: float,
    share_i: float,
) -> tuple[float, float, float] | None:
    """Variances of listeners, items and the rest, unbiased (so that they can be below zero); None if they are mixed."""
    total = len(centred)
    divisor = share_l + share_i - total - 1
    if total == len(sizes_l) or total == len(sizes_i) or abs(divisor) < 1e-9 * total:
        return None
    within_l = _within(centred, by_listener, sizes_l) / (total - len(sizes_l))  # item + rest
    within_i = _within(centred, by_item, sizes_i) / (total - len(sizes_i))  # listener + rest
    whole = float(np.square(centred).sum())
    rest = (whole - (total - share_l) * within_i - (total - share_i) * within_l) / divisor
    return within_i - rest, within_l - rest, rest


def _within(centred: np.ndarray, groups: np.ndarray, sizes: np.ndarray) -> float:
    sums = np.bincount(groups, centred)
    return float(np.square(centred).sum() - (np.square(sums) / sizes).sum())


def _clustered(centred: np.ndarray, groups: np.ndarray) -> float:
    """Variance of the mean if whole groups were drawn."""
    sums = np.bincount(groups, centred)
    return float(np.square(sums).sum()) / len(centred) ** 2 * len(sums) / (len(sums) - 1)


def _numbers(names: Sequence[Hashable]) -> np.ndarray:
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names])


def two_sided(t: float, degrees: int) -> float:
    """Probability of a |t| as large under Student's t (Abramowitz and Stegun 26.7.3 and 26.7.4, finite sums)."""
    angle = math.atan2(abs(t), math.sqrt(degrees))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = degrees % 2
    term, inside = (math.cos(angle), 0.0) if odd else (1.0, 0.0)
    for power in range(1 + odd, degrees, 2):
        inside += term
        term *= square * power / (power + 1)
    inner = 2 / math.pi * (angle + sine * inside) if odd else sine * inside
    return min(1.0, max(0.0, 1.0 - inner))
