"""From a name on the command line to a measured set, and from figures to lines: what all `cadenza evaluate` shares."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cadenza.cli.progress import counter
from cadenza.cli.values import whole_number
from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.evaluate.clips import ClipSet
    from cadenza.evaluate.embedders.base import Embedder, Identity, JointEmbedder, Labeller
    from cadenza.evaluate.embedders.listener import Listener
    from cadenza.evaluate.measurements import Measurements
    from cadenza.evaluate.report.figures import Figure


Workers = Annotated[
    int, typer.Option(metavar="N", parser=whole_number, help="Processes that listen; figures do not depend on it.")
]


@dataclass(frozen=True)
class Ears:
    """What listens, opened."""

    embedders: "tuple[Embedder, ...]" = ()
    labellers: "tuple[Labeller, ...]" = ()
    joints: "tuple[JointEmbedder, ...]" = ()
    listener: "Listener | None" = None
    """Tells instruments and genres for the control figures."""


def open_ears(
    embedders: Iterable[str] = (),
    labellers: Iterable[str] = (),
    joints: Iterable[str] = (),
    control: bool = False,
    device: str = "cpu",
) -> Ears:
    """By their names. UserError for names, paths and weights that are not there, before anything is measured."""
    from cadenza.evaluate.embedders.listener import Listener
    from cadenza.evaluate.embedders.registry import open_embedder, open_joint, open_labeller

    report = counter("MB of weights")

    def fetched(done: int, total: int) -> None:
        report(done // 1_000_000, total // 1_000_000)

    return Ears(
        tuple(open_embedder(name, device, fetched) for name in embedders),
        tuple(open_labeller(name, device, fetched) for name in labellers),
        tuple(open_joint(name, device, fetched) for name in joints),
        Listener.embedded() if control else None,
    )


def measured(
    source: "str | Path | ClipSet",
    ears: Ears,
    loudness_lufs: float | None = -14.0,
    cache: Path | None = None,
    prompts: Path | None = None,
    name: str | None = None,
    workers: int = 1,
) -> "Measurements":
    """A measured set as it is on the disk, or clips, measured now. UserError where nothing can be judged."""
    from dataclasses import replace

    from cadenza.evaluate.clips import ClipSet, read_clips
    from cadenza.evaluate.measure import measure
    from cadenza.evaluate.measurements import Measurements, is_measured

    if isinstance(source, ClipSet):
        clips = source
    elif is_measured(source):
        if prompts is not None:
            raise UserError(f"{source} was measured with its prompts: leave out --prompts, or give the recordings")
        found = Measurements.load(source)
        check_ears(found, ears, str(source))
        return replace(found, name=name or found.name)
    else:
        clips = read_clips(source, prompts)
    clips = replace(clips, name=name or clips.name)
    return measure(
        clips, ears.embedders, ears.labellers, ears.joints, ears.listener, loudness_lufs, cache,
        counter(f"clips of {clips.name}"), workers,
    )  # fmt: skip


def check_ears(found: "Measurements", ears: Ears, source: str, whole: bool = True) -> None:
    """Raise UserError unless a measured set was heard by these very ears: its sound is not here to be heard again.

    `whole`: it has to hold everything that is asked for; else only what it holds has to be the same.
    """
    for kind, wanted, known in (
        ("embedder", ears.embedders, found.embeddings),
        ("labeller", ears.labellers, found.labels),
        ("joint embedder", ears.joints, found.joint),
    ):
        for one in wanted:
            name = one.identity.name
            if name in known:
                _check_same(known[name].identity, one.identity, source)
            elif whole:
                has = ", ".join(known) or "none"
                raise UserError(f"{source} was not measured with the {kind} {name!r} (but {has}): measure it again")
    if ears.listener is not None:
        from cadenza.evaluate.embedders import base

        ear = found.settings.get("ear")
        if ear is not None:
            _check_same(base.Identity.from_record(ear), ears.listener.identity, source)
        elif whole:
            raise UserError(f"{source} was measured without the ear that names instruments: measure it again")


def _check_same(theirs: "Identity", ours: "Identity", source: str) -> None:
    if theirs.digest != ours.digest:
        raise UserError(
            f"{source} was measured by {theirs.name} with weights {theirs.weights[:12]} or other settings, here are "
            f"{ours.weights[:12]}: measure it again"
        )


# ---------------------------------------------------------------------------------------------------------------- lines


def lines_of(figures: "Sequence[Figure]") -> list[str]:
    """Figures for a person."""
    from cadenza.evaluate.report.figures import shown
    from cadenza.evaluate.report.metrics import metric

    lines = []
    for figure in figures:
        digits = metric(figure.metric).digits
        infinity = figure.details.get("fad_infinity")
        heard = f" by {figure.embedder.name} ({figure.embedder.weights[:12]})" if figure.embedder else ""
        unit = f" {figure.unit}" if figure.unit else ""
        line = f"{figure.title}{heard}: {figure.text(digits)}{unit}, N {figure.count} {figure.of}"
        if infinity is not None:
            line += f"; FAD-infinity {shown(infinity, digits)}"
        if figure.floor is not None:
            line += f"; chance {figure.floor.text(digits)}"
        lines += [line, *(f"  note: {note}" for note in figure.notes)]
    return lines


def object_of(key: str, figure: "Figure", sets: "Mapping[str, Measurements]", **more: Any) -> dict[str, Any]:
    """The last line of a command: the figure under its name, with all that it takes to judge it."""
    return {
        key: figure.result.value,
        "low": figure.result.low,
        "high": figure.result.high,
        "count": figure.count,
        "of": figure.of,
        **figure.details,
        **({} if figure.floor is None else {"floor": figure.floor.value}),
        "embedder": None if figure.embedder is None else figure.embedder.model_dump(),
        "notes": list(figure.notes),
        **more,
        **about(sets),
    }


def about(sets: "Mapping[str, Measurements]") -> dict[str, Any]:
    """What was judged, what differs within it, and what could not be."""
    from cadenza.evaluate.report.build import differences

    return {
        "sets": {role: {"name": found.name, "clips": len(found)} for role, found in sets.items()},
        "mixed": {role: mixed for role, found in sets.items() if (mixed := differences(found))},
        "refused": [
            {"set": role, "name": one.name, "reason": one.reason}
            for role, found in sets.items()
            for one in found.refused
        ],
    }


def show(lines: Iterable[str], result: Mapping[str, Any], as_json: bool) -> None:
    """Lines for a person unless only the JSON is wanted, what could not be judged, and the object as the last line."""
    if not as_json:
        for line in lines:
            print(line)
        for role, notes in result.get("mixed", {}).items():
            print(f"{role}: {'; '.join(notes)}")
        for one in result.get("refused", ()):
            print(f"not judged: {one['name']}: {one['reason']}")
    print(json.dumps(result, ensure_ascii=False))
