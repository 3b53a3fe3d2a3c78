"""Does the evaluator notice what is wrong with music, and only that? Five kinds of damage, all figures of a report.

    python benchmarks/damage.py CORPUS --out DIR [--clips 200]        prints tables for docs/evaluation.md

CORPUS is composed music (`cadenza corpus build`) that nothing here was trained on. Its pieces are damaged with noise,
a low-pass filter, a wrong tempo, captions of other pieces and a looped bar (`damage_sets.py`), and a report is made of
all versions beside the true ones, with other pieces as the reference (`cadenza evaluate run`). What should happen to
which figure was written down before anything was measured (`EXPECTED`); each cell says whether it did. The report is
kept in DIR. The last line is JSON.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from cadenza.cli.progress import counter
from cadenza.evaluate.clips import read_clips
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.measure import measure
from cadenza.evaluate.measurements import Measurements
from cadenza.evaluate.report.build import System, build
from cadenza.evaluate.report.config import ReportConfig, SystemConfig
from cadenza.evaluate.report.figures import Figure, Report, Test
from cadenza.evaluate.report.setwise import distances
from damage_sets import (
    CAPTIONS,
    CUTOFF_HZ,
    LOOP,
    NOISE_DB,
    REFERENCE,
    TEMPO,
    TRUE,
    low_pass_name,
    make_sets,
    noise_name,
)

NOISE, LOW_PASS = noise_name(20), low_pass_name(4000)
FIVE = (NOISE, LOW_PASS, TEMPO, CAPTIONS, LOOP)
DOSES = (tuple(map(noise_name, NOISE_DB)), tuple(map(low_pass_name, CUTOFF_HZ)))
"""Each weakest first."""

WORSE, LESS, NOTHING, EITHER = "+", "·", "0", "_"
"""Has to worsen, and more than all that is not so marked; has to worsen less than those; not a digit; no matter."""

EXPECTED: dict[str, str] = {
    #                       noise, low-pass, wrong tempo, shuffled captions, looped bar
    "fad":                  "+ + · 0 ·",
    "kad":                  "+ + · 0 ·",
    "mad":                  "+ + · 0 ·",
    "kl":                   "_ _ · + ·",
    "text_alignment":       "· · · + ·",
    "tempo or its octave":  "· · + + ·",
    "key, MIREX":           "· · · + ·",
    "instruments":          "· · · + ·",
    "genre":                "· · · + ·",
    "repetition":           "· · · 0 +",
}  # fmt: skip
"""Noise and a missing treble are heard by distances and change neither beat nor notes. Another tempo is true music: it
is only not what was asked for. Words that belong to another piece leave every distance exactly where it was. A looped
bar is true music to an ear that hears a second at a time. The genre may well be another under noise."""


class Change(NamedTuple):
    """A figure under one damage: its value, and how much worse than that of the true clips with its 95 % interval
    (None: not known). `same`: not a digit of the value is another."""

    value: float
    worse: float
    low: float | None
    high: float | None
    same: bool

    @property
    def is_sure(self) -> bool:
        """Worse beyond doubt, as far as there is an interval."""
        return self.worse > 0 if self.low is None else self.low > 0


class Cell(NamedTuple):
    """A change, what was expected, and whether it happened."""

    change: Change
    expected: str
    right: bool

    def text(self) -> str:
        """How much worse, bold where it has to be, and a cross where it is not right."""
        if self.expected == NOTHING and self.right:
            return "as true"
        _, worse, low, high, _ = self.change
        ends = "" if low is None or high is None else f" ({low:+.2g} to {high:+.2g})"
        shown = f"{worse:+.2g}{ends}"
        return f"{f'**{shown}**' if self.expected == WORSE else shown}{'' if self.right else ' ✗'}"

    def record(self) -> dict[str, Any]:
        """For the last line."""
        numbers = {name: None if v is None else round(float(v), 5) for name, v in self.change._asdict().items()}
        return {**numbers, "same": self.change.same, "expected": self.expected, "right": self.right}


def expected(metric: str) -> dict[str, str]:
    return dict(zip(FIVE, EXPECTED[metric].replace("_", "_").split(), strict=True))


# ------------------------------------------------------------------------------------------------------------- verdicts


def change(report: Report, metric: str, system: str) -> Change:
    """From true renders: paired and without bias, where the report has such a test, else of the two figures."""
    made, true = (_figure(report, metric, name) for name in (system, TRUE))
    sign = -1 if made.better == "higher" else 1
    same = _value(made) == _value(true)
    for test in report.tests:
        if test.metric == metric and {test.first, test.second} == {system, TRUE}:
            low, high = _ends(test, sign if test.first == system else -sign)
            turned = (test.difference.value or 0.0) * (sign if test.first == system else -sign)
            return Change(_value(made), turned + 0.0, low, high, same)  # no negative zero
    worse = sign * (_value(made) - _value(true))
    return Change(_value(made), worse + 0.0, *_apart(made, true, worse), same)


def judge(changes: Mapping[str, Change], marks: Mapping[str, str]) -> dict[str, Cell]:
    """The cells of one metric: `changes` and `marks` by damage."""
    marked = [found.worse for name, found in changes.items() if marks[name] == WORSE]
    unmarked = [found.worse for name, found in changes.items() if marks[name] == LESS]
    cells = {}
    for name, found in changes.items():
        right = {
            WORSE: found.is_sure and found.worse > max([0.0, *unmarked]),
            LESS: found.worse < min(marked),
            NOTHING: found.same,
            EITHER: True,
        }[marks[name]]
        cells[name] = Cell(found, marks[name], right)
    return cells


def verdicts(report: Report) -> dict[str, dict[str, Cell]]:
    """By metric and damage; without figures that the report does not have, since the ear knows no such instrument."""
    known = [metric for metric in EXPECTED if all(report.figure(metric, name) for name in (TRUE, *FIVE))]
    return {metric: judge({name: change(report, metric, name) for name in FIVE}, expected(metric)) for metric in known}


class Dose(NamedTuple):
    """A distance of the true clips and of more and more of one damage."""

    names: tuple[str, ...]
    values: list[float]


def doses(heard: Mapping[str, Measurements]) -> dict[str, list[Dose]]:
    """By distance: what more and more noise, and less and less treble, does to it."""
    names = dict.fromkeys((TRUE, *(name for kind in DOSES for name in kind)))
    found = {
        (figure.metric, name): _value(figure) for name in names for figure in distances(heard[name], heard[REFERENCE])
    }
    return {
        metric: [Dose(kind, [found[metric, name] for name in (TRUE, *kind)]) for kind in DOSES]
        for metric in ("fad", "kad", "mad")
    }


def is_rising(values: Sequence[float]) -> bool:
    return all(one < two for one, two in pairwise(values))


def _figure(report: Report, metric: str, system: str) -> Figure:
    found = report.figure(metric, system)
    assert found is not None, f"the report has no {metric} of {system}"
    return found


def _value(figure: Figure) -> float:
    assert figure.result.value is not None, f"{figure.metric} of {figure.system} is no number"
    return figure.result.value


def _ends(test: Test, sign: int) -> tuple[float | None, float | None]:
    low, high = test.difference.low, test.difference.high
    if low is None or high is None:
        return None, None
    return (low, high) if sign > 0 else (0.0 - high, 0.0 - low)


def _apart(made: Figure, true: Figure, worse: float) -> tuple[float | None, float | None]:
    """The interval of a difference from those of its sides, as if they were independent; it is rather too wide."""
    widths = []
    for side in (made, true):
        if side.result.low is None or side.result.high is None:
            return None, None
        widths.append((side.result.high - side.result.low) / 2)
    half = (widths[0] ** 2 + widths[1] ** 2) ** 0.5
    return worse - half, worse + half


# --------------------------------------------------------------------------------------------------------------- report


def hear(folders: Mapping[str, Path], cache: Path, ear: Listener) -> dict[str, Measurements]:
    """Everything that the ear that comes with Cadenza hears in each version."""
    heard = {}
    for name, folder in folders.items():
        clips = read_clips(folder, name=name)
        print(f"{name}: {len(clips)} clips", file=sys.stderr, flush=True)
        heard[name] = measure(clips, [ear], [ear], [ear], ear=ear, cache=cache, progress=counter("clips"))
    return heard


def report_of(heard: Mapping[str, Measurements]) -> Report:
    """The report on the five and the true clips, which are also what labels are compared with, clip by clip."""
    systems = [System(replace(heard[TRUE], name="truth"), "truth", TRUE)]
    systems += [System(heard[name], "measured", name) for name in (TRUE, *FIVE)]
    config = ReportConfig(
        title="Damaged music", prompts=None, reference=REFERENCE, samples=0, paired=True,
        systems=tuple(SystemConfig(name=system.name, measured=system.source) for system in systems),
    )  # fmt: skip
    return build(systems, heard[REFERENCE], config).report


def page(cells: Mapping[str, Mapping[str, Cell]], report: Report, rising: Mapping[str, Sequence[Dose]]) -> str:
    """Tables in Markdown."""
    lines = ["| figure | true | " + " | ".join(FIVE) + " |", "|---|--:|" + "---|" * len(FIVE)]
    for metric, row in cells.items():
        true = _figure(report, metric, TRUE)
        shown = " | ".join(cell.text() for cell in row.values())
        lines.append(f"| {true.title} | {round(_value(true), 4) + 0.0:.3g} | {shown} |")
    lines += ["", "| distance | true | " + " | ".join(name for names in DOSES for name in names) + " | rises |"]
    lines.append("|---|" + "--:|" * (1 + sum(map(len, DOSES))) + "---|")
    for metric, found in rising.items():
        values = [found[0].values[0], *(value for dose in found for value in dose.values[1:])]
        sign = "yes" if all(map(is_rising, (dose.values for dose in found))) else "**no**"
        lines.append(f"| {metric} | {' | '.join(f'{value:.3g}' for value in values)} | {sign} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None, ear: Listener | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of `cadenza corpus build`, held out from the ear's training")
    parser.add_argument("--out", type=Path, required=True, help="where the versions, what was heard and the report go")
    parser.add_argument("--clips", type=int, default=200, help="clips per version; as many others are the reference")
    options = parser.parse_args(arguments)
    folders = make_sets(options.corpus, options.out, options.clips, counter("clips, all versions"))
    heard = hear(folders, options.out / "heard", ear or Listener.embedded())
    report = report_of(heard)
    (options.out / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    cells, rising = verdicts(report), doses(heard)
    print(page(cells, report, rising))
    right = {name: sum(cell.right for cell in row.values()) for name, row in cells.items()}
    print(
        json.dumps(
            {
                "clips": options.clips,
                "cells": {m: {name: cell.record() for name, cell in row.items()} for m, row in cells.items()},
                "doses": {m: [dose.values for dose in found] for m, found in rising.items()},
                "right": sum(right.values()),
                "of": len(FIVE) * len(cells),
            }
        )
    )


if __name__ == "__main__":
    main()
