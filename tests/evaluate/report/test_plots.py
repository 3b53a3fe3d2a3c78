"""Pictures of figures: marks lie where their values are, words say the same, and nothing is executed."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from cadenza.evaluate.report.plots import Bar, Scale, extrapolation_plot, interval_plot, strip_plot


def test_scale_maps_ends_and_middle() -> None:
    scale = Scale(0.0, 10.0, 100.0, 200.0)
    assert (scale(0.0), scale(5.0), scale(10.0)) == (100.0, 150.0, 200.0)


@pytest.mark.parametrize("values", [[0.31, 0.42], [-3.0, 12.0], [1e-4, 3e-4], [5.0], [], [1e6, 3e6]])
def test_ticks_are_round_few_and_inside(values: list[float]) -> None:
    scale = Scale.over(values, 0.0, 100.0)
    ticks = scale.ticks()
    assert 3 <= len(ticks) <= 9 and all(scale.low <= tick <= scale.high for tick in ticks)
    assert all(float(f"{tick:.3g}") == pytest.approx(tick, rel=1e-9) for tick in ticks)  # 0.25, 12.5


def test_intervals_lie_in_order() -> None:
    bars = [Bar("ours", 0.5, 0.4, 0.6), Bar("true", 0.9, None, None, "truth"), Bar("chance", 0.1, 0.0, 0.2, "floor")]
    drawn = interval_plot(bars, "Share", "share")
    root = ElementTree.fromstring(drawn)
    assert root.get("role") == "img" and root[0].text == "Share"
    assert root[1].text == "ours: 0.5 (0.4 to 0.6); true: 0.9; chance: 0.1 (0 to 0.2)"
    (low, high), _ = [(float(a), float(b)) for a, b in re.findall(r'x1="([\d.]+)" x2="([\d.]+)" y1="\d+\.\d"', drawn)]
    middle = float(re.findall(r'<circle class="dot model" cx="([\d.]+)"', drawn)[0])
    assert low < middle < high and middle == pytest.approx((low + high) / 2, abs=0.1)  # places have one decimal
    assert drawn.count('class="dot truth"') == drawn.count('class="dot floor"') == 1


def test_names_cannot_break_out() -> None:
    drawn = interval_plot([Bar('<script>"&', 1.0, 0.5, 2.0)], "a < b", "x > y")
    assert "<script" not in drawn and ElementTree.fromstring(drawn) is not None


def test_strips_show_every_clip() -> None:
    drawn = strip_plot([("one", [1.0, 2.0, 2.0]), ("two", [5.0, float("nan")]), ("none", [])], "t", "x")
    assert drawn.count("<circle") == 4 and drawn.count('class="median"') == 2
    assert "one: 3 clips, median 2; two: 1 clips, median 5" in drawn


def test_extrapolation_ends_at_infinity() -> None:
    # 2 + 10 / n exactly: the line through the points meets the left end at 2.
    sizes = [10, 20, 50]
    drawn = extrapolation_plot([("ours", sizes, [2 + 10 / n for n in sizes], 2.0)], "FAD")
    x1, y1 = re.findall(r'class="fit series-0" x1="([\d.]+)" y1="([\d.]+)"', drawn)[0]
    points = [(float(x), float(y)) for x, y in re.findall(r'class="dot series-0" cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    (xa, ya), (xb, yb) = points[0], points[-1]
    assert ya + (yb - ya) / (xb - xa) * (float(x1) - xa) == pytest.approx(float(y1), abs=0.3)  # places: one decimal
