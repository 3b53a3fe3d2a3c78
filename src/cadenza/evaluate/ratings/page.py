"""The analysis of a listening test as one HTML page that needs nothing else: tables, and plots as inline SVG.

In: the object of `analysis.analyse`. Out: HTML. Filtered figures in colour, those of everybody beside them in grey,
those of papers as hollow marks with their source.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

_STYLE = """
:root { color-scheme: light dark; --soft: #8884; --mark: #2f6fd0; }
body { max-width: 60rem; margin: 0 auto; padding: 0 1rem 3rem; font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; border-top: 1px solid var(--soft); padding-top: 1rem; }
table { border-collapse: collapse; margin: .8rem 0; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--soft); vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { width: 100%; height: auto; margin: .5rem 0; } svg text { fill: currentColor; font: 13px system-ui, sans-serif; }
.small { font-size: .9rem; opacity: .8; }
"""
_WIDTH, _LEFT, _RIGHT, _ROW = 760, 200, 20, 34


class Mark(NamedTuple):
    """A figure and its interval, where it has one."""

    mean: float | None
    low: float | None
    high: float | None
    style: str
    title: str


def render(analysis: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The page. `labels`: what each question is called."""
    parts = [f"<h1>{escape(analysis['title'])}</h1>", _who(analysis)]
    for protocol, question in analysis["questions"].items():
        parts.append(f"<h2>{escape(labels.get(protocol, protocol))}</h2>")
        parts.append(_question(question, analysis["systems"], analysis["reference"]))
    if analysis["pairs"]:
        parts.append(f"<h2>{escape(labels.get('pairs', 'Pairs'))}</h2>")
        parts.append(_pairs(analysis["pairs"]))
    parts.append(_clips(analysis["clips"]))
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(analysis['title'])}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _who(analysis: Mapping[str, Any]) -> str:
    people, rules = analysis["listeners"], analysis["rules"]
    heard = ", ".join(f"{count} with {name}" for name, count in people["heard_with"].items())
    lines = [
        f"<p>{people['count']} listeners came ({escape(heard)}), {people['answered']} answered; "
        f"{len(people['excluded'])} are left out of the filtered figures altogether. Filtered: who failed more than "
        f"{rules['failures_allowed']} attention checks is left out, and from each question who correlates with the "
        f"mean of the other raters by less than {rules['least_correlation']:g} (CrowdMOS, one by one, lowest first)."
        "</p>"
    ]
    if people["excluded"]:
        rows = [[str(one["listener"]), one["reason"]] for one in people["excluded"]]
        lines.append(_table(["listener", "left out because"], rows))
    lines.append(
        '<p class="small">Intervals are 95 %, for other listeners and other prompts than these (both count as drawn at '
        "random). Differences are of the same listener at the same prompt; p-values are corrected for their number "
        "(Holm).</p>"
    )
    return "\n".join(lines)


def _question(question: Mapping[str, Any], systems: Sequence[str], reference: str | None) -> str:
    filtered, everyone = question["filtered"], question["all"]
    lines = [f'<p class="small">{escape(question["question"])}</p>']
    plotted = []
    for name in systems:
        marks = [
            _mark(found["systems"].get(name), style, f"{name}, {who}")
            for found, style, who in ((everyone, "all", "everybody"), (filtered, "main", "filtered"))
            if found and found["systems"].get(name)
        ]
        published = [figure for figure in question["published"] if figure["system"] == name]
        marks += [_published(figure) for figure in published]
        if marks:
            plotted.append((name + (" (reference)" if name == reference else ""), marks))
    others = [figure for figure in question["published"] if figure["system"] not in systems]
    plotted += [(f"{figure['system']} ({figure['source']})", [_published(figure)]) for figure in others]
    lines.append(whiskers(plotted))
    for found, who in ((filtered, "filtered"), (everyone, "everybody")):
        if not found:
            lines.append(f"<p>{who}: nobody is left.</p>")
            continue
        rows = [
            [name, _interval(row), str(row["count"]), str(row["listeners"]), str(row["items"])]
            for name, row in found["systems"].items()
        ]
        alpha = _figure(found["agreement_alpha"], 2)
        lines.append(f"<h3>{who}: {found['ratings']} ratings by {found['listeners']} listeners, alpha {alpha}</h3>")
        lines.append(_table(["system", "mean (95 %)", "ratings", "listeners", "prompts"], rows))
        lines.append(_differences(found["differences"]))
    if question["published"]:
        rows = [
            [figure["source"], figure["system"], _figure(figure["value"], 2), _figure(figure["interval"], 2)]
            for figure in question["published"]
        ]
        lines.append("<h3>Published elsewhere, by other listeners to other clips</h3>")
        lines.append(_table(["source", "system", "mean", "± (95 %)"], rows))
    lines.append(_unlike(question["unlike_the_others"]))
    lines.append(_filled(question["ratings_per_item"]))
    return "\n".join(line for line in lines if line)


def _pairs(pairs: Mapping[str, Any]) -> str:
    filtered, everyone = pairs["filtered"], pairs["all"]
    lines = [f'<p class="small">{escape(pairs["question"])}</p>']
    plotted = []
    for name in everyone["strengths"]:
        marks = [_mark(everyone["strengths"][name], "all", f"{name}, everybody")]
        if filtered and name in filtered["strengths"]:
            marks.append(_mark(filtered["strengths"][name], "main", f"{name}, filtered"))
        plotted.append((name, marks))
    lines.append(whiskers(plotted))
    lines.append(
        '<p class="small">Strengths of Bradley and Terry, ties after Davidson: natural logarithms of the odds.</p>'
    )
    for found, who in ((filtered, "filtered"), (everyone, "everybody")):
        if not found:
            lines.append(f"<p>{who}: nobody is left.</p>")
            continue
        lines.append(f"<h3>{who}: {found['votes']} votes by {found['listeners']} listeners</h3>")
        side = found["side_a"]
        if side is not None:
            lines.append(
                f'<p class="small">Side A was liked better in {side["mean"]:.0%} ({side["low"]:.0%} to '
                f"{side['high']:.0%}) of {side['count']} votes without a tie; the sides are balanced.</p>"
            )
        if found["prior"]:
            lines.append(
                "<p>The votes alone leave some strengths open (a system never lost, or some never met): half a vote "
                "each way keeps them finite; they are at least as far apart as shown.</p>"
            )
        rows = [
            [
                f"{row['first']} : {row['second']}",
                f"{row['won']} : {row['lost']}, {row['tied']} tied",
                _figure(row["chance"], 2),
                _interval(row),
                _interval(row["strength"]),
                _p(row["p_holm"]),
            ]
            for row in found["differences"]
        ]
        heads = ["pair", "votes", "chance", "log odds (95 %)", "strength, -3 to 3 (95 %)", "p (Holm)"]
        lines.append(_table(heads, rows))
    lines.append(_filled(pairs["ratings_per_item"]))
    return "\n".join(line for line in lines if line)


def _clips(clips: Mapping[str, Any]) -> str:
    lines = []
    if clips["left_out"]:
        rows = [[row["system"], row["what"], row["reason"]] for row in clips["left_out"]]
        lines += ["<h2>Left out</h2>", _table(["system", "what", "reason"], rows)]
    if clips["notes"]:
        rows = [[row["prompt"], row["note"]] for row in clips["notes"]]
        lines += ["<h2>Done to clips</h2>", _table(["prompt", "what"], rows)]
    return "\n".join(lines)


def _differences(rows: Iterable[Mapping[str, Any]]) -> str:
    shown = [
        [f"{row['first']} - {row['second']}", _interval(row), str(row["count"]), _p(row["p_holm"])] for row in rows
    ]
    return _table(["difference", "mean (95 %)", "pairs", "p (Holm)"], shown) if shown else ""


def _unlike(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    people = ", ".join(f"{row['listener']} (r {row['correlation']:.2f})" for row in rows)
    return f'<p class="small">Left out of this question, unlike the others: listener {people}.</p>'


def _filled(found: Mapping[str, int]) -> str:
    if not found["below"]:
        return f'<p class="small">Every clip has {found["wanted"]} ratings or more.</p>'
    return (
        f'<p class="small">{found["below"]} of {found["items"]} have fewer than {found["wanted"]} ratings that count '
        f"(the fewest: {found['fewest']}).</p>"
    )


# -------------------------------------------------------------------------------------------------------------- plots


def whiskers(rows: Sequence[tuple[str, Sequence[Mark]]]) -> str:
    """One line per name: its marks with their intervals, over one axis."""
    ends = [
        value for _, marks in rows for mark in marks for value in (mark.low, mark.high, mark.mean) if value is not None
    ]
    if not ends:
        return ""
    ticks = _ticks(min(ends), max(ends))
    low, high = ticks[0], ticks[-1]
    height = _ROW * len(rows) + 30

    def x(value: float) -> float:
        return round(_LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    drawn = [
        f'<line x1="{x(tick)}" x2="{x(tick)}" y1="0" y2="{height - 24}" stroke="#8884"/>'
        f'<text x="{x(tick)}" y="{height - 6}" text-anchor="middle">{tick:g}</text>'
        for tick in ticks
    ]
    for number, (name, marks) in enumerate(rows):
        centre = _ROW * number + _ROW / 2
        drawn.append(f'<text x="{_LEFT - 12}" y="{centre + 4}" text-anchor="end">{escape(name)}</text>')
        for place, mark in enumerate(marks):
            y = round(centre + (place - (len(marks) - 1) / 2) * 9, 1)
            colour = {"main": "var(--mark)", "all": "#8a8a8a", "paper": "currentColor"}[mark.style]
            if mark.low is not None and mark.high is not None:
                ends_at = f'x1="{x(mark.low)}" x2="{x(mark.high)}" y1="{y}" y2="{y}"'
                drawn.append(f'<line {ends_at} stroke="{colour}" stroke-width="2"/>')
            if mark.mean is not None:
                fill = "none" if mark.style == "paper" else colour
                title = f"<title>{escape(mark.title)}</title>"
                drawn.append(
                    f'<circle cx="{x(mark.mean)}" cy="{y}" r="4" fill="{fill}" stroke="{colour}">{title}</circle>'
                )
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Means and intervals">{"".join(drawn)}</svg>'


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below the lowest to above the highest."""
    span = max(high - low, 1e-6)
    unit = 10 ** math.floor(math.log10(span / 5))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= 6)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 9) for number in range(first, max(last, first + 1) + 1)]


def _mark(row: Mapping[str, Any] | None, style: str, title: str) -> Mark:
    assert row is not None, "only what was measured is drawn"
    return Mark(row["mean"], row["low"], row["high"], style, f"{title}: {_interval(row)}")


def _published(figure: Mapping[str, Any]) -> Mark:
    value, half = figure["value"], figure["interval"]
    low, high = (None, None) if half is None else (value - half, value + half)
    return Mark(value, low, high, "paper", f"{figure['source']}: {value:g}")


# ------------------------------------------------------------------------------------------------------------- tables


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(word)}</th>" for word in heads)
    lines = ["".join(_cell(word) for word in row) for row in rows]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(word: str) -> str:
    number = word.lstrip("-< ")[:1].isdigit()
    return f"<td{' class=n' if number else ''}>{escape(word)}</td>"


def _interval(row: Mapping[str, Any] | None, digits: int = 2) -> str:
    if row is None:
        return "–"
    if row["low"] is None:
        return f"{_figure(row['mean'], digits)} (no interval)"
    return f"{row['mean']:.{digits}f} ({row['low']:.{digits}f} to {row['high']:.{digits}f})"


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
