"""Snapshots of a run: a playable model directory, and beside it all that an exact resume needs.

    best -> step_00001000       the snapshot with the lowest validation metric
    last -> step_00002000
    step_00001000/
      model/                    the averaged weights as a model directory
      training/
        weights.safetensors     raw weights of every module, discriminators included
        average.safetensors     the running average
        state.pt                optimisers, gradient scaler, objective (tensors and plain containers: weights_only)
        state.json              step, data cursor, count of the average, validation metric, configuration

Random states are absent on purpose: every draw of step `s` comes from generators seeded by (seed, s). So are schedules:
they are functions of the step.

Files hold whole tensors, so that they do not depend on how many processes wrote them or read them. Shards come together
in the memory of the main process, file by file (26 GB at most for the 3.3 B model, its optimiser), which has to hold
the playable model anyway; with `torch.distributed.checkpoint` a resume would need that package's own files beside it.

A snapshot appears under its name only when it is whole. What a killed process left behind has a name of its own, a
dot in front, and is removed when the run goes on.
"""

import errno
import math
import os
import pickle
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cadenza.checkpoint import read_json, read_weights, write_json, write_pickle, write_weights
from cadenza.errors import CadenzaError, CheckpointError, UserError
from cadenza.files import atomic_directory, atomic_file, refusal
from cadenza.train.distributed import is_main, together
from cadenza.train.ema import EMA
from cadenza.train.objective import Objective
from cadenza.train.sharding import is_shard, like, whole

FORMAT = 1
SETTINGS = ("betas", "eps", "momentum", "weight_decay", "d_coef", "growth_rate")
"""What a configuration sets in the groups of an optimiser, beside the rate; the rest there may be its state."""


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
    """Write `folder/step_XXXXXXXX` atomically and return it. All processes call this together, the main one writes.

    Raises CadenzaError where the disk refuses, in every process; what was there before stays whole.
    """
    path = folder / f"step_{progress.step:08d}"
    numbers = {"format": FORMAT, "average_count": ema.count, **asdict(progress), "config": dict(config)}
    contents = _contents(objective, ema, scaler, numbers)
    with together():
        try:
            if is_main() and not path.exists():
                with atomic_directory(path) as directory:
                    (directory / "training").mkdir()
                    (directory / "model").mkdir()
                    for write in contents:
                        write(directory)
        finally:
            for _ in contents:  # the others bring their part of what is no longer written, too
                pass
    with together():
        if is_main():
            point(folder)
    return path


Write = Callable[[Path], None]


def _contents(
    objective: Objective, ema: EMA, scaler: torch.amp.GradScaler, numbers: Mapping[str, Any]
) -> Iterator[Write]:
    """File by file: gather it from all processes, and say how to write it."""
    weights = _gathered(_joined(objective.modules))
    yield lambda folder: write_weights(folder / "training" / "weights.safetensors", weights)
    del weights
    average = _gathered(ema.average)
    yield lambda folder: write_weights(folder / "training" / "average.safetensors", average)
    del average
    optimizers = {phase.name: _gathered(phase.optimizer.state_dict()) for phase in objective.all_phases()}
    state = {"optimizers": optimizers, "scaler": scaler.state_dict(), "objective": objective.state_dict()}

    def write_state(folder: Path) -> None:
        with atomic_file(folder / "training" / "state.pt") as temporary:
            write_pickle(temporary, state)

    yield write_state
    del optimizers, state
    with ema.applied(), _states_whole(objective.modules):
        yield lambda folder: objective.save_playable(folder / "model")
    yield lambda folder: write_json(folder / "training" / "state.json", numbers)


def load_snapshot(path: Path, objective: Objective, ema: EMA, scaler: torch.amp.GradScaler) -> Progress:
    """Put a snapshot's state into freshly built objects of the same configuration, sharded or not.

    What configurations set of an optimiser (decay, betas) is theirs, not the snapshot's. Raises CheckpointError for a
    snapshot of something else, and for a damaged one.
    """
    try:
        return _load(path, objective, ema, scaler)
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        if isinstance(error, CadenzaError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} is damaged or of another model or optimiser ({reason[:120]}): put the recipe back, or delete this "
            "snapshot to go on from the one before"
        ) from error


def _load(path: Path, objective: Objective, ema: EMA, scaler: torch.amp.GradScaler) -> Progress:
    training = path / "training"
    numbers = read_json(training / "state.json")
    if numbers.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a snapshot of format {numbers.get('format')}, expected {FORMAT}: train anew")
    holder = nn.ModuleDict(dict(objective.modules))
    stored, expected = read_weights(training / "weights.safetensors"), holder.state_dict()
    missing = sorted(expected.keys() ^ stored.keys())
    if missing:
        raise CheckpointError(f"{path} belongs to another model (differs in {missing[0]}): resume with the same recipe")
    with torch.no_grad():
        holder.load_state_dict({name: like(tensor, expected[name]) for name, tensor in stored.items()})
    ema.load(read_weights(training / "average.safetensors"), numbers["average_count"])
    sharded = any(is_shard(tensor) for tensor in expected.values())  # then each process reads only its part
    state = torch.load(training / "state.pt", map_location="cpu", weights_only=True, mmap=sharded)
    for phase in objective.all_phases():
        optimizer = phase.optimizer
        settings = [{name: group[name] for name in SETTINGS if name in group} for group in optimizer.param_groups]
        optimizer.load_state_dict(_as_held(state["optimizers"][phase.name], phase.parameters()))
        for group, values in zip(optimizer.param_groups, settings, strict=True):
            group.update(values)
    if state["scaler"]:  # empty of a run in another precision
        scaler.load_state_dict(state["scaler"])
    objective.load_state_dict(state["objective"])
    return Progress(numbers["step"], numbers["cursor"], numbers["metric"], numbers.get("window", {}))


def stored_config(path: Path) -> dict[str, Any]:
    """The configuration of the run that wrote a snapshot."""
    return dict(read_json(path / "training" / "state.json")["config"])


def last_snapshot(folder: Path) -> Path | None:
    """The newest snapshot below `folder`, or None."""
    found = _snapshots(folder)
    return found[-1] if found else None


def best_snapshot(folder: Path) -> Path | None:
    """The snapshot with the lowest validation metric, or None if none was validated."""
    # The metric of a model that diverged may be no number, which compares with nothing.
    rated = [(metric, path) for path in _snapshots(folder) if math.isfinite(metric := _metric(path))]
    return min(rated)[1] if rated else None


def point(folder: Path) -> None:
    """Let `last` and `best` lead to the snapshots that are so now."""
    _point(folder / "last", last_snapshot(folder))
    _point(folder / "best", best_snapshot(folder))


def prune_snapshots(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` snapshots and the best one, as far as the disk lets us: NFS keeps files that
    somebody has open. What stays goes when the run goes on."""
    spared = {*_snapshots(folder)[-keep:], best_snapshot(folder)}
    for path in _snapshots(folder):
        if path not in spared:
            with suppress(OSError):
                shutil.rmtree(path.rename(_hidden(path)), ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what processes that were killed while they wrote have left in `folder`."""
    for path in folder.glob(".*"):
        if not _LEFTOVER.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _snapshots(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_" + "[0-9]" * 8))


def _metric(path: Path) -> float:
    metric = read_json(path / "training" / "state.json").get("metric")
    return math.nan if metric is None else float(metric)


_NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""What file systems without links answer, each in its own way."""
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{12}(\.old)?")


def _hidden(path: Path) -> Path:
    """A name beside `path` that nobody looks at, as those of unfinished files (`cadenza.files`)."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")


def _point(link: Path, target: Path | None) -> None:
    """Make `link` lead to a snapshot beside it, atomically; file systems without links do without."""
    if target is None:
        return
    if link.is_dir() and not link.is_symlink():
        raise UserError(f"{link} is a folder, and should be a link: it was copied with what it led to, delete it")
    temporary = _hidden(link)
    try:
        temporary.symlink_to(target.name, target_is_directory=True)
        os.replace(temporary, link)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in _NO_LINKS:
            raise refusal(link, error) from error


def _joined(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{name}.{key}": tensor for name, part in modules.items() for key, tensor in part.state_dict().items()}


def _gathered(value: Any) -> Any:
    """The same containers with whole tensors, on the CPU where they were shards. All processes call this together."""
    if isinstance(value, Mapping):
        return {name: _gathered(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_gathered(part) for part in value)
    if isinstance(value, Tensor) and is_shard(value):
        full = whole(value.detach())
        return full.cpu() if is_main() else None
    return value


def _as_held(state: dict[str, Any], parameters: list[nn.Parameter]) -> dict[str, Any]:
    """The state of an optimiser of these parameters, its tensors sharded as they are."""
    if not any(is_shard(parameter) for parameter in parameters):
        return state
    slots = {
        number: {
            name: like(value, parameters[number])
            if isinstance(value, Tensor) and value.shape == parameters[number].shape
            else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    return state | {"state": slots}


@contextmanager
def _states_whole(modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Inside the block the main process's state dicts of sharded modules hold whole tensors."""
    with ExitStack() as hooks:
        for module in modules.values():
            if not any(is_shard(parameter) for parameter in module.parameters()):
                continue
            gathered = _gathered(module.state_dict())

            def replace(
                part: nn.Module, state: dict[str, Any], prefix: str, local: Any, full: dict[str, Any] = gathered
            ) -> None:
                state.update({prefix + name: tensor for name, tensor in full.items()})

            hooks.callback(module.register_state_dict_post_hook(replace).remove)
        yield
