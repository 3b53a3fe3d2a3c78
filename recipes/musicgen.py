"""MusicGen as published, one function per model: `cadenza train recipes/musicgen.py:small`.

Copet et al. 2023 and audiocraft's configurations: 1,000,000 updates of 192 windows of 30 s, cosine schedule after 4,000
updates of warm-up, AdamW (0.9, 0.95) with decay 0.1 at 1e-4 (small: D-Adaptation at 1), weights averaged every 10
updates with 0.99, fp16. Text and word dropout 0.3 (large 0.2); metadata joins a description with chance 0.25.

    small     300 M  32 GPUs           melody        medium's size, chroma before the text, no cross-attention
    medium    1.5 B  64 GPUs           stereo_SIZE   from `cadenza convert SIZE DIR --stereo-start`, 200,000 updates
    large     3.3 B  96 GPUs           style         medium's size, an excerpt of the music itself before the text

`cadenza data tokens` computes the codes beforehand (melody: `--melody`, stereo: `--stereo`). On eight GPUs: `torchrun
--nproc-per-node 8 -m cadenza train recipes/musicgen.py:medium --set parallel=fsdp --set precision=bf16` (FSDP takes no
fp16 and no D-Adaptation: train `small` without `parallel`). Not run at these sizes here. Unlike
audiocraft's, conditions are dropped per item, not per batch, and the first update has a learning rate.
"""

from typing import NamedTuple

from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig
from cadenza.conditioning.style import StyleConfig
from cadenza.conditioning.text import TextConfig
from cadenza.data.captions import CaptionConfig
from cadenza.lm.model import LMConfig
from cadenza.lm.patterns import DelayConfig
from cadenza.train.config import TrainConfig
from cadenza.train.objectives.lm import LMObjectiveConfig
from cadenza.train.optim import AdamWConfig, DAdaptConfig
from cadenza.train.schedule import CosineSchedule


class Size(NamedTuple):
    dim: int
    num_layers: int
    num_heads: int
    max_grad_norm: float = 1.0
    dropout: float = 0.3
    """Chance that an item is trained without its conditions, and that a word is left out."""


SIZES = {"small": Size(1024, 24, 16), "medium": Size(1536, 48, 24), "large": Size(2048, 48, 32, 3.0, 0.2)}
CODEC = "models/encodec_32khz"
TEXT_ENCODER = "models/t5-base"
STEREO = DelayConfig(delays=(0, 0, 1, 1, 2, 2, 3, 3))


def small() -> TrainConfig:
    return _text_to_music("small", optimizer=DAdaptConfig())


def medium() -> TrainConfig:
    return _text_to_music("medium")


def large() -> TrainConfig:
    return _text_to_music("large")


def stereo_small() -> TrainConfig:
    return _stereo("small")


def stereo_medium() -> TrainConfig:
    return _stereo("medium")


def stereo_large() -> TrainConfig:
    return _stereo("large")


def melody() -> TrainConfig:
    conditions = {"melody": ChromaConfig(), "description": TextConfig()}
    return _in_front(conditions, condition_dropout=0.2, melody_dropout=0.5, captions=CaptionConfig(word_dropout=0.2))


def style() -> TrainConfig:
    conditions = {"style": StyleConfig(), "description": TextConfig()}
    return _in_front(
        conditions,
        condition_dropout=0.1,
        text_dropout=0.4,
        style_dropout=0.4,
        style_encoder="models/mert-v1-95m",
        recordings="data/music",
        captions=CaptionConfig(word_dropout=0.2),
    )


config = small


def _text_to_music(size: str, data: str = "data/tokens", steps: int = 1_000_000, **changes: object) -> TrainConfig:
    """A model that attends to its text."""
    dropout = SIZES[size].dropout
    fields = {"name": f"musicgen-{size}", "condition_dropout": dropout, "captions": CaptionConfig(word_dropout=dropout)}
    conditioning = ConditioningConfig(
        dim=SIZES[size].dim, conditioners={"description": TextConfig()}, fuser=FuserConfig(cross=("description",))
    )
    return _run(SIZES[size], conditioning, data, steps, fields | changes)


def _in_front(conditions: dict[str, object], **fields: object) -> TrainConfig:
    """A model of medium's size whose conditions stand in front of the music."""
    conditioning = ConditioningConfig(
        dim=SIZES["medium"].dim, conditioners=conditions, fuser=FuserConfig(prepend=tuple(conditions))
    )
    named = {"name": f"musicgen-{next(iter(conditions))}"} | fields
    return _run(SIZES["medium"], conditioning, "data/tokens", 1_000_000, named)


def _stereo(size: str) -> TrainConfig:
    """Continues a stereo start: left and right of the mono codec in turn, in the same steps."""
    return _text_to_music(
        size,
        data="data/tokens_stereo",
        steps=200_000,
        name=f"musicgen-stereo-{size}",
        start_from=f"models/musicgen-{size}-stereo-start",
    )


def _run(size: Size, conditioning: ConditioningConfig, data: str, steps: int, fields: dict[str, object]) -> TrainConfig:
    stereo = "start_from" in fields
    lm = LMConfig(
        num_codebooks=8 if stereo else 4,
        dim=size.dim,
        num_layers=size.num_layers,
        num_heads=size.num_heads,
        feed_forward_dim=4 * size.dim,
        cross_attention=bool(conditioning.fuser.cross),
        pattern=STEREO if stereo else DelayConfig(),
    )
    values = {
        "codec": CODEC,
        "lm": lm,
        "conditioning": conditioning,
        "text_encoder": TEXT_ENCODER,
        "window_seconds": 30.0,
        "optimizer": AdamWConfig(learning_rate=1e-4),
        "max_grad_norm": size.max_grad_norm,
    }
    return TrainConfig(
        data=data,
        objective=LMObjectiveConfig(**(values | fields)),
        steps=steps,
        batch_size=192,
        schedule=CosineSchedule(warmup_steps=4000),
        ema_decay=0.99,
        ema_every=10,
        device="cuda",
        precision="fp16",
        log_every=100,
        validate_every=2000,
        valid_items=1000,
        snapshot_every=2000,
    )
