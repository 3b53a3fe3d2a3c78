"""A report as one HTML page that needs nothing else: no network, no script, no other file but its sounds.

In: a `Report`, and the sounds and pictures of its samples. Out: the page. Everything that came from outside (names,
prompts, reasons) is escaped.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from cadenza.evaluate.report.build import Built, groups_of
from cadenza.evaluate.report.figures import EmbedderRecord, Figure, Report, Sample, SystemRecord, shown
from cadenza.evaluate.report.listening import Media
from cadenza.evaluate.report.media import data_uri
from cadenza.evaluate.report.metrics import metric
from cadenza.evaluate.report.pictures import SIDES, pictures
from cadenza.evaluate.report.published import PUBLISHED
from cadenza.evaluate.report.verdict import verdicts

STYLE = Path(__file__).with_name("page.css")
KINDS = {
    "model": "takes made here, one per prompt and seed",
    "audio": "clips that were given",
    "measured": "clips that were measured before",
    "truth": "true music that is not in the reference: what a perfect model would reach",
    "ceiling": "true music through a codec: what a model that speaks its codes can reach",
}
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def page(built: Built, sounds: Sequence[str] | None) -> str:
    """The page. `sounds`: the file of each sample, relative to the page; None: they are inside."""
    report = built.report
    sections = [
        ("figures", "Figures", _figures(report)),
        ("pictures", "Pictures of the figures", pictures(built)),
        ("systems", "Systems against each other", _tests(report)),
        ("listen", "Listen", _samples(report, built.media, sounds)),
        ("outliers", "Clips that stand out", _outliers(report)),
        ("findings", "Codec and memorisation", _findings(report)),
        ("published", "What papers print", _published(report)),
        ("how", "How it was measured", _how(report)),
        ("left-out", "What could not be judged", _refused(report)),
    ]
    shown = [(name, title, body) for name, title, body in sections if body]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in shown)
    parts = "".join(f'<section id="{name}"><h2>{title}</h2>{body}</section>\n' for name, title, body in shown)
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(report.title)}</title><link rel="icon" href="data:,">'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>"
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n'
        f'<a class="skip" href="#figures">To the figures</a>\n'
        f"<header><h1>{escape(report.title)}</h1>{_summary(report)}</header>\n"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n<main>\n{parts}</main>\n</body>\n</html>\n'
    )


def _summary(report: Report) -> str:
    judged = [system for system in report.systems if system.kind not in ("truth", "ceiling")]
    clips = sum(system.clips for system in judged)
    refused = sum(len(system.refused) for system in report.systems)
    true = "" if report.reference is None else (
        f" Distances are taken from {report.reference.clips} clips of {report.reference.pieces} true pieces "
        f"({escape(report.reference.name)})."
    )  # fmt: skip
    left = (
        f" {_count(refused, 'file or prompt', 'files or prompts')} could not be judged, as listed." if refused else ""
    )
    words = (
        f"{_count(len(judged), 'system', 'systems')}, {_count(clips, 'clip', 'clips')}, none picked.{true}{left} "
        "Intervals are those of 95 %, by resampling independent pieces. Beside each figure: N, what chance reaches "
        "(the same clips with the captions of other prompts), and true music as it is and through the codec."
    )
    found = "".join(
        f"<li><strong>{escape(who)}</strong><ul>{''.join(f'<li>{escape(part)}</li>' for part in what)}</ul></li>"
        for who, what in verdicts(report)
    )
    found += "".join(f'<li class="warn">{escape(note)}</li>' for note in report.notes)
    return (f"<ul>{found}</ul>" if found else "") + f"<p>{words}</p>"


# ------------------------------------------------------------------------------------------------------------- figures


def _figures(report: Report) -> str:
    systems = [system.name for system in report.systems]
    head = "".join(f'<th scope="col">{escape(s.name)}<small>{s.kind}</small></th>' for s in report.systems)
    rows = []
    for group, names in groups_of(report).items():
        rows.append(f'<tr><th scope="rowgroup" colspan="{len(systems) + 1}">{group}</th></tr>')
        for name, heard_by in report.rows(names):
            cells = "".join(f"<td>{_cell(report.figure(name, system, heard_by))}</td>" for system in systems)
            kind = metric(name)
            heard = _heard(report, name, heard_by)
            unit = f" · {escape(kind.unit)}" if kind.unit else ""
            title = f"{escape(kind.title)} {ARROWS[kind.better]}<small>{SIDES[kind.better]}{heard}{unit}</small>"
            rows.append(f'<tr><th scope="row">{title}</th>{cells}</tr>')
    return (
        '<div class="wide"><table><caption>Value, 95 % interval, chance, N. Few clips make a plain distance too '
        "large: the interval is that of the distance without this bias, which stands above it. ∞ is "
        f"FAD-infinity.</caption><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"{_notes(report)}"
    )


def _heard(report: Report, name: str, heard_by: str) -> str:
    """Who hears the figures of a row, and with which weights."""
    by = [f.embedder for f in report.figures if (f.metric, f.heard_by) == (name, heard_by) and f.embedder]
    return f" · {escape(heard_by)} {by[0].weights[:8]}" if by else ""


def _cell(figure: Figure | None) -> str:
    if figure is None or figure.result.value is None:
        return "–"
    digits = metric(figure.metric).digits
    parts = [f"<strong>{shown(figure.result.value, digits)}</strong>"]
    if figure.result.low is not None and figure.result.high is not None:
        if figure.middle is not None and figure.middle != figure.result.value:
            parts.append(f"<small>without bias {shown(figure.middle, digits)}</small>")
        parts.append(f"<small>{shown(figure.result.low, digits)} to {shown(figure.result.high, digits)}</small>")
    infinity = figure.details.get("fad_infinity")
    if infinity is not None:
        parts.append(f"<small>∞ {shown(infinity, digits)}</small>")
    if figure.floor is not None and figure.floor.value is not None:
        parts.append(f"<small>chance {shown(figure.floor.value, digits)}</small>")
    mark = '<small class="warn">see the notes</small>' if figure.notes else ""
    parts.append(f"<small>N {figure.count}</small>{mark}")
    return "".join(parts)


def _notes(report: Report) -> str:
    notes = dict.fromkeys(
        f"{figure.title}, {figure.system}: {note}" for figure in report.figures for note in figure.notes
    )
    items = "".join(f'<li class="warn">{escape(note)}</li>' for note in notes)
    return f"<h3>What to know before trusting them</h3><ul>{items}</ul>" if items else ""


# ------------------------------------------------------------------------------------------------------------- systems


def _tests(report: Report) -> str:
    if not report.tests:
        return ""
    rows, corrected = [], sum(test.p_value is not None for test in report.tests)
    for test in report.tests:
        kind = metric(test.metric)
        heard = f"<small>{escape(test.heard_by)}</small>" if test.heard_by else ""
        p_value = "interval" if test.p_holm is None else f"{test.p_holm:.3g}"
        rows.append(
            f'<tr><th scope="row">{escape(kind.title)}{heard}</th><td class="text">{escape(test.first)}</td>'
            f'<td class="text">{escape(test.second)}</td><td>{test.difference.text(kind.digits)}</td><td>{p_value}</td>'
            f'<td>{test.count}</td><td class="text">{escape(test.verdict)}</td></tr>'
        )
    return (
        f"<p>The same prompts, pair by pair: sign-flip tests, corrected for all {corrected} of them (Holm). A Fréchet "
        "distance has no value per prompt; there the 95 % interval of the difference decides, not corrected.</p>"
        '<div class="wide"><table><thead><tr>'
        + _heads("figure", "first", "second", "first less second (95 %)", "p, corrected", "prompts", "")
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _samples(report: Report, media: Sequence[Media], sounds: Sequence[str] | None) -> str:
    if not report.samples:
        return ""
    parts = [f"<p>{escape(report.rule)}</p>"]
    for system in dict.fromkeys(sample.system for sample in report.samples):
        cards = []
        for number, sample in enumerate(report.samples):
            if sample.system == system:
                sound = data_uri(media[number].sound, "audio/ogg") if sounds is None else escape(sounds[number])
                cards.append(_card(sample, sound, data_uri(media[number].picture, "image/png")))
        parts.append(f'<h3>{escape(system)}</h3><div class="clips">{"".join(cards)}</div>')
    return "".join(parts)


def _card(sample: Sample, sound: str, picture: str) -> str:
    name = escape(sample.text or sample.id)
    score = "" if sample.score is None else f": {sample.ranked_by} {sample.score:.3f}"
    facts = "".join(f"<li>{escape(key)}: {escape(value)}</li>" for key, value in sample.facts.items())
    return (
        f"<article><h4>{sample.rank}{score}</h4>"
        f'<img src="{picture}" alt="Spectrogram of {name}"><audio controls preload="none" src="{sound}" '
        f'aria-label="{name}, {sample.rank} of {escape(sample.system)}"></audio>'
        f"<p>{name}</p><small>{escape(sample.id)}</small><ul>{facts}</ul></article>"
    )


def _outliers(report: Report) -> str:
    if not report.outliers:
        return ""
    rows = [
        f'<tr><th scope="row">{escape(system)}</th><td class="text">'
        + ", ".join(f"{escape(name)} ({value:.3g})" for name, value in found)
        + "</td></tr>"
        for system, found in report.outliers.items()
    ]
    return (
        "<p>The clips furthest from true music, each alone against the reference (Fréchet distance of single clips). "
        f'All clips stand in items.csv.</p><div class="wide"><table><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _findings(report: Report) -> str:
    parts = []
    for title, found in (("Codec", report.codec), ("Memorisation", report.memorization)):
        for finding in found:
            rest = {key: value for key, value in finding.items() if key != "file"}
            text = escape(json.dumps(rest, indent=2, ensure_ascii=False))
            parts.append(f"<h3>{title}: {escape(str(finding.get('file', '')))}</h3><pre>{text}</pre>")
    return "".join(parts)


def _published(report: Report) -> str:
    if not report.config.published:
        return ""
    rows = []
    for one in PUBLISHED:
        cells = "".join(f"<td>{'–' if v is None else f'{v:g}'}</td>" for v in (one.fad, one.kl, one.text, one.chroma))
        rows.append(
            f'<tr><th scope="row">{escape(one.model)}</th>{cells}<td class="text">{escape(one.source)}: '
            f"{escape(one.setting)}</td></tr>"
        )
    return (
        "<p>For orientation only: other test sets, embedders and implementations than those of this page. None of "
        "these figures was measured here, and none may be compared with one that was.</p>"
        '<div class="wide"><table><thead><tr>'
        + _heads("model", "FAD", "KL", "text", "chroma cosine", "where, and measured with what")
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


# ----------------------------------------------------------------------------------------------------------------- how


def _how(report: Report) -> str:
    embedders = dict.fromkeys(_identity(figure.embedder) for figure in report.figures if figure.embedder)
    systems = [*([] if report.reference is None else [report.reference]), *report.systems]
    parts = [
        "<h3>Systems and true music</h3>",
        "".join(_system(system, system is report.reference) for system in systems),
        "<h3>What heard it</h3>",
        "".join(embedders),
        "<h3>Sound</h3>",
        _list({key: value for key, value in report.pipeline.items() if key != "as measured"}),
        "<h3>Computed by</h3>",
        _list({**report.versions, **report.hardware}),
        "<h3>Configuration</h3><pre>",
        escape(json.dumps(report.config.model_dump(mode="json"), indent=2, ensure_ascii=False)),
        "</pre>",
    ]
    return "".join(parts)


def _system(system: SystemRecord, is_reference: bool) -> str:
    facts: dict[str, object] = {
        "what": "the reference of all distances" if is_reference else KINDS[system.kind],
        "source": system.source,
        "clips": f"{system.clips} of {system.pieces} pieces, {system.seconds / 60:.1f} minutes, "
        f"{', '.join(map(str, system.sample_rates))} Hz",
        "names and sounds": system.ids,
        **{key: value if isinstance(value, str) else json.dumps(value) for key, value in system.made_with.items()},
    }
    if system.notes:
        facts["note"] = "; ".join(system.notes)
    return f"<h4>{escape(system.name)}</h4>{_list(facts)}"


def _identity(embedder: EmbedderRecord) -> str:
    facts = {"weights (SHA-256)": embedder.weights, "from": embedder.source, **embedder.settings}
    return f"<h4>{escape(embedder.name)}</h4>{_list(facts)}"


def _refused(report: Report) -> str:
    rows = [
        f'<tr><th scope="row">{escape(system.name)}</th><td class="text">{escape(one.name)}</td>'
        f'<td class="text">{escape(one.reason)}</td></tr>'
        for system in [*([] if report.reference is None else [report.reference]), *report.systems]
        for one in system.refused
    ]
    if not rows:
        return ""
    heads = _heads("system", "file or prompt", "reason")
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _heads(*names: str) -> str:
    return "".join(f'<th scope="col">{escape(name)}</th>' for name in names)


def _list(facts: Mapping[str, object]) -> str:
    items = "".join(f"<dt>{escape(str(key))}</dt><dd>{escape(str(value))}</dd>" for key, value in facts.items())
    return f"<dl>{items}</dl>"


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
