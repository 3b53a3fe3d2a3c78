"""Snapshots of a run: a playable model directory, and beside it all that an exact resume needs.

    step_00001000/
      model/                    the averaged weights as a model directory
      training/
        weights.safetensors     raw weights of every module, discriminators included
        average.safetensors     the running average
        state.pt                optimisers, gradient scaler, objective (tensors and plain containers: weights_only)
        state.json              step, data cursor, count of the average, validation metric, configuration

Random states are absent on purpose: every draw of step `s` comes from generators seeded by (seed, s). So are schedules:
they are functions of the step.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cadenza.checkpoint import read_json, read_weights, write_json, write_pickle, write_weights
from cadenza.errors import CheckpointError
from cadenza.files import atomic_directory
from cadenza.train.ema import EMA
from cadenza.train.objective import Objective

FORMAT = 1


@dataclass(frozen=True)
class Progress:
    """Where a run stands: updates made, micro-batches consumed, the latest validation metric (lower is better), and the
    sums of the log line that is not yet due."""

    step: int
    cursor: int
    metric: float | None = None
    window: dict[str, list[float]] = field(default_factory=dict)


def save_snapshot(
    folder: Path,
    objective: Objective,
    ema: EMA,
    scaler: torch.amp.GradScaler,
    progress: Progress,
    config: Mapping[str, Any],
) -> Path:
    """Write `folder/step_XXXXXXXX` atomically and return it."""
    path = folder / f"step_{progress.step:08d}"
    with atomic_directory(path) as directory:
        training, model = directory / "training", directory / "model"
        training.mkdir()
        model.mkdir()
        write_weights(training / "weights.safetensors", _joined(objective.modules))
        write_weights(training / "average.safetensors", ema.average)
        optimizers = {phase.name: phase.optimizer.state_dict() for phase in objective.all_phases()}
        state = {"optimizers": optimizers, "scaler": scaler.state_dict(), "objective": objective.state_dict()}
        write_pickle(training / "state.pt", state)
        numbers = {"format": FORMAT, "average_count": ema.count, **asdict(progress), "config": dict(config)}
        write_json(training / "state.json", numbers)
        with ema.applied():
            objective.save_playable(model)
    return path


def load_snapshot(path: Path, objective: Objective, ema: EMA, scaler: torch.amp.GradScaler) -> Progress:
    """Put a snapshot's state into freshly built objects of the same configuration."""
    training = path / "training"
    numbers = read_json(training / "state.json")
    if numbers.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a snapshot of format {numbers.get('format')}, expected {FORMAT}: train anew")
    holder = nn.ModuleDict(dict(objective.modules))
    stored = read_weights(training / "weights.safetensors")
    missing = sorted(holder.state_dict().keys() ^ stored.keys())
    if missing:
        raise CheckpointError(f"{path} belongs to another model (differs in {missing[0]}): resume with the same recipe")
    with torch.no_grad():
        holder.load_state_dict(stored)
    ema.load(read_weights(training / "average.safetensors"), numbers["average_count"])
    state = torch.load(training / "state.pt", map_location="cpu", weights_only=True)
    for phase in objective.all_phases():
        phase.optimizer.load_state_dict(state["optimizers"][phase.name])
    scaler.load_state_dict(state["scaler"])
    objective.load_state_dict(state["objective"])
    return Progress(numbers["step"], numbers["cursor"], numbers["metric"], numbers.get("window", {}))


def last_snapshot(folder: Path) -> Path | None:
    """The newest snapshot below `folder`, or None."""
    found = _snapshots(folder)
    return found[-1] if found else None


def best_snapshot(folder: Path) -> Path | None:
    """The snapshot with the lowest validation metric, or None if none was validated."""
    rated = [(metric, path) for path in _snapshots(folder) if (metric := _metric(path)) is not None]
    return min(rated)[1] if rated else None


def prune_snapshots(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` snapshots and the best one."""
    spared = {*_snapshots(folder)[-keep:], best_snapshot(folder)}
    for path in _snapshots(folder):
        if path not in spared:
            shutil.rmtree(path)


def _snapshots(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_" + "[0-9]" * 8))


def _metric(path: Path) -> float | None:
    return read_json(path / "training" / "state.json").get("metric")


def _joined(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{name}.{key}": tensor for name, part in modules.items() for key, tensor in part.state_dict().items()}
