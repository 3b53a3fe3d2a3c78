"""The settings of a fine-tuning run, and what follows from them for given tracks.

In: what the person chose. Out: a `Plan`. Defaults were measured on the model inside (`benchmarks/finetune.py`); for
wider models the rate falls with the root of the width, as rates that are used with LoRA elsewhere do (Dettmers et al.,
2023: 2e-4 at a width of 4096 and less for larger).
"""

import math
from dataclasses import dataclass

import torch
from pydantic import Field

from cadenza.checkpoint import Config
from cadenza.errors import UserError
from cadenza.lm.adapter import AdapterConfig
from cadenza.lm.model import LMConfig

BASE_DIM = 320
"""Width of the model on which the rates were measured."""
LORA_RATE, FULL_RATE = 5e-4, 5e-5
ITEMS_PER_UPDATE = 4
CPU_WINDOW_SECONDS = 10.0
"""Longer windows are for GPUs: a step of MusicGen-small with 4 windows of 30 s takes a core minutes."""
PASSES = 24
"""How often training hears every second at most; early stopping mostly ends it sooner."""
BLIND_PASSES = 8
"""The same where nothing could be held out, and nothing ends it."""
STEPS = (40, 2000)
ACTIVATION_BYTES = 2 * 2**30
"""What a micro-batch may keep for the backward pass before layers are computed twice instead."""
_KEPT_PER_LAYER = 24
"""Vectors of the model's width that a layer keeps for its backward pass, per step of a sequence (float32)."""


class FinetuneConfig(Config):
    """What a person may choose; None: what suits the model, the device and the tracks."""

    model: str | None = Field(None, description="directory, file or Hub name; None: the model inside")
    full: bool = Field(False, description="train all weights: the result is a model directory, not an adapter")
    rank: int = Field(16, ge=1, le=1024, description="width of the branches (LoRA)")
    alpha: float | None = Field(None, gt=0, allow_inf_nan=False, description="branches count alpha / rank; None: rank")
    caption: str | None = Field(None, description="words in front of every caption, such as a name for the style")
    steps: int | None = Field(None, ge=1, description="updates at most")
    minutes: float = Field(8.0, gt=0, allow_inf_nan=False, description="time for training at most")
    learning_rate: float | None = Field(None, gt=0, allow_inf_nan=False, description="peak rate of AdamW")
    batch_size: int | None = Field(None, ge=1, description="windows per update")
    window_seconds: float | None = Field(None, gt=0, allow_inf_nan=False, description="length of a window")
    seed: int = Field(0, ge=0, description="of the split, the draws and the branches")
    device: str | None = Field(None, description="cpu, cuda, cuda:1, mps; None: a GPU if there is one")
    precision: str | None = Field(
        None, description="of the frozen weights: fp32, bf16, int8, int4; with full, of the products: fp32 or bf16"
    )
    examples: int = Field(2, ge=0, le=16, description="pieces made before and after, with the same seeds")
    excerpts: int = Field(8, ge=0, le=1000, description="openings of training tracks that are played on greedily")

    @property
    def adapter(self) -> AdapterConfig | None:
        """Settings of the branches; None: all weights are trained."""
        if self.full:
            return None
        return AdapterConfig(rank=self.rank, alpha=self.alpha or float(self.rank))


class Plan(Config):
    """What a run does."""

    window_seconds: float = Field(description="length of a training window")
    batch_size: int = Field(description="windows per micro-batch")
    accumulation: int = Field(description="micro-batches per update")
    steps: int = Field(description="updates at most")
    warmup_steps: int = Field(description="updates of rising rate")
    learning_rate: float = Field(description="behind the warm-up")
    ema_decay: float = Field(description="of the averaged weights, per update")
    validate_every: int = Field(description="updates between validations; 0: never")
    patience: int = Field(description="validations without a new best before it ends")
    gradient_checkpointing: bool = Field(description="compute layers twice, keep less")


@dataclass(frozen=True)
class Material:
    """What there is to learn from."""

    train_seconds: float
    longest_seconds: float
    """Of a track."""
    has_valid: bool


def usual_precision(device: torch.device) -> str:
    """bf16 where its products are fast: on GPUs, and on processors that have them (2.3 times the speed of fp32,
    measured on an AMD EPYC; elsewhere they are emulated)."""
    if device.type == "cpu":
        return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
    return "bf16"


def make_plan(
    config: FinetuneConfig,
    lm: LMConfig,
    frame_rate: float,
    reach_seconds: float,
    device: str,
    material: Material,
) -> Plan:
    """Everything that was not chosen, from the model's size and the length of the music.

    `reach_seconds` is the longest that the model has heard, `device` the kind. Raises UserError for windows that
    cannot be.
    """
    seconds = config.window_seconds or reach_seconds
    if seconds > reach_seconds:
        raise UserError(f"windows of {seconds:g} s: the model has heard {reach_seconds:g} s at most; choose less")
    if config.window_seconds is None:
        seconds = min(seconds, material.longest_seconds, CPU_WINDOW_SECONDS if device == "cpu" else math.inf)
    frames = round(seconds * frame_rate)
    if frames < 2:
        raise UserError(f"windows of {seconds:g} s hold {frames} frame(s): choose longer ones")
    wanted = config.batch_size or ITEMS_PER_UPDATE
    kept = 4 * frames * lm.dim * lm.num_layers * _KEPT_PER_LAYER
    checkpointing = kept * wanted > ACTIVATION_BYTES
    together = wanted if not checkpointing else max(1, min(wanted, ACTIVATION_BYTES // max(1, kept // lm.num_layers)))
    while wanted % together:
        together -= 1
    passes = PASSES if material.has_valid else BLIND_PASSES
    by_music = int(passes * material.train_seconds / seconds / wanted)
    steps = config.steps or min(max(by_music, STEPS[0]), STEPS[1])
    width = (BASE_DIM / lm.dim) ** 0.5 if lm.dim > BASE_DIM else 1.0
    rate = config.learning_rate or (FULL_RATE if config.full else LORA_RATE) * width
    validate_every = max(1, min(10, steps // 4)) if material.has_valid else 0
    return Plan(
        window_seconds=seconds,
        batch_size=together,
        accumulation=wanted // together,
        steps=steps,
        warmup_steps=min(10, steps),
        learning_rate=rate,
        ema_decay=0.9,
        validate_every=validate_every,
        patience=5,
        gradient_checkpointing=checkpointing,
    )
