"""The configuration of a run: what a recipe returns and a snapshot records."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from cadenza.checkpoint import Config
from cadenza.errors import UserError
from cadenza.train.objectives.codec import CodecObjectiveConfig
from cadenza.train.objectives.diffusion_config import DiffusionObjectiveConfig
from cadenza.train.objectives.lm_config import LMObjectiveConfig
from cadenza.train.objectives.prior_config import PriorObjectiveConfig
from cadenza.train.objectives.reading import ReadingObjectiveConfig
from cadenza.train.objectives.vqvae import VQVAEObjectiveConfig
from cadenza.train.schedule import ConstantSchedule, Schedule

ObjectiveConfig = Annotated[
    CodecObjectiveConfig
    | DiffusionObjectiveConfig
    | LMObjectiveConfig
    | PriorObjectiveConfig
    | ReadingObjectiveConfig
    | VQVAEObjectiveConfig,
    Field(discriminator="kind"),
]


class TrainConfig(Config):
    """Everything that decides a run's outcome, and where it runs."""

    data: str = Field(description="folder with a manifest, a token cache, or JSON lines of captions and facts")
    objective: ObjectiveConfig = Field(description="what is trained")
    steps: int = Field(gt=0, description="updates in all")
    batch_size: int = Field(gt=0, description="items per micro-batch, those of all processes together")
    accumulation: int = Field(1, gt=0, description="micro-batches per update; their gradients are averaged")
    schedule: Schedule = Field(default_factory=ConstantSchedule, description="of all learning rates")
    seed: int = Field(0, ge=0, description="of initial weights, data order and every draw")
    ema_decay: float = Field(0.99, ge=0, lt=1, description="of the averaged weights, per averaging")
    ema_every: int = Field(1, gt=0, description="updates between averagings")
    device: str = Field("cpu", description="cpu, cuda (of several processes: one GPU each), cuda:1, mps")
    parallel: Literal["ddp", "fsdp"] = Field(
        "ddp", description="what several processes (torchrun) share: batches, or the weights as well"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="autocast type; weights stay fp32")
    threads: int | None = Field(None, gt=0, description="CPU threads; None: PyTorch's default or OMP_NUM_THREADS")
    log_every: int = Field(50, gt=0, description="updates between log lines")
    validate_every: int = Field(1000, ge=0, description="updates between validations; 0: never")
    valid_items: int = Field(64, gt=0, description="items of the valid split that a validation covers at most")
    snapshot_every: int = Field(1000, gt=0, description="updates between snapshots; the last update makes one too")
    keep_snapshots: int = Field(2, gt=0, description="newest snapshots kept, beside the best one")
    max_minutes: float | None = Field(None, gt=0, description="stop (resumable) after this time")
    tensorboard: bool = Field(True, description="write TensorBoard events if it is installed")
    curves: bool = Field(True, description="draw curves.png at every validation, if matplotlib is installed")
    sample_prompts: Annotated[int, Field(ge=0)] | tuple[str, ...] = Field(
        2, description="what is played at every snapshot: sentences, or how many items of the valid split; 0: nothing"
    )
    prefetch: int = Field(2, ge=0, description="batches drawn ahead by a thread; 0: none")


DECIDES = ("seed", "batch_size", "accumulation", "data", "objective", "schedule", "ema_decay", "ema_every", "precision")
"""Fields on which the outcome depends. The others (steps, device, threads, how often to log) may change on resuming."""


def check_same_run(config: TrainConfig, stored: Mapping[str, Any]) -> None:
    """Raise UserError if the recipe of a run has changed in what decides its outcome since `stored` was written."""
    present = config.model_dump(mode="json")
    changes = [change for name in DECIDES if name in stored for change in _changes(name, stored[name], present[name])]
    if changes:
        name, before, now = changes[0]
        more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
        raise UserError(
            f"{name} was {before!r} when this run began and is {now!r}{more}: put it back, begin a new run, or go on "
            "with the change (--allow-changes)"
        )


def _changes(name: str, before: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Fields that both have, and that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in (key for key in now if key in before):
            yield from _changes(f"{name}.{key}", before[key], now[key])
    elif before != now:
        yield name, before, now
