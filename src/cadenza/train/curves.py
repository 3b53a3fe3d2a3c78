"""The curves of a run as a picture, drawn again while it runs.

In: `log.jsonl` of a run's folder. Out: `curves.png` beside it: what training and validation have in common, one panel
each, then values per codebook, then learning rates and gradient norms.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cadenza.errors import UserError
from cadenza.files import atomic_file
from cadenza.train.log import LOG, read_rows

PICTURE = "curves.png"
_CODEBOOK = re.compile(r"(.+)_q(\d+)$")
_NO_CURVES = re.compile(r"step|kind|.*seconds|.*_per_second|ppl.*|mfu|data_wait")
_COLUMNS = 3

Points = list[tuple[int, float]]
Curves = dict[str, Points]
"""A line per label."""


def draw_curves(folder: str | Path) -> Path:
    """Draw the curves of the run in `folder` and return the picture. UserError without a log, or without matplotlib."""
    folder = Path(folder)
    panels = curve_panels(read_log(folder))
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(f"curves need the package matplotlib ({error}): pip install cadenza[train]") from error
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(5 * min(_COLUMNS, len(panels)), 3.4 * rows), layout="constrained", dpi=80)
    for place, (title, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, min(_COLUMNS, len(panels)), place)
        for label, points in curves.items():
            steps, values = zip(*points, strict=True)
            is_valid = label.startswith("valid")
            axes.plot(steps, values, label=label, linewidth=1.6 if is_valid else 0.9, marker="." if is_valid else None)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("updates", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
        if title in _LOGARITHMIC:
            axes.set_yscale("log")
    with atomic_file(folder / PICTURE) as temporary:
        figure.savefig(temporary, format="png")
    return folder / PICTURE


_RATES, _GRADIENTS = "learning rate", "gradient norm"
_LOGARITHMIC = (_RATES, _GRADIENTS)


def curve_panels(rows: Iterable[dict[str, Any]]) -> dict[str, Curves]:
    """What is drawn: panels by title, in order. Steps are updates."""
    lines: dict[tuple[str, str], Points] = {}
    for row in rows:
        for name, value in row.items():
            if not _NO_CURVES.fullmatch(name) and isinstance(value, int | float):
                lines.setdefault((row["kind"], name), []).append((row["step"], value))
    panels: dict[str, Curves] = {}
    for (kind, name), points in lines.items():
        title, label = _place(kind, name, {known for _, known in lines})
        panels.setdefault(title, {})[label] = points
    last = [title for title in panels if title in _LOGARITHMIC]
    return {title: panels[title] for title in [*(title for title in panels if title not in last), *last]}


def _place(kind: str, name: str, known: set[str]) -> tuple[str, str]:
    """The panel of a value and its label there: `ce_null` stands beside `ce`, `ce_q0` beside the other codebooks."""
    rate, slash, part = name.partition("/")
    if slash:
        titles = {"learning_rate": _RATES, "gradient_norm": _GRADIENTS}
        return titles.get(rate, rate), part
    if book := _CODEBOOK.match(name):
        return f"{book[1]} per codebook", f"{kind} {book[2]}"
    head = name.rpartition("_")[0]
    return (head, f"{kind}, {name.removeprefix(head + '_')}") if head in known else (name, kind)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's log. UserError where there are none."""
    path = folder / LOG
    if not path.is_file():
        raise UserError(f"no {LOG} in {folder}: give the folder of a training run")
    rows = read_rows(path)
    if not rows:
        raise UserError(f"{path} has no lines yet: wait for the first")
    return rows
