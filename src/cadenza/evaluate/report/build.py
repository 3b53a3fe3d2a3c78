"""From measured systems to a report: everything is computed here, nothing is written.

In: systems, each a measured set with its kind, and the true music that they are measured against. Out: a `Report`, the
rows of its table of clips, and the sounds and pictures of its page. The same sets and configuration, the same report.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cadenza.errors import UserError
from cadenza.evaluate.measurements import Measurements
from cadenza.evaluate.report.clipwise import Column, columns
from cadenza.evaluate.report.compare import Contender, compare
from cadenza.evaluate.report.config import ReportConfig
from cadenza.evaluate.report.figures import (
    EmbedderRecord,
    Figure,
    Kind,
    Range,
    RefusedRecord,
    Report,
    Sample,
    SystemRecord,
    finite,
)
from cadenza.evaluate.report.gaps import gaps, set_differences
from cadenza.evaluate.report.listening import Media, rule, samples
from cadenza.evaluate.report.machine import hardware, versions
from cadenza.evaluate.report.metrics import GROUPS, METRICS, metric
from cadenza.evaluate.report.setwise import distances, variety

OUTLIERS = 5
"""Clips of each system that are named for being furthest from true music."""
VARYING = ("seed", "text", "batch", "prompt", "conditions", "complete")
"""What the record of a take says about that take alone."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class System:
    """A measured set in a report.

    Args:
        source: Model, folder or measured set, by name.
        sounds: Where the sound of a clip is, by its id; only for listening.
        ceiling_of: For kind "ceiling": the systems whose codec it went through.
    """

    measured: Measurements
    kind: Kind
    source: str
    sounds: Mapping[str, Path] = field(default_factory=dict)
    ceiling_of: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.measured.name


@dataclass(frozen=True)
class Built:
    """A report, a row per clip, and what the page shows and plays, in the order of `report.samples`."""

    report: Report
    rows: list[dict[str, Any]]
    media: list[Media]


def build(
    systems: Sequence[System],
    reference: Measurements | None,
    config: ReportConfig,
    device: str = "cpu",
    findings: Mapping[str, Sequence[dict[str, Any]]] | None = None,
    notes: Iterable[str] = (),
    progress: Progress = lambda text: None,
    sets: Mapping[str, str] | None = None,
) -> Built:
    """Everything that can be measured.

    Args:
        findings: What other commands found, by "memorization" and "codec".
        sets: The set of each prompt, where they are of several.

    Raises UserError where systems and reference were not heard by the same embedders.
    """
    findings = findings or {}
    true = [*([] if reference is None else [reference]), *(s.measured for s in systems if s.kind == "truth")]
    originals = true if config.paired else []
    figures: list[Figure] = []
    rows: list[dict[str, Any]] = []
    chosen: list[tuple[Sample, Media]] = []
    outliers: dict[str, tuple[tuple[str, float], ...]] = {}
    contenders: list[Contender] = []
    for system in systems:
        progress(f"figures of {system.name}")
        found = columns(system.measured, reference, originals if system.kind != "truth" else ())
        figures += _figures(system, found, reference, config)
        rows += _rows(system, found)
        outliers |= {system.name: _outliers(system, found)}
        if system.kind not in ("truth", "ceiling"):
            contenders.append(Contender(system.measured, found))
        if config.samples:
            chosen += samples(system.measured, found, system.sounds, config.samples, config.loudness_lufs)
    if len(contenders) > 1:
        progress("tests between systems")
    report = Report(
        title=config.title,
        systems=tuple(_record(system) for system in systems),
        reference=None if reference is None else _record(System(reference, "truth", config.reference or "")),
        figures=tuple(_with_ceilings(figures, systems)),
        tests=tuple(compare(contenders, reference, config.seed)),
        gaps=tuple(gaps(contenders, sets or {}, config.seed)),
        set_differences=tuple(set_differences(contenders, sets or {}, config.seed)),
        samples=tuple(sample for sample, _ in chosen),
        rule=rule(config.samples, config.loudness_lufs),
        outliers={name: found for name, found in outliers.items() if found},
        memorization=tuple(findings.get("memorization", ())),
        codec=tuple(findings.get("codec", ())),
        pipeline=_pipeline(config, systems),
        versions=versions(),
        hardware=hardware(device),
        notes=(*notes, *unequal(figures)),
        config=config,
    )
    return Built(report, rows, [media for _, media in chosen])


# -------------------------------------------------------------------------------------------------------------- figures


def _figures(
    system: System, found: Sequence[Column], reference: Measurements | None, config: ReportConfig
) -> list[Figure]:
    measured = system.measured
    figures: list[Figure] = []
    if reference is not None and measured.embeddings:
        figures += distances(measured, reference, config.mauve, config.seed)
    various = [variety(measured, name, reference, config.seed) for name in measured.embeddings]
    figures += [figure for figure in various if figure is not None]
    figures += clip_figures(measured, found, config.seed)
    order = {name: place for place, name in enumerate(METRICS)}
    return sorted(figures, key=lambda f: (order.get(f.metric, len(order)), f.heard_by))


def clip_figures(measured: Measurements, found: Sequence[Column], seed: int = 0) -> list[Figure]:
    """The means of what each clip has, with intervals by resampling pieces, and what chance reaches."""
    pieces = [clip.piece for clip in measured.clips]
    figures = []
    for column in found:
        interval, floor = column.interval(pieces, seed), column.floor_interval(pieces, seed)
        heard = None if column.identity is None else EmbedderRecord.of(column.identity)
        assert interval is not None, "columns without values are left out"
        figures.append(
            Figure(
                metric=column.metric.name, title=column.metric.title, system=measured.name, result=Range.of(interval),
                count=column.count(), of=column.metric.of, unit=column.metric.unit, better=column.metric.better,
                heard_by=column.heard_by, embedder=heard,
                floor=None if floor is None else Range.of(floor), details={"pieces": interval.count},
                notes=() if interval.low > -math.inf else ("one piece alone has no interval",),
            )
        )  # fmt: skip
    return figures


def _with_ceilings(figures: Sequence[Figure], systems: Sequence[System]) -> list[Figure]:
    """Each figure with that of true music through the system's codec, where there is one."""
    ceiling = {name: system.name for system in systems if system.kind == "ceiling" for name in system.ceiling_of}
    known = {(f.system, f.metric, f.heard_by): f.result for f in figures}
    return [
        f.model_copy(update={"ceiling": known.get((ceiling.get(f.system, ""), f.metric, f.heard_by))}) for f in figures
    ]


# ------------------------------------------------------------------------------------------------------------ per clip


def _rows(system: System, found: Sequence[Column]) -> list[dict[str, Any]]:
    """A line of the table per clip: what was asked, what was heard, every figure."""
    rows = []
    for place, clip in enumerate(system.measured.clips):
        heard = clip.heard
        row: dict[str, Any] = {
            "system": system.name, "kind": system.kind, "id": clip.id, "piece": clip.piece, "text": clip.asked.text,
            "seed": clip.record.get("seed"), "sound": clip.sound, "seconds": heard.duration_seconds,
            "sample_rate": heard.sample_rate, "channels": heard.channels, "bpm": heard.tempo.bpm,
            "heard_key": None if heard.key is None else heard.key.name, "heard_genre": heard.genre,
            "heard_instruments": "; ".join(heard.named),
        }  # fmt: skip
        rows.append(row | {column.name: finite(column.mean(place)) for column in found})
    return rows


def _outliers(system: System, found: Sequence[Column]) -> tuple[tuple[str, float], ...]:
    """The clips furthest from the reference, by the first embedder."""
    column = next((column for column in found if column.metric.name == "song_distance"), None)
    if column is None:
        return ()
    ids = system.measured.ids
    ranked = sorted(range(len(ids)), key=lambda place: (-(column.mean(place) or 0.0), ids[place]))
    return tuple((ids[place], column.mean(place) or 0.0) for place in ranked[:OUTLIERS])


# -------------------------------------------------------------------------------------------------------------- records


def _record(system: System) -> SystemRecord:
    measured = system.measured
    named = json.dumps([(clip.id, clip.sound) for clip in measured.clips])
    return SystemRecord(
        name=system.name, kind=system.kind, source=system.source, clips=len(measured),
        pieces=len({clip.piece for clip in measured.clips}),
        seconds=round(sum(clip.heard.duration_seconds for clip in measured.clips), 3),
        sample_rates=tuple(sorted({clip.heard.sample_rate for clip in measured.clips})),
        clip_ids=measured.ids, ids=hashlib.sha256(named.encode()).hexdigest(), made_with=_made_with(measured),
        ceiling_of=system.ceiling_of,
        refused=tuple(RefusedRecord(name=r.name, reason=r.reason) for r in measured.refused),
        notes=(*system.notes, *differences(measured)),
    )  # fmt: skip


def _made_with(measured: Measurements) -> dict[str, Any]:
    """What the records of all clips have in common, and the seeds; what differs without saying is named."""
    records = [dict(clip.record) for clip in measured.clips]
    if not any(records):
        return {}
    common: dict[str, Any] = {}
    for name in sorted({name for record in records for name in record} - set(VARYING)):
        values = [record.get(name) for record in records]
        same = all(value == values[0] for value in values)
        common[name] = values[0] if same else "differs from clip to clip"
    seeds = [record["seed"] for record in records if isinstance(record.get("seed"), int)]
    return common | ({"seeds": f"{min(seeds)} to {max(seeds)}, in items.csv"} if seeds else {})


def differences(measured: Measurements) -> list[str]:
    """What differs between the clips of a set although a comparison supposes that it does not."""
    heard = [clip.heard for clip in measured.clips]
    lengths = [h.duration_seconds for h in heard]
    notes = []
    if len({h.sample_rate for h in heard}) > 1:
        notes.append(f"sample rates differ: {', '.join(str(r) for r in sorted({h.sample_rate for h in heard}))} Hz")
    if max(lengths) > 1.1 * min(lengths):
        notes.append(f"lengths differ: {min(lengths):.1f} to {max(lengths):.1f} s; long clips count more in distances")
    if len({h.channels for h in heard}) > 1:
        notes.append("mono and stereo clips are mixed; embedders hear the mean of the channels")
    return notes


def _pipeline(config: ReportConfig, systems: Sequence[System]) -> dict[str, Any]:
    level = "as it is" if config.loudness_lufs is None else f"{config.loudness_lufs:g} LUFS (ITU-R BS.1770-4)"
    return {
        "level before embedders": level,
        "channels and rate": "each embedder mixes down and resamples for itself",
        "as measured": {system.name: dict(system.measured.settings) for system in systems},
    }


def read_finding(path: Path) -> dict[str, Any]:
    """A JSON object that another command wrote: the whole file, or its last line. UserError for anything else."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give the JSON of a `cadenza evaluate` command") from error
    for part in (text, text.splitlines()[-1] if text else ""):
        try:
            value = json.loads(part)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return {"file": path.name} | value
    raise UserError(f"{path}: no JSON object; give the last line that a `cadenza evaluate` command printed")


def unequal(figures: Sequence[Figure]) -> list[str]:
    """A warning where plain distances were taken from sets of different sizes, on which they depend."""
    windows = [count for f in figures if f.metric == "fad" and (count := f.details.get("windows")) is not None]
    if not windows or max(windows) <= 1.2 * min(windows):
        return []
    return [
        f"Systems have {min(windows):.0f} to {max(windows):.0f} windows, and a plain Fréchet distance falls with their "
        "number: compare its interval or FAD-infinity."
    ]


def groups_of(report: Report) -> dict[str, list[str]]:
    """The metrics of a report by heading, in the order of the page."""
    names = [name for name, _ in report.rows(dict.fromkeys(figure.metric for figure in report.figures))]
    names = list(dict.fromkeys(names))
    found = {group: [name for name in names if metric(name).group == group] for group in GROUPS}
    return {group: members for group, members in found.items() if members}
