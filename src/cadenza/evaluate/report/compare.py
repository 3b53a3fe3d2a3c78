"""Systems against each other on the same prompts: measured systems in, paired tests out.

Scores of a prompt are the mean over its takes. Holm's correction counts every test of a report, so that one doubtful
result among many is not taken for one. A Fréchet distance has no value per prompt: there the interval of the difference
speaks, leaving out the same prompts of both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cadenza.evaluate.frechet import frechet_difference, least_windows
from cadenza.evaluate.intervals import Interval
from cadenza.evaluate.measurements import Measurements
from cadenza.evaluate.paired import holm, paired_difference
from cadenza.evaluate.report.clipwise import Column
from cadenza.evaluate.report.figures import Better, Range, Test
from cadenza.evaluate.report.metrics import METRICS, Metric
from cadenza.evaluate.report.setwise import statistics_of

LEAST_PROMPTS = 6
"""That both answered; of fewer even the clearest difference has p = 2 / 2^5 > 0.05."""


@dataclass(frozen=True)
class Contender:
    """A system with the figures of its clips."""

    measured: Measurements
    columns: Sequence[Column]

    def by_prompt(self, column: str) -> dict[str, float]:
        """Mean over the takes of each prompt that has values."""
        found: dict[str, list[float]] = {}
        values = next((c.values for c in self.columns if c.name == column), [])
        for clip, of_clip in zip(self.measured.clips, values, strict=False):
            if of_clip:
                found.setdefault(clip.piece, []).append(float(np.mean(of_clip)))
        return {prompt: float(np.mean(scores)) for prompt, scores in found.items()}


def compare(contenders: Sequence[Contender], reference: Measurements | None, seed: int = 0) -> list[Test]:
    """Every pair of systems by every figure that is tested, in the order of the systems."""
    tests: list[Test] = []
    for one, two in combinations(contenders, 2):
        if reference is not None:
            tests += _frechet(one, two, reference, seed)
        tests += _paired(one, two, seed)
    tested = [test.p_value for test in tests if test.p_value is not None]
    corrected = iter(holm(tested))
    return [_judged(test, next(corrected) if test.p_value is not None else None) for test in tests]


def _paired(one: Contender, two: Contender, seed: int) -> list[Test]:
    tests = []
    theirs = {column.name for column in two.columns}
    for column in one.columns:
        if not column.metric.tested or column.name not in theirs:
            continue
        first, second = one.by_prompt(column.name), two.by_prompt(column.name)
        prompts = [prompt for prompt in first if prompt in second]
        if len(prompts) < LEAST_PROMPTS:
            continue
        found = paired_difference([first[p] for p in prompts], [second[p] for p in prompts], seed)
        tests.append(_test(column.metric, column.heard_by, one, two, found.difference, found.p_value))
    return tests


def _frechet(one: Contender, two: Contender, reference: Measurements, seed: int) -> list[Test]:
    tests = []
    prompts = [p for p in dict.fromkeys(clip.piece for clip in one.measured.clips) if p in _prompts(two.measured)]
    if len(prompts) < LEAST_PROMPTS:
        return []
    for name in one.measured.embeddings:
        if name not in two.measured.embeddings or name not in reference.embeddings:
            continue
        pieces = [_pieces(side.measured, name, prompts) for side in (one, two)]
        if min(sum(map(len, side)) for side in pieces) < least_windows(pieces[0][0].shape[1]):
            continue  # what shrinks a covariance also shrinks differences: its interval cannot be relied on
        difference = frechet_difference(statistics_of(reference, name), pieces[0], pieces[1], seed=seed)
        tests.append(_test(METRICS["fad"], name, one, two, difference, None))
    return tests


def _prompts(measured: Measurements) -> set[str]:
    return {clip.piece for clip in measured.clips}


def _pieces(measured: Measurements, embedder: str, prompts: Sequence[str]) -> list[np.ndarray]:
    """The windows of each prompt, in the order of `prompts`."""
    found: dict[str, list[np.ndarray]] = {prompt: [] for prompt in prompts}
    for clip, windows in zip(measured.clips, measured.embeddings[embedder].windows, strict=True):
        if clip.piece in found:
            found[clip.piece].append(windows)
    return [np.concatenate(parts) for parts in found.values()]


def _test(
    kind: Metric, heard_by: str, one: Contender, two: Contender, difference: Interval, p_value: float | None
) -> Test:
    return Test(
        metric=kind.name,
        title=kind.title,
        heard_by=heard_by,
        first=one.measured.name,
        second=two.measured.name,
        difference=Range.of(difference),
        p_value=p_value,
        count=difference.count,
        verdict="",
    )


def _judged(test: Test, corrected: float | None) -> Test:
    """With the corrected p-value, and what follows, in words."""
    low, high = test.difference.low, test.difference.high
    value = test.difference.value or 0.0
    if test.p_value is None:
        sure = low is not None and high is not None and not low <= 0 <= high
    else:
        sure = corrected is not None and corrected < 0.05
    kind = METRICS.get(test.metric)
    better: Better = "higher" if kind is None else kind.better
    if not sure or math.isclose(value, 0.0, abs_tol=1e-15):
        verdict = "cannot be told apart"
    elif better == "neither":
        verdict = f"{test.first} has {'more' if value > 0 else 'less'}"
    else:
        verdict = f"{test.first if (value > 0) == (better == 'higher') else test.second} is better"
    return test.model_copy(update={"p_holm": corrected, "verdict": verdict})
