"""Do strangers' words work as well as those that come along? Columns of systems in, figures per set of prompts out.

Two sets of prompts are answered by one system: their difference is that of two independent samples of prompts, so both
are resampled (Efron & Tibshirani 1993, ch. 8). Two systems on one set are compared prompt by prompt.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from cadenza.evaluate.intervals import Interval, share_interval
from cadenza.evaluate.paired import paired_difference
from cadenza.evaluate.report.compare import LEAST_PROMPTS, Contender
from cadenza.evaluate.report.figures import Gap, Range, SetDifference
from cadenza.evaluate.report.metrics import metric

MEASURES = ("tempo or its octave", "key, MIREX", "instruments", "genre")
LEAST_DIFFERENCE = -0.15
"""How much lower than the first set another may be."""
_DRAWS = 10_000


def gaps(contenders: Sequence[Contender], sets: Mapping[str, str], seed: int = 0) -> list[Gap]:
    """What each system reaches on each set, and how far that lies from the first set. `sets`: that of each prompt."""
    names = list(dict.fromkeys(sets.values()))
    if len(names) < 2:
        return []
    found = []
    for contender in contenders:
        for measure in MEASURES:
            scores = _by_set(contender, measure, sets)
            for name in names:
                if scores.get(name):
                    first = scores.get(names[0]) if name != names[0] else None
                    found.append(_gap(contender.measured.name, measure, name, scores[name], first, seed))
    return found


def set_differences(contenders: Sequence[Contender], sets: Mapping[str, str], seed: int = 0) -> list[SetDifference]:
    """Every pair of systems on every set: first less second, prompt by prompt, with its interval."""
    names = list(dict.fromkeys(sets.values()))
    found = []
    for (one, two), measure in ((pair, m) for pair in combinations(contenders, 2) for m in MEASURES):
        for name in names if len(names) > 1 else ():
            a, b = (
                {prompt: v for prompt, v in side.by_prompt(measure).items() if sets.get(prompt) == name}
                for side in (one, two)
            )
            prompts = [prompt for prompt in a if prompt in b]
            if len(prompts) >= LEAST_PROMPTS:
                difference = paired_difference([a[p] for p in prompts], [b[p] for p in prompts], seed).difference
                found.append(
                    SetDifference(
                        metric=measure, title=metric(measure).title, prompts=name, first=one.measured.name,
                        second=two.measured.name, difference=Range.of(difference), count=len(prompts),
                    )
                )  # fmt: skip
    return found


def _by_set(contender: Contender, measure: str, sets: Mapping[str, str]) -> dict[str, list[float]]:
    """The score of each prompt, by its set."""
    found: dict[str, list[float]] = {}
    for prompt, score in contender.by_prompt(measure).items():
        if prompt in sets:
            found.setdefault(sets[prompt], []).append(score)
    return found


def _gap(
    system: str, measure: str, name: str, scores: Sequence[float], first: Sequence[float] | None, seed: int
) -> Gap:
    share = share_interval(float(np.sum(scores)), len(scores))
    difference = None if not first else _difference(scores, first, seed)
    return Gap(
        metric=measure, title=metric(measure).title, system=system, prompts=name, result=Range.of(share),
        count=len(scores), difference=None if difference is None else Range.of(difference),
        within=None if difference is None else difference.mean >= LEAST_DIFFERENCE - 1e-9,
        surely=None if difference is None else difference.low >= LEAST_DIFFERENCE,
    )  # fmt: skip


def _difference(scores: Sequence[float], first: Sequence[float], seed: int) -> Interval:
    """Of two means of other prompts, by drawing both anew (percentiles)."""
    rng = np.random.default_rng(seed)
    a, b = np.asarray(scores, np.float64), np.asarray(first, np.float64)
    drawn = [side[rng.integers(0, side.size, (_DRAWS, side.size))].mean(axis=1) for side in (a, b)]
    low, high = np.quantile(drawn[0] - drawn[1], (0.025, 0.975))
    return Interval(float(a.mean() - b.mean()), float(low), float(high), len(a))
