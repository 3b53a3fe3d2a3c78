"""Fine-tuning: a person's tracks and a model to an adapter (or a model), and a report of what has changed.

In: a folder of tracks, a `FinetuneConfig`. Out: an adapter file or a model directory; beside it a run folder with the
codes, the log and the report. The loop is the `Trainer`'s: this file chooses its settings, stops it when held-out
tracks are no longer predicted better, and takes the best snapshot. Hu et al. 2021 (LoRA); Dettmers et al. 2023 (over
quantised weights).
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cadenza.checkpoint import parse_config, read_json, write_json
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.data.tokens import encoder_hash
from cadenza.engine.quantize import stored_kind
from cadenza.errors import UserError
from cadenza.loading import find_model
from cadenza.pipelines.musicgen import MusicGen
from cadenza.pipelines.placement import choose_device
from cadenza.train.finetune_config import FinetuneConfig, Material, Plan, make_plan, usual_precision
from cadenza.train.finetune_measure import peak_memory_bytes
from cadenza.train.finetune_report import write_report
from cadenza.train.finetune_session import BEFORE, TRAINING, Session
from cadenza.train.finetune_tracks import Tracks, gather
from cadenza.train.snapshot import last_snapshot

Say = Callable[[str], None]
Counter = Callable[[str], Callable[[int, int], None]]
"""Of a unit, such as "files": a function of `(done, total)` that tells a person."""
SETTINGS = "settings.json"


@dataclass(frozen=True)
class Outcome:
    """What a run has made. `report` is None after an interruption: what was learnt is kept, but not measured."""

    output: Path
    run: Path
    step: int
    interrupted: bool
    report: Path | None
    facts: dict[str, Any]


def run_folder(output: str | Path) -> Path:
    """Where codes, log, snapshots and report of an output are kept: beside it."""
    output = Path(output)
    return output.with_name(f"{output.name.removesuffix('.safetensors')}-finetune")


def finetune(
    folder: str | Path,
    output: str | Path,
    config: FinetuneConfig | None = None,
    *,
    resume: bool = False,
    report: str | Path | None = None,
    say: Say = lambda line: None,
    progress: Counter = lambda unit: lambda done, total: None,
) -> Outcome:
    """Learn from the tracks in `folder`; write an adapter (or, with `full`, a model directory) to `output`.

    Args:
        resume: go on with an unfinished run of this output; the settings are those that it began with, but for `steps`,
            `minutes` and `device`.
        report: folder of the report; None: `report` in the run's folder.
        say, progress: what a person is told.

    Raises UserError for folders, models and settings that cannot be, CadenzaError where the loss is no number or the
    disk is full; an unfinished run can be resumed then.
    """
    began = time.monotonic()
    folder, output = Path(folder), Path(output)
    _check_output(output, config or FinetuneConfig())
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one with your tracks")
    run = run_folder(output)
    if not resume and last_snapshot(run / TRAINING / "snapshots") is not None:
        raise UserError(f"{run} holds an unfinished run: go on with it (--resume), or delete it")
    config = _settled(config or FinetuneConfig(), run, resume)
    session = _open(config, folder, run, say, progress)
    before = session.before()
    trainer = session.trainer(before)
    if resume and trainer.resume():
        say(f"going on from step {trainer.step}")
    seconds = time.monotonic()
    trainer.run()
    facts = session.facts() | {"before": before, "stopped": trainer.reason(), "steps_made": trainer.step}
    facts["seconds"] = {"training": round(time.monotonic() - seconds, 1)}
    facts["step"] = session.take_best(trainer)
    facts["curve"] = trainer.curve()
    session.write(output, facts)
    say(f"{output}: the weights of step {facts['step']}")
    if trainer.interrupted:
        return Outcome(output, run, facts["step"], True, None, facts)
    facts["after"] = session.measure("after")
    facts["seconds"]["all"] = round(time.monotonic() - began, 1)
    facts["peak_memory_bytes"] = peak_memory_bytes(session.device)
    place = write_report(Path(report) if report is not None else run / "report", facts, run / "examples")
    shutil.rmtree(trainer.snapshots, ignore_errors=True)
    return Outcome(output, run, facts["step"], False, place, facts)


def _check_output(output: Path, config: FinetuneConfig) -> None:
    """Find out before the work that its result cannot be kept."""
    if config.full and output.exists() and not (output / "config.json").is_file():
        raise UserError(f"{output} is there and is no model directory: choose a new name for the model")
    if config.full and output.suffix == ".safetensors":
        raise UserError(f"{output}: all weights are a model directory; give a name without .safetensors")
    if not config.full and output.suffix != ".safetensors":
        raise UserError(f"{output}: an adapter is one file; give a name that ends in .safetensors")
    if not config.full and output.is_dir():
        raise UserError(f"{output} is a folder: give the name of a file")
    write_json(run_folder(output) / ".writable", {})
    (run_folder(output) / ".writable").unlink()


_FREE = ("steps", "minutes", "device", "examples")
"""What may be different when a run goes on."""


def _settled(config: FinetuneConfig, run: Path, resume: bool) -> FinetuneConfig:
    """The settings of this run: those that it began with, if it goes on."""
    if not resume or not (run / SETTINGS).is_file():
        return config
    stored = parse_config(FinetuneConfig, read_json(run / SETTINGS)["config"], run / SETTINGS)
    for name in FinetuneConfig.model_fields:
        given, known = getattr(config, name), getattr(stored, name)
        if name not in _FREE and name in config.model_fields_set and given != known:
            raise UserError(f"{name} was {known!r} when {run} began and is {given!r} now: leave it out, or begin anew")
    return stored.model_copy(update={name: getattr(config, name) for name in _FREE if name in config.model_fields_set})


def _open(config: FinetuneConfig, folder: Path, run: Path, say: Say, progress: Counter) -> "Session":
    device = choose_device(config.device)
    if device.type == "mps":
        raise UserError("training on mps is not supported: use --device cpu")
    directory = find_model(config.model)
    music = MusicGen.from_pretrained(directory, device, _load_precision(config, device, directory))
    name = config.model or music.config.name
    say(f"{name}: licence of the weights: {music.config.licence}")
    melody = music.config.melody_condition
    chroma = None if melody is None else music.conditioning.config.conditioners[melody]
    codes = run / f"codes-{encoder_hash(music.codec)[:12]}"
    tracks = gather(
        folder,
        run,
        codes,
        music.codec,
        chroma if isinstance(chroma, ChromaConfig) else None,
        config.caption,
        config.seed,
        progress,
    )
    say(_described(tracks, run))
    plan = _plan(config, music, run, tracks, device)
    return Session(config, plan, music, directory, tracks, run, codes, device, say)


def _load_precision(config: FinetuneConfig, device: torch.device, directory: Path) -> str:
    """Of the weights as they are loaded. All that learn are float32, whatever the frozen ones are."""
    if config.full:
        if config.precision not in (None, "fp32", "bf16"):
            raise UserError(f"precision {config.precision!r}: all weights are trained in fp32 or bf16")
        return "fp32"
    if config.precision == "fp16":
        raise UserError("precision 'fp16' loses small gradients: use bf16 or fp32")
    return config.precision or stored_kind(directory / "lm") or usual_precision(device)


def _described(tracks: Tracks, run: Path) -> str:
    held_out = f"{len(tracks.valid)} held out"
    if tracks.same_tracks:
        held_out = "the last fifth of each is held out" if tracks.valid else "nothing is held out"
    line = f"{len(tracks.entries)} tracks, {tracks.train_seconds / 60:.1f} min to learn from, {held_out}"
    return line + (f"; {len(tracks.skipped)} left out: see {run / 'skipped.jsonl'}" if tracks.skipped else "")


def _plan(config: FinetuneConfig, music: MusicGen, run: Path, tracks: Tracks, device: torch.device) -> Plan:
    """As written down when the run began; written down now, if this is the beginning."""
    identity = {"model": music.config.name, "weights": music.weights}
    stored = read_json(run / SETTINGS) if (run / SETTINGS).is_file() else {}
    unfinished = last_snapshot(run / TRAINING / "snapshots") is not None
    if unfinished and stored.get("weights") != music.weights:
        raise UserError(f"{run} was begun with another model ({stored.get('model')}): give that one, or begin anew")
    plan = make_plan(
        config,
        music.lm.config,
        music.codec.frame_rate,
        music.config.max_duration_seconds,
        device.type,
        Material(tracks.train_seconds, tracks.longest_seconds, bool(tracks.valid)),
    )
    if unfinished:
        plan = parse_config(Plan, stored["plan"], run / SETTINGS).model_copy(
            update={} if config.steps is None else {"steps": config.steps}
        )
    else:
        (run / BEFORE).unlink(missing_ok=True)
    settings = {"config": config.model_dump(mode="json"), "plan": plan.model_dump(mode="json")}
    write_json(run / SETTINGS, settings | identity)
    return plan
