"""The report of a fine-tuning: what changed, for a person (one HTML page) and for a program (JSON).

In: the facts of a run, and a folder with the examples. Out: a folder with `report.html`, `report.json` and the sound
that the page plays. The page needs no network and no other file but that sound.
"""

import html
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cadenza.checkpoint import write_json
from cadenza.evaluate.intervals import Interval, bootstrap_interval
from cadenza.files import atomic_file

PAGE, DATA = "report.html", "report.json"


def write_report(folder: Path, facts: dict[str, Any], examples: Path) -> Path:
    """Write the folder; the path of the page. Raises CadenzaError where the disk refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = facts | {"result": compare(facts["before"]["tracks"], facts["after"]["tracks"])}
    for when in ("before", "after"):
        for number in range(1, len(facts["prompts"]) + 1):
            shutil.copyfile(examples / when / f"{number}.wav", folder / f"{number}-{when}.wav")
    write_json(folder / DATA, facts)
    with atomic_file(folder / PAGE) as temporary:
        temporary.write_text(page(facts), encoding="utf-8")
    return folder / PAGE


def compare(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Cross entropy of held-out tracks before, after, and the difference per track: over all codebooks (`ce`) and for
    each (`ce_q0`, ...), means with 95 % bootstrap intervals over tracks. None without held-out tracks."""
    if not before:
        return None
    names = [None, *range(len(before[0]["per_codebook"]))]
    found = {}
    for book in names:
        old, new = ([_loss(row, book) for row in rows] for rows in (before, after))
        change = [b - a for a, b in zip(old, new, strict=True)]
        intervals = {"before": old, "after": new, "change": change}
        found["ce" if book is None else f"ce_q{book}"] = {
            name: _as_json(bootstrap_interval(values)) for name, values in intervals.items()
        }
    return found


def summary(facts: dict[str, Any]) -> str:
    """The result in one line."""
    result = compare(facts["before"]["tracks"], facts["after"]["tracks"])
    if result is None:
        return "nothing was held out: listen to the examples"
    before, after, change = (result["ce"][name] for name in ("before", "after", "change"))
    what = "the held-out ends of the tracks" if facts["held_out"]["of_the_same_tracks"] else "held-out tracks"
    line = f"cross entropy of {what}: {before['mean']:.3f} before, {after['mean']:.3f} after ({_shown(change, '+.3f')})"
    if change["mean"] >= 0:
        line += ": nothing was gained; more tracks, or a lower --learning-rate, may help"
    return line


def _loss(row: dict[str, Any], book: int | None) -> float:
    values = row["per_codebook"]
    return float(sum(values) / len(values) if book is None else values[book])


def _as_json(interval: Interval) -> dict[str, Any]:
    """One value has no interval: JSON knows no infinity."""
    bounds = {name: value if math.isfinite(value) else None for name, value in
              (("low", interval.low), ("high", interval.high))}  # fmt: skip
    return {"mean": interval.mean, **bounds, "count": interval.count}


def _shown(value: dict[str, Any], spec: str = ".3f") -> str:
    if value["low"] is None:
        return f"{value['mean']:{spec}}"
    return f"{value['mean']:{spec}} ({value['low']:{spec}} to {value['high']:{spec}})"


# ---- the page --------------------------------------------------------------------------------------------------------

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .25rem .75rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr { border-bottom: 1px solid #ddd }
svg { width: 100%; height: auto } audio { width: 100% } small, .note { color: #666 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } tr { border-color: #444 } }
"""


def page(facts: dict[str, Any]) -> str:
    """The HTML of a report."""
    name = html.escape(facts["model"]["name"])
    parts = [
        f"<h1>{name}, fine-tuned</h1><p>{html.escape(summary(facts))}.</p>",
        _result_table(facts),
        _curve(facts["curve"]),
        _memorization(facts),
        _examples(facts["prompts"]),
        _settings(facts),
        _files(facts),
    ]
    body = "\n".join(part for part in parts if part)
    head = f'<meta charset="utf-8"><title>{name}, fine-tuned</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _result_table(facts: dict[str, Any]) -> str:
    result = facts.get("result")
    if result is None:
        return '<p class="note">No track was long enough to hold a part of it out.</p>'
    rows = [
        (
            "all codebooks" if name == "ce" else f"codebook {int(name.removeprefix('ce_q')) + 1}",
            *(_shown(values[when], spec) for when, spec in (("before", ".3f"), ("after", ".3f"), ("change", "+.3f"))),
        )
        for name, values in result.items()
    ]
    count = result["ce"]["change"]["count"]
    note = "Nats per code, with the tracks' captions; lower is better. "
    if facts["held_out"]["of_the_same_tracks"]:
        note += "There are fewer than four tracks: these are ends of the tracks that were trained on, whose music the "
        note += "model has partly heard. "
    note += (
        f"In brackets 95 % intervals (bootstrap over {count} tracks)." if count > 1 else "One track has no interval."
    )
    return (
        "<h2>How well it predicts what it has not heard</h2>"
        + _table(("", "before", "after", "change"), rows)
        + f'<p class="note">{note}</p>'
    )


def _memorization(facts: dict[str, Any]) -> str:
    before, after = (facts[when].get("memorization") for when in ("before", "after"))
    if not before or not after:
        return ""
    rows = [
        (f"codebook {k + 1}", *(f"{found[kind][k]:.0%}" for kind in ("exact", "partial") for found in (before, after)))
        for k in range(len(after["exact"]))
    ]
    share = f"{after['partial_share']:.0%}"
    return (
        "<h2>Does it play the tracks by heart?</h2>"
        + _table(("", "exact, before", "after", f"{share} equal, before", "after"), rows)
        + f'<p class="note">{after["count"]} openings of training tracks, played on greedily for up to five seconds: '
        "the share of continuations that are, code by code, those of the track.</p>"
    )


def _examples(prompts: Sequence[str]) -> str:
    if not prompts:
        return ""
    parts = ["<h2>The same seeds, before and after</h2>"]
    for number, words in enumerate(prompts, start=1):
        parts.append(f"<p>{html.escape(words) or '(no words)'}</p>")
        parts += [
            f'<small>{when}</small><audio controls preload="none" src="{number}-{when}.wav"></audio>'
            for when in ("before", "after")
        ]
    return "\n".join(parts)


def _settings(facts: dict[str, Any]) -> str:
    plan, memory = facts["plan"], facts.get("peak_memory_bytes")
    share = facts["trained_parameters"] / max(1, facts["model"]["parameters"])
    rows = [
        ("model", f"{facts['model']['name']} ({facts['model']['parameters']:,} parameters), {facts['precision']}"),
        ("licence of its weights", facts["model"]["licence"]),
        ("trained", f"{facts['trained_parameters']:,} parameters ({share:.1%}), {facts['kind']}"),
        ("learnt from", f"{facts['minutes']} minutes of music; {facts['tracks']} tracks in all"),
        ("held out", f"{facts['held_out']['minutes']} minutes ({facts['held_out']['tracks']} of the tracks)"),
        ("updates", f"{facts['steps_made']} made ({facts['stopped']}), the weights are those of {facts['step']}"),
        (
            "an update",
            f"{plan['batch_size'] * plan['accumulation']} windows of {plan['window_seconds']:g} s, "
            f"rate {plan['learning_rate']:.2g}",
        ),
        ("time", f"{facts['seconds']['training']:.0f} s of training, {facts['seconds']['all']:.0f} s in all"),
        ("most memory", "not told here" if memory is None else f"{memory / 1e9:.2f} GB"),
        ("device", facts["device"]),
        ("seed", facts["config"]["seed"]),
        ("Cadenza", facts["cadenza"]),
    ]
    return "<h2>What was done</h2>" + _table(("", ""), [(a, str(b)) for a, b in rows])


def _files(facts: dict[str, Any]) -> str:
    rows = [
        (Path(file["path"]).name, f"{file['seconds']:.0f} s", "held out" if file["held_out"] else "learnt",
         file["caption"] or "(no caption)")
        for file in facts["files"]
    ]  # fmt: skip
    parts = ["<h2>Tracks</h2>", _table(("file", "length", "", "caption"), rows)]
    if facts["skipped"]:
        parts += ["<h2>Left out</h2>", _table(("file", "why"), [(s["path"], s["reason"]) for s in facts["skipped"]])]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"] if any(head) else []
    lines += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "<table>" + "\n".join(lines) + "</table>"


def _curve(rows: Sequence[dict[str, Any]]) -> str:
    """Cross entropy by update as a drawing of lines: of the windows learnt, and of the held-out tracks."""
    points = {name: [(row["step"], row[name]) for row in rows if row[name] is not None] for name in ("train", "valid")}
    known = [value for line in points.values() for _, value in line]
    last = max((row["step"] for row in rows), default=0)
    if len(known) < 2 or not last:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    width, tall, left = 760, 260, 60

    def place(step: int, value: float) -> str:
        return f"{left + step / last * (width - left - 10):.1f},{10 + (high - value) / span * (tall - 40):.1f}"

    drawn = []
    for (name, line), colour in zip(points.items(), ("#999", "#c33"), strict=True):
        if not line:
            continue
        drawn.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" '
            f'points="{" ".join(place(*point) for point in line)}"/>'
        )
        drawn += [f'<circle r="3" fill="{colour}" cx="{x}" cy="{y}"/>'
                  for x, y in (place(*point).split(",") for point in line)]  # fmt: skip
        words = "windows learnt" if name == "train" else "held-out tracks"
        drawn.append(f'<text x="{width - 10}" y="{24 if name == "train" else 42}" text-anchor="end" '
                     f'fill="{colour}">{words}</text>')  # fmt: skip
    for value in (low, high):
        _, y = place(0, value).split(",")
        drawn.append(f'<text x="{left - 8}" y="{float(y) + 5:.1f}" text-anchor="end" fill="#666">{value:.2f}</text>')
    drawn.append(f'<text x="{width - 10}" y="{tall - 4}" text-anchor="end" fill="#666">update {last}</text>')
    drawing = "\n".join(drawn)
    return (
        f'<h2>Learning</h2>\n<svg viewBox="0 0 {width} {tall}" role="img" '
        f'aria-label="cross entropy by update" font-size="14">\n{drawing}\n</svg>'
    )
