"""The configuration of a run: what a recipe returns and a snapshot records."""

from typing import Annotated, Literal

from pydantic import Field

from cadenza.checkpoint import Config
from cadenza.train.objectives.codec import CodecObjectiveConfig
from cadenza.train.objectives.lm_config import LMObjectiveConfig
from cadenza.train.schedule import ConstantSchedule, Schedule

ObjectiveConfig = Annotated[CodecObjectiveConfig | LMObjectiveConfig, Field(discriminator="kind")]


class TrainConfig(Config):
    """Everything that decides a run's outcome, and where it runs."""

    data: str = Field(description="folder with a manifest, or a token cache")
    objective: ObjectiveConfig = Field(description="what is trained")
    steps: int = Field(gt=0, description="updates in all")
    batch_size: int = Field(gt=0, description="items per micro-batch")
    accumulation: int = Field(1, gt=0, description="micro-batches per update; their gradients are averaged")
    schedule: Schedule = Field(default_factory=ConstantSchedule, description="of all learning rates")
    seed: int = Field(0, ge=0, description="of initial weights, data order and every draw")
    ema_decay: float = Field(0.99, ge=0, lt=1, description="of the averaged weights, per averaging")
    ema_every: int = Field(1, gt=0, description="updates between averagings")
    device: str = Field("cpu", description="cpu, cuda, cuda:1, mps")
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="autocast type; weights stay fp32")
    threads: int | None = Field(None, gt=0, description="CPU threads; None: PyTorch's default or OMP_NUM_THREADS")
    log_every: int = Field(50, gt=0, description="updates between log lines")
    validate_every: int = Field(1000, ge=0, description="updates between validations; 0: never")
    valid_items: int = Field(64, gt=0, description="items of the valid split that a validation covers at most")
    snapshot_every: int = Field(1000, gt=0, description="updates between snapshots; the last update makes one too")
    keep_snapshots: int = Field(2, gt=0, description="newest snapshots kept, beside the best one")
    max_minutes: float | None = Field(None, gt=0, description="stop (resumable) after this time")
    tensorboard: bool = Field(True, description="write TensorBoard events if it is installed")
