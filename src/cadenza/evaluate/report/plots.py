"""Figures to pictures: values in, SVG out, drawn by hand so that the same values give the same bytes.

Colours are those of the page (CSS classes), so that light, dark and paper each have their own. Every plot has words for
who does not see it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LEFT, _RIGHT, _ROW, _AXIS = 760, 260, 20, 24, 38


@dataclass(frozen=True)
class Bar:
    """A row: a value with its interval (None: none is known); `kind` chooses colour and shape."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    kind: str = "model"


def interval_plot(bars: Sequence[Bar], title: str, axis: str) -> str:
    """One row per system: where its value lies, and its interval."""
    values = [v for bar in bars for v in (bar.value, bar.low, bar.high) if v is not None and math.isfinite(v)]
    scale = Scale.over(values, _LEFT, _WIDTH - _RIGHT)
    rows = []
    for number, bar in enumerate(bars):
        y = _ROW * (number + 0.5) + 6
        rows.append(
            f'<text class="label" x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(_short(bar.label))}</text>'
        )
        if bar.low is not None and bar.high is not None and math.isfinite(bar.low) and math.isfinite(bar.high):
            ends = f'x1="{scale(bar.low):.1f}" x2="{scale(bar.high):.1f}"'
            rows.append(f'<line class="range {bar.kind}" {ends} y1="{y:.1f}" y2="{y:.1f}"/>')
        rows.append(_mark(scale(bar.value), y, bar.kind))
    height = _ROW * len(bars) + 6
    words = "; ".join(f"{bar.label}: {bar.value:.3g}" + _words(bar.low, bar.high) for bar in bars)
    return _svg(title, words, scale.axis(height, axis) + rows, height + _AXIS)


def strip_plot(groups: Sequence[tuple[str, Sequence[float]]], title: str, axis: str) -> str:
    """One row per system: a point per clip, and a line at the median."""
    known = [(label, sorted(v for v in values if math.isfinite(v))) for label, values in groups]
    scale = Scale.over([v for _, values in known for v in values], _LEFT, _WIDTH - _RIGHT)
    rows = []
    for number, (label, values) in enumerate(known):
        y = _ROW * (number + 0.5) + 6
        rows.append(
            f'<text class="label" x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(_short(label))}</text>'
        )
        # Points are spread over the height of the row by their place in the order, so that equal ones are all seen.
        points = "".join(
            f'<circle cx="{scale(v):.1f}" cy="{y + 14 * ((0.618034 * i) % 1 - 0.5):.1f}" r="1.8"/>'
            for i, v in enumerate(values)
        )
        rows.append(f'<g class="points">{points}</g>')
        if values:
            x = scale(values[len(values) // 2])
            rows.append(f'<line class="median" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9:.1f}" y2="{y + 9:.1f}"/>')
    height = _ROW * len(known) + 6
    words = "; ".join(f"{label}: {len(v)} clips, median {v[len(v) // 2]:.3g}" for label, v in known if v)
    return _svg(title, words, scale.axis(height, axis) + rows, height + _AXIS)


def extrapolation_plot(lines: Sequence[tuple[str, Sequence[int], Sequence[float], float]], title: str) -> str:
    """Fréchet distance against 1 / N: what is measured with N windows, and the straight line to endlessly many.

    `lines`: label, sizes, values at these sizes, value at infinity.
    """
    top, bottom, left = 18 * len(lines) + 8, 18 * len(lines) + 208, 70
    across = Scale(0.0, max(1 / size for _, sizes, _, _ in lines for size in sizes), left, _WIDTH - _RIGHT)
    upright = Scale.over([v for _, _, values, end in lines for v in (*values, end)], bottom, top)
    drawn = across.axis(bottom, "1 / number of windows (left end: endlessly many)", top)
    for tick in upright.ticks(5):
        y = upright(tick)
        drawn.append(f'<line class="grid" x1="{left}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for number, (label, sizes, values, end) in enumerate(lines):
        kind, furthest = f"series-{number % 6}", max(1 / size for size in sizes)
        slope = _slope([1 / size for size in sizes], values)
        drawn.append(
            f'<line class="fit {kind}" x1="{across(0):.1f}" y1="{upright(end):.1f}" x2="{across(furthest):.1f}" '
            f'y2="{upright(end + slope * furthest):.1f}"/>'
        )
        drawn += [
            f'<circle class="dot {kind}" cx="{across(1 / s):.1f}" cy="{upright(v):.1f}" r="3"/>'
            for s, v in zip(sizes, values, strict=True)
        ]
        y = 18 * number + 10
        drawn.append(f'<circle class="{kind}" cx="{left + 6}" cy="{y}" r="4"/>')
        drawn.append(f'<text class="label" x="{left + 16}" y="{y + 4}">{escape(label)}: {end:.3g} at infinity</text>')
    words = "; ".join(f"{label}: {end:.3g} at infinity" for label, _, _, end in lines)
    return _svg(title, words, drawn, bottom + _AXIS)


class Scale:
    """Values from `low` to `high` to places from `start` to `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        if not high > low:
            low, high = low - 0.5, high + 0.5
        self.low, self.high, self.start, self.end = low, high, start, end

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "Scale":
        """With some room on both sides; zero is in sight where it is near."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        room = 0.06 * (high - low) or 0.5
        if 0 < low < 0.6 * high:
            low = room
        if high < 0 and high > 0.6 * low:
            high = -room
        return cls(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    def ticks(self, about: int = 6) -> list[float]:
        """Round numbers within, about so many."""
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step + 0.0 for number in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def axis(self, height: float, words: str, top: float = 2.0) -> list[str]:
        """Lines and numbers for an axis at the bottom."""
        drawn = []
        for tick in self.ticks():
            x = self(tick)
            drawn.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:g}" y2="{height}"/>')
            drawn.append(
                f'<text class="tick" x="{x:.1f}" y="{height + 14}" text-anchor="middle">{_number(tick)}</text>'
            )
        middle = (self.start + self.end) / 2
        drawn.append(
            f'<text class="tick" x="{middle:.1f}" y="{height + 30}" text-anchor="middle">{escape(words)}</text>'
        )
        return drawn


def _mark(x: float, y: float, kind: str) -> str:
    shapes = {
        "truth": f"M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z",
        "ceiling": f"M{x:.1f} {y - 6:.1f}l6 11h-12z",
        "floor": f"M{x:.1f} {y + 6:.1f}l6 -11h-12z",
    }
    if kind in shapes:
        return f'<path class="dot {kind}" d="{shapes[kind]}"/>'
    return f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'


def _svg(title: str, words: str, drawn: Iterable[str], height: float) -> str:
    head = f"<title>{escape(title)}</title><desc>{escape(words)}</desc>"
    return f'<svg role="img" viewBox="0 0 {_WIDTH} {height:g}">{head}{"".join(drawn)}</svg>'


def _words(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3g} to {high:.3g})"


def _short(text: str, length: int = 32) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def _slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Of the straight line through the points, by least squares."""
    middle, level = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle) ** 2 for x in xs)
    return sum((x - middle) * (y - level) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0
