"""The figures of a report as pictures: one for each, with words beside it."""

from collections.abc import Mapping
from html import escape

from cadenza.evaluate.report.build import Built, groups_of
from cadenza.evaluate.report.figures import Figure
from cadenza.evaluate.report.metrics import metric
from cadenza.evaluate.report.plots import Bar, extrapolation_plot, interval_plot, strip_plot

SIDES = {"higher": "higher is better", "lower": "lower is better", "neither": "no side is better"}
CLIP_BY_CLIP = ("song_distance", "text_alignment")
"""Figures of which every clip is shown."""


def pictures(built: Built) -> str:
    """Headings, sentences and drawings, in HTML."""
    parts = []
    kinds = {system.name: system.kind for system in built.report.systems}
    for names in groups_of(built.report).values():
        for name, heard_by in built.report.rows(names):
            found = [f for f in built.report.figures if (f.metric, f.heard_by) == (name, heard_by)]
            parts.append(_picture(found, kinds))
            if name == "fad":
                parts.append(_extrapolation(found))
            if name in CLIP_BY_CLIP:
                parts.append(_clips(built, found))
    return "".join(parts)


def _picture(figures: list[Figure], kinds: Mapping[str, str]) -> str:
    kind, embedder = metric(figures[0].metric), figures[0].embedder
    heard = f" ({figures[0].heard_by}, weights {embedder.weights[:12]})" if embedder else ""
    axis = f"{kind.title}{f', {kind.unit}' if kind.unit else ''}: {SIDES[kind.better]}"
    bars = [bar for figure in figures for bar in _bars(figure, kinds[figure.system])]
    return (
        f'<h3>{escape(kind.title + heard)}</h3><p class="soft">{escape(kind.what)}</p>'
        f"{interval_plot(bars, kind.title, axis)}"
    )


def _bars(figure: Figure, kind: str) -> list[Bar]:
    """A row for the figure, and one for what chance reaches."""
    bars = []
    if figure.middle is not None:
        bars.append(Bar(figure.system, figure.middle, figure.result.low, figure.result.high, kind))
    floor = figure.floor
    if floor is not None and floor.value is not None and kind not in ("truth", "ceiling"):
        bars.append(Bar(f"{figure.system}, other captions", floor.value, floor.low, floor.high, "floor"))
    return bars


def _extrapolation(figures: list[Figure]) -> str:
    lines = [
        (f.system, [n for n, _ in f.curve], [v for _, v in f.curve], f.details["fad_infinity"] or 0.0)
        for f in figures
        if len(f.curve) > 1
    ]
    return extrapolation_plot(lines, "Fréchet distance by number of windows") if lines else ""


def _clips(built: Built, figures: list[Figure]) -> str:
    """Every clip of every system."""
    name, heard_by = figures[0].metric, figures[0].heard_by
    column = f"{name} ({heard_by})" if heard_by else name
    groups = [
        (f.system, [row[column] for row in built.rows if row["system"] == f.system and row.get(column) is not None])
        for f in figures
    ]
    title = metric(name).title
    return strip_plot(groups, f"{title}, every clip", f"{title}: every clip, and the median")
