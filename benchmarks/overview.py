"""A report in one picture: `python benchmarks/overview.py REPORT.json PICTURE.png [--system NAME]`.

One row for each figure between 0 and 1 that has a floor: what chance reaches (others' captions), the system with its
95 % interval, true music through its codec, and true music. Needs matplotlib (extra `train`).
"""

import argparse
from pathlib import Path

from cadenza.evaluate.report.figures import Figure, Report

ROWS = ("text_alignment", "instruments", "genre", "tempo or its octave", "key, MIREX", "mode")


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--system", help="whose figures [default: the first]")
    options = parser.parse_args()
    report = Report.model_validate_json(options.report.read_bytes())
    name = options.system or report.systems[0].name
    draw(report, name, options.picture)
    print(options.picture)


def draw(report: Report, name: str, picture: Path) -> list[str]:
    """Write the picture; returns the titles of its rows, from the top."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    kinds = {system.kind: system.name for system in report.systems}
    found = [figure for row in ROWS if (figure := report.figure(row, name)) is not None]
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(found) + 1.3))
    for place, one in enumerate(reversed(found)):
        marks = [
            (_value(report.figure(one.metric, kinds.get("truth", ""))), "D", "#2a7", "true music"),
            (_value(report.figure(one.metric, kinds.get("ceiling", ""))), "s", "#888", "true music through its codec"),
            (one.floor.value if one.floor else None, "x", "#c44", "chance: the captions of others"),
        ]
        for value, marker, colour, label in marks:
            if value is not None:
                axes.plot(value, place, marker, color=colour, label=label if place == 0 else None)
        result = one.result
        if result.value is not None and result.low is not None and result.high is not None:
            axes.plot((result.low, result.high), (place, place), color="#247", linewidth=4, solid_capstyle="round")
            axes.plot(result.value, place, "o", color="#247", markersize=10, label=name if place == 0 else None)
    axes.set_yticks(range(len(found)), [f"{one.title} ({one.count} {one.of})" for one in reversed(found)])
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, frameon=False)
    figure.savefig(picture, dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return [one.title for one in found]


def _value(figure: Figure | None) -> float | None:
    return None if figure is None else figure.result.value


if __name__ == "__main__":
    main()
