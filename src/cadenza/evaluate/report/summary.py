"""The figures of a report as Markdown: what fits into a README, a pull request or the documentation."""

from cadenza.evaluate.report.build import groups_of
from cadenza.evaluate.report.figures import Figure, Report, SystemRecord, shown
from cadenza.evaluate.report.metrics import metric
from cadenza.evaluate.report.verdict import verdicts

_SIDES = {"higher": " ↑", "lower": " ↓", "neither": ""}


def summary(report: Report) -> str:
    """A table of all figures, the tests between systems, and what is needed to measure them again."""
    names = [system.name for system in report.systems]
    lines = [
        f"# {_cell(report.title)}", "",
        *(f"- **{_cell(who)}**: {_cell('; '.join(what))}" for who, what in verdicts(report)), "",
        "Value, 95 % interval (of a distance: that without the bias of few clips) and N; chance is the same "
        "clips with the captions of other prompts. ↑ higher is better, ↓ lower.", "",
        *(f"- {note}" for note in report.notes), *([""] if report.notes else []),
        "| figure | " + " | ".join(map(_cell, names)) + " |",
        "|---|" + "---:|" * len(names),
    ]  # fmt: skip
    for group, metrics in groups_of(report).items():
        lines.append(f"| **{group}** |" + " |" * len(names))
        for name, heard_by in report.rows(metrics):
            found = [report.figure(name, system, heard_by) for system in names]
            lines.append(f"| {_title(name, heard_by)} | " + " | ".join(map(_value, found)) + " |")
    if report.tests:
        lines += ["", "| prompt by prompt | first less second (95 %) | p (Holm) | |", "|---|---:|---:|---|"]
        for test in report.tests:
            p_value = "by interval" if test.p_holm is None else f"{test.p_holm:.3g}"
            what = f"{_title(test.metric, test.heard_by)}: {_cell(test.first)}, {_cell(test.second)}"
            difference = test.difference.text(metric(test.metric).digits)
            lines.append(f"| {what} | {difference} | {p_value} | {_cell(test.verdict)} |")
    if report.set_differences:
        lines += ["", "| set by set, prompt by prompt | first less second (95 %) | prompts |", "|---|---:|---:|"]
        lines += [
            f"| {one.prompts}, {one.title}: {_cell(one.first)}, {_cell(one.second)} | {one.difference.text()} | "
            f"{one.count} |"
            for one in report.set_differences
        ]
    reference = [] if report.reference is None else [report.reference]
    lines += ["", *(_system(system, system in reference) for system in (*reference, *report.systems))]
    heard = {f.heard_by: f.embedder for f in report.figures if f.embedder is not None}
    lines += [f"- heard by {name}: weights {found.weights[:16]} ({found.source})" for name, found in heard.items()]
    facts = {**report.versions, **report.hardware}
    lines += ["- " + ", ".join(f"{key} {value}" for key, value in facts.items()), ""]
    return "\n".join(lines)


def _title(name: str, heard_by: str) -> str:
    kind = metric(name)
    unit = f", {kind.unit}" if kind.unit else ""
    return f"{kind.title}{_SIDES[kind.better]}{f' ({heard_by})' if heard_by else ''}{unit}"


def _value(figure: Figure | None) -> str:
    if figure is None or figure.result.value is None:
        return "–"
    digits = metric(figure.metric).digits
    value, rest = shown(figure.result.value, digits), figure.text(digits)
    text = f"**{value}**{rest.removeprefix(value)}"
    infinity = figure.details.get("fad_infinity")
    if infinity is not None:
        text += f", ∞ {shown(infinity, digits)}"
    if figure.floor is not None and figure.floor.value is not None:
        text += f", chance {shown(figure.floor.value, digits)}"
    return f"{text}; {figure.count}"


def _system(system: SystemRecord, is_reference: bool) -> str:
    what = "the reference" if is_reference else system.kind
    left = f", {len(system.refused)} not judged" if system.refused else ""
    made = system.made_with.get("weights")
    weights = f", weights {made[:16]}" if isinstance(made, str) else ""
    return f"- {_cell(system.name)} ({what}): {system.clips} clips of {system.pieces} pieces{left}{weights}"


def _cell(text: str) -> str:
    """Nothing that ends a cell, or begins an element."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
