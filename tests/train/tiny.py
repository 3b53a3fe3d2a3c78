"""Tiny runs: models and data small enough that a step takes milliseconds."""

from pathlib import Path

import numpy as np
import soundfile
import torch

from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig
from cadenza.conditioning.t5 import T5Config
from cadenza.conditioning.text import TextConfig
from cadenza.data.coding import TokenConfig
from cadenza.data.manifest import Entry, read_manifest, write_manifest
from cadenza.data.writing import write_tokens
from cadenza.lm.model import LMConfig
from cadenza.train.config import TrainConfig
from cadenza.train.discriminators import DiscriminatorConfig
from cadenza.train.losses import MelLossConfig
from cadenza.train.objectives.codec import CodecObjectiveConfig
from cadenza.train.objectives.lm_config import LMObjectiveConfig
from cadenza.train.optim import AdamWConfig

RATE = 4000
HALF = SEANetConfig(num_filters=4, ratios=(5, 4), num_lstm_layers=1, pad_mode="constant")
CODEC = EnCodecConfig(sample_rate=RATE, codebook_size=16, num_codebooks=2, latent_dim=8, encoder=HALF, decoder=HALF)
WORDS = ("slow", "fast", "sad", "bright")


def write_audio(folder: Path, count: int = 4, seconds: float = 0.5, shorter: float = 0.0) -> Path:
    """A data set of tones, each `shorter` than the one before; the last one is for validation."""
    entries = []
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        length = seconds - i * shorter
        time = np.arange(int(length * RATE)) / RATE
        path = folder / f"tone{i}.wav"
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * 220 * (i + 1) * time), RATE, subtype="FLOAT")
        split = "valid" if i == count - 1 else "train"
        captions = (f"{WORDS[i % 4]} tone", f"a {WORDS[i % 4]} sound")
        entries.append(
            Entry(path=str(path), duration=length, sample_rate=RATE, split=split, id=path.stem, captions=captions)
        )
    write_manifest(folder / "manifest.jsonl", entries)
    return folder


def codec_run(data: Path, **changes) -> TrainConfig:
    """An adversarial codec run whose discriminator joins at step 2."""
    objective = {
        "codec": CODEC,
        "segment_seconds": 0.1,
        "valid_seconds": 0.2,
        "mel": MelLossConfig(windows=(32, 64), num_mels=4),
        "discriminator": DiscriminatorConfig(filters=2, windows=(64, 32)),
        "adversarial_start_step": 2,
        "discriminator_seconds": 0.05,
    } | changes.pop("objective", {})
    return _run(data, CodecObjectiveConfig(**objective), changes)


def write_codec(folder: Path) -> Path:
    torch.manual_seed(0)
    codec = EnCodec(CODEC)
    codec.forward_train(torch.randn(4, 1, 2000))  # seeds the codebooks
    codec.save_pretrained(folder)
    return folder


def lm_run(folder: Path, shorter: float = 0.0, **changes) -> TrainConfig:
    """A language-model run on the codes of `write_audio`, with a text encoder of its own."""
    codec, tokens = folder / "codec", folder / "tokens"
    if not tokens.exists():
        write_codec(codec)
        audio = write_audio(folder / "audio", shorter=shorter)
        write_tokens(EnCodec.from_pretrained(codec), read_manifest(audio), tokens, TokenConfig(shard_items=3))
    text = T5Config(vocab_size=120, dim=8, head_dim=4, num_heads=2, num_layers=1, feed_forward_dim=16)
    objective = {
        "codec": str(codec),
        "lm": LMConfig(num_codebooks=2, codebook_size=16, dim=16, num_layers=1, num_heads=2, feed_forward_dim=32),
        "conditioning": ConditioningConfig(
            dim=16, conditioners={"description": TextConfig(dim=8)}, fuser=FuserConfig(cross=("description",))
        ),
        "text_encoder": text,
        "train_text_encoder": True,
        "window_seconds": 0.1,
        "optimizer": AdamWConfig(learning_rate=1e-2),
    } | changes.pop("objective", {})
    return _run(tokens, LMObjectiveConfig(**objective), changes)


def _run(data: Path, objective, changes) -> TrainConfig:
    values = {
        "data": str(data),
        "objective": objective,
        "steps": 6,
        "batch_size": 2,
        "log_every": 2,
        "validate_every": 3,
        "snapshot_every": 3,
        "tensorboard": False,
        "curves": False,
        "sample_prompts": 0,
    }
    return TrainConfig(**(values | changes))
