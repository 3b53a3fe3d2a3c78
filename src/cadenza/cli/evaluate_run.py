"""`cadenza evaluate run`: a configuration to a report. Takes and what was heard in them are kept as they come."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cadenza.cli import INTERRUPTED
from cadenza.cli.evaluate_sets import Ears, Workers, check_ears, measured, open_ears
from cadenza.cli.progress import counter
from cadenza.cli.values import show_notices
from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.codec.base import Codec
    from cadenza.evaluate.clips import Asked, ClipSet
    from cadenza.evaluate.measurements import Measurements
    from cadenza.evaluate.report.build import System
    from cadenza.evaluate.report.config import ReportConfig, SystemConfig
    from cadenza.evaluate.report.figures import Kind, Report

TAKES, CEILINGS, MEASURED, CACHE = "takes", "ceilings", "measured", "cache"
CONFIG, TIMINGS = "config.json", "timings.json"


def run(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONFIG", help="YAML or JSON: systems, prompts, reference, embedders. [default: embedded]"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the report. [default: evaluation/ and CONFIG's name]")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a report that was begun in this folder.")
    ] = False,
    workers: Workers = 1,
) -> None:
    """Judge systems by everything there is: one page, one JSON, one table of clips.

    Without CONFIG: the embedded model, on the prompts, with the ear and against the true music that come along;
    no network is needed. Every figure stands with its N, its 95 % interval and the embedder that heard it.
    """
    show_notices(once=True)
    from cadenza.evaluate.report.config import read_report_config

    chosen = read_report_config(config)
    folder = out or Path("evaluation") / ("embedded" if config is None else config.stem)
    _claim(folder, chosen, resume)
    try:
        result = Run(chosen, Path() if config is None else config.parent, folder, workers).report()
    except KeyboardInterrupt:
        _say("cadenza: interrupted; takes and measurements are kept, add --resume to go on")
        raise typer.Exit(INTERRUPTED) from None
    print("\n".join(result.pop("lines")))
    print(json.dumps(result, ensure_ascii=False))


def _claim(folder: Path, config: "ReportConfig", resume: bool) -> None:
    """The folder is new, or holds this very report, begun before. UserError otherwise."""
    from cadenza.checkpoint import read_json, write_json
    from cadenza.evaluate.report.config import check_report_config

    place = folder / CONFIG
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: choose another --out")
    if place.is_file():
        if not resume:
            raise UserError(f"{folder} holds a report already: add --resume to go on, or choose another --out")
        if check_report_config(read_json(place), str(place)) != config:
            raise UserError(f"{folder} was begun with another configuration: choose another --out, or restore it")
    elif folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} holds other files: choose an empty or new folder with --out")
    write_json(place, config.model_dump(mode="json"))


class Run:
    """One report on its way. Paths in the configuration are relative to `base`."""

    def __init__(self, config: "ReportConfig", base: Path, folder: Path, workers: int = 1) -> None:
        self.config, self.base, self.folder, self.workers = config, base, folder, workers
        self.timings: dict[str, Any] = _read_timings(folder / TIMINGS)
        self._codecs: dict[str, Codec] = {}

    def report(self) -> dict[str, Any]:
        """Make it, write it, and say in short what is in it."""
        from cadenza.evaluate.report.build import System, build, read_finding
        from cadenza.evaluate.report.files import write_report

        config = self.config
        findings = {
            kind: [read_finding(self.base / path) for path in getattr(config, kind)]
            for kind in ("memorization", "codec")
        }
        prompts, sets = self._prompts()
        self._check_paths()
        with self._timed("open embedders"):
            ears = open_ears(config.embedders, config.labellers, config.joints, True, config.embedder_device)
        reference = self._reference(config.reference, ears)
        systems: list[System] = []
        sounds: dict[str, ClipSet] = {}
        for system in config.systems:
            clips = self._clips(system, prompts)
            if clips is not None:
                sounds[system.name] = clips
            found = self._measured(clips or self.base / str(system.measured), ears, system.name)
            kind: Kind = "model" if system.model is not None else "audio" if system.audio is not None else "measured"
            source = system.model or Path(system.audio or system.measured or "").name
            places = {} if clips is None else {clip.id: clip.path for clip in clips.clips}
            systems.append(System(found, kind, source, places))
        systems += self._truth_and_ceilings(ears)
        with self._timed("figures"):
            built = build(systems, reference, config, self._device(), findings, self._notes(), _say, sets)
        page = write_report(built, self.folder)
        self._write_timings()
        return _summary(built.report, page)

    # ---- what is judged ----------------------------------------------------------------------------------------------

    def _prompts(self) -> "tuple[dict[str, Asked] | None, dict[str, str]]":
        """What is asked, and the set of each prompt."""
        from cadenza.evaluate.prompts import FILES
        from cadenza.evaluate.prompts import load as load_prompts

        if self.config.prompts is None:
            return None, {}
        named = (self.config.prompts,) if isinstance(self.config.prompts, str) else self.config.prompts
        prompts: dict[str, Asked] = {}
        sets: dict[str, str] = {}
        for name in named:
            found = load_prompts("default" if name == "embedded" else name if name in FILES else self.base / name)
            found = dict(list(found.items())[: self.config.max_prompts])
            twice = next((prompt for prompt in found if prompt in prompts), None)
            if twice is not None:
                raise UserError(f"two prompts of id {twice!r} in {', '.join(named)}: give each its own")
            prompts |= found
            sets |= dict.fromkeys(found, Path(name).stem)
        return prompts, sets

    def _check_paths(self) -> None:
        """What is not there is said before the first take is made."""
        named = [s.audio or s.measured for s in self.config.systems]
        named += [p for p in (self.config.reference, self.config.truth) if p != "embedded"]
        for path in named:
            if path is not None and not (self.base / path).exists():
                raise UserError(f"{self.base / path}: no such file or folder; correct it in the configuration")
        if self.config.reference == "embedded":
            foreign = [name for name in self.config.embedders if name != "mel"]
            if foreign:
                raise UserError(
                    f"the embedded reference was heard by mel alone, not by {foreign[0]}: name a folder of true music "
                    "as `reference`, or leave that embedder out"
                )

    def _clips(self, system: "SystemConfig", prompts: "dict[str, Asked] | None") -> "ClipSet | None":
        """The clips of a system, made now if it is a model; None for a measured set."""
        from cadenza.evaluate.clips import read_clips

        if system.measured is not None:
            return None
        if system.audio is not None:
            source = self.base / system.audio
            has_own = source.is_file() or any((source / name).is_file() for name in ("manifest.jsonl", "prompts.jsonl"))
            return replace(read_clips(source, None if has_own else prompts), name=system.name)
        assert prompts is not None, "the configuration is checked"
        return self._takes(system, prompts)

    def _takes(self, system: "SystemConfig", prompts: "dict[str, Asked]") -> "ClipSet":
        from cadenza.checkpoint import weights_hash
        from cadenza.cli.evaluate_takes import TakeMaker
        from cadenza.cli.values import set_threads
        from cadenza.loading import find_model, load_musicgen

        directory, sampling = find_model(self._model(system)), system.sampling or self.config.sampling
        set_threads(sampling.threads)
        maker = TakeMaker(
            lambda: load_musicgen(directory, sampling.device, sampling.precision),
            weights_hash(directory),
            sampling,
            self.folder / TAKES / self._slug(system.name),
        )
        _say(f"takes of {system.name}")
        try:
            with self._timed(f"takes of {system.name}"):
                return maker.make(system.name, prompts, counter(f"takes of {system.name}"))
        finally:
            self.timings.setdefault("takes", {}).setdefault(system.name, {}).update(maker.seconds)
            self._write_timings()

    def _model(self, system: "SystemConfig") -> str | Path | None:
        """What `load` takes: a directory beside the configuration, or a name."""
        if system.model is None or system.model == "embedded":
            return None
        return self.base / system.model if (self.base / system.model).exists() else system.model

    def _measured(self, source: "ClipSet | Path", ears: Ears, name: str) -> "Measurements":
        with self._timed(f"measuring {name}"):
            found = measured(
                source, ears, self.config.loudness_lufs, self.folder / CACHE, name=name, workers=self.workers
            )
        found.save(self.folder / MEASURED / f"{self._slug(name)}.safetensors")
        return found

    # ---- true music --------------------------------------------------------------------------------------------------

    def _reference(self, named: str | None, ears: Ears) -> "Measurements | None":
        from cadenza.evaluate.report.shipped import load_shipped

        if named is None:
            return None
        ears = Ears(ears.embedders, ears.labellers)  # nobody asks what its words or its tempo are
        if named == "embedded":
            reference = load_shipped("reference")
            check_ears(reference, Ears(ears.embedders), "the embedded true music")
            return reference
        return self._measured(self.base / named, ears, "true music (reference)")

    def _truth_and_ceilings(self, ears: Ears) -> "list[System]":
        """True music as a system, and through the codec of each system that has one."""
        from cadenza.evaluate.codec_quality import codec_hash
        from cadenza.evaluate.report.build import System
        from cadenza.evaluate.report.shipped import CODEC, load_shipped

        config, found = self.config, []
        is_embedded = config.truth == "embedded" or (config.truth is None and config.reference == "embedded")
        if is_embedded:
            truth = load_shipped("truth")
            check_ears(truth, ears, "the embedded true music", whole=False)
            found.append(System(replace(truth, name="true music"), "truth", "embedded"))
        elif config.truth is not None:
            truth = self._measured(self.base / config.truth, ears, "true music")
            found.append(System(truth, "truth", Path(config.truth).name))
        if not config.ceilings:
            return found
        by_codec: dict[str, list[str]] = {}
        codecs: dict[str, Codec] = {}
        for system in config.systems:
            if system.model is None and system.codec is None:
                continue
            codec = self._codec(system)
            key = codec_hash(codec)
            codecs[key] = codec
            by_codec.setdefault(key, []).append(system.name)
        for key, names in by_codec.items():
            title = f"true music, codec of {names[0]}"
            if is_embedded:
                shipped = load_shipped("ceiling")
                if shipped.settings.get(CODEC) == key:
                    check_ears(shipped, ears, "the embedded true music", whole=False)
                    found.append(System(replace(shipped, name=title), "ceiling", "embedded", ceiling_of=tuple(names)))
                else:
                    _say(f"no ceiling for {names[0]}: the embedded true music was not passed through its codec")
                continue
            clips = self._ceiling_clips(codecs[key], key, title)
            if clips is not None:
                places = {clip.id: clip.path for clip in clips.clips}
                note = () if config.truth else ("the pieces of the reference itself: nearer than any new music can be",)
                heard = self._measured(clips, ears, title)
                found.append(System(heard, "ceiling", "codec", places, tuple(names), note))
        return found

    def _codec(self, system: "SystemConfig") -> "Codec":
        from cadenza.loading import load_codec

        name = system.codec if system.codec is not None else self._model(system)
        if isinstance(name, str) and (self.base / name).exists():
            name = self.base / name
        key = str(name)
        if key not in self._codecs:
            self._codecs[key] = load_codec(None if key == "embedded" else name, self.config.sampling.device)
        return self._codecs[key]

    def _ceiling_clips(self, codec: "Codec", key: str, title: str) -> "ClipSet | None":
        """True music through a codec; None where its sound is not at hand."""
        from cadenza.cli.evaluate_takes import through_codec
        from cadenza.evaluate.clips import read_clips
        from cadenza.evaluate.measurements import is_measured

        named = self.config.truth or self.config.reference
        if named is None or named == "embedded" or is_measured(self.base / named):
            _say(f"{title}: the sound of true music is not at hand")
            return None
        folder = self.folder / CEILINGS / key[:16]
        clips = read_clips(self.base / named)
        with self._timed(title):
            return through_codec(clips, codec, title, folder, self.config.ceiling_clips, counter(title))

    # ---- facts -------------------------------------------------------------------------------------------------------

    def _slug(self, name: str) -> str:
        """A name for files; systems are numbered, so that no two of them meet."""
        place = next((f"{n}-" for n, system in enumerate(self.config.systems, 1) if system.name == name), "")
        return place + slug(name)

    def _notes(self) -> list[str]:
        """What concerns every figure."""
        if self.config.reference != "embedded":
            return []
        return [
            "The true music is composed, by the program that composed the embedded model's training data too (other "
            "pieces): distances say how well that music is met, not how near a system comes to recorded music."
        ]

    def _device(self) -> str:
        from cadenza.pipelines.placement import choose_device

        has_model = any(system.model for system in self.config.systems)
        return str(choose_device(self.config.sampling.device)) if has_model else "cpu"

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.timings.setdefault("seconds", {})[what] = round(time.perf_counter() - began, 3)

    def _write_timings(self) -> None:
        from cadenza.checkpoint import write_json

        write_json(self.folder / TIMINGS, self.timings)


def slug(name: str) -> str:
    """A name as a folder's."""
    kept = "".join(c if c.isalnum() else "-" for c in name.lower())
    return "-".join(part for part in kept.split("-") if part)[:60] or "system"


def _read_timings(path: Path) -> dict[str, Any]:
    from cadenza.checkpoint import read_json

    try:
        return read_json(path)
    except UserError:
        return {}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _summary(report: "Report", page: Path) -> dict[str, Any]:
    """The figures in short, for the terminal and for programs."""
    from cadenza.evaluate.report.metrics import metric
    from cadenza.evaluate.report.verdict import verdicts

    rows: dict[tuple[str, str], list[str]] = {}
    values: dict[str, dict[str, float | None]] = {system.name: {} for system in report.systems}
    for figure in report.figures:
        heard = f" ({figure.heard_by})" if figure.heard_by else ""
        text = f"{figure.system} {figure.text(metric(figure.metric).digits)}"
        rows.setdefault((figure.title, heard), []).append(text)
        values[figure.system][figure.metric + heard] = figure.result.value
    lines = [f"{title}{heard}: {', '.join(texts)}" for (title, heard), texts in rows.items()]
    lines += [f"{who}: {'; '.join(what)}" for who, what in verdicts(report)]
    refused = sum(len(system.refused) for system in report.systems)
    lines += [f"not judged: {refused} files or prompts, listed in the report"] if refused else []
    lines.append(f"the report: {page}")
    return {"lines": lines, "report": str(page.with_name("report.json")), "figures": values, "refused": refused}
