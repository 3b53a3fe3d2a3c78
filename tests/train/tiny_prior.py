"""A VQ-VAE of two levels, tones with artists and lyrics, their codes, and priors small enough for milliseconds."""

from pathlib import Path

import torch

from cadenza.data.manifest import read_manifest, write_manifest
from cadenza.data.writing import write_tokens
from cadenza.jukebox.attention import LayerKind
from cadenza.jukebox.conditioner import ConditionerConfig
from cadenza.jukebox.labels import LabelConfig
from cadenza.jukebox.level import VQVAELevel
from cadenza.jukebox.lyrics import EncodedLyrics, SequenceLyrics
from cadenza.jukebox.prior import PriorConfig
from cadenza.jukebox.timing import TimingConfig
from cadenza.jukebox.transformer import TransformerConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig
from cadenza.train.config import TrainConfig
from cadenza.train.objectives.prior_config import PriorObjectiveConfig
from cadenza.train.objectives.prior_data import level_folder
from cadenza.train.optim import AdamWConfig
from train.tiny import RATE, write_audio

VQVAE = JukeboxVQVAEConfig(sample_rate=RATE, downs=(2, 1), widths=(4, 4), depths=(1, 1), latent_dim=4, codebook_size=16)
CYCLE: tuple[LayerKind, ...] = ("row", "column", "previous_row")
SUNG = "Some words that are sung here, and some more of them"


def stack(layers: tuple[LayerKind, ...] = CYCLE) -> TransformerConfig:
    return TransformerConfig(dim=16, num_heads=2, attention_dim=8, feed_forward_dim=16, layers=layers, num_rows=4)


TOP = PriorConfig(
    level=1,
    sample_rate=RATE,
    hop_length=8,
    codebook_size=16,
    context_length=64,
    transformer=stack(),
    labels=LabelConfig(version="v3", num_genres=1, num_artists=1, max_genres=2),
    timing=TimingConfig(num_bins=8, min_seconds=0.2, max_seconds=4.0),
)
UPSAMPLER = TOP.model_copy(
    update={"level": 0, "hop_length": 4, "timing": None, "conditioner": ConditionerConfig(width=4, depth=1, num_ups=1)}
)
IN_SEQUENCE = TOP.model_copy(
    update={"lyrics": SequenceLyrics(num_tokens=8), "transformer": stack((*CYCLE, "prime", *CYCLE[:2]))}
)
BESIDE = TOP.model_copy(
    update={
        "lyrics": EncodedLyrics(num_tokens=8, encoder=stack()),
        "transformer": stack((*CYCLE, "cross")),
        "tied_head": False,
    }
)


def write_vqvae(folder: Path) -> Path:
    torch.manual_seed(0)
    vqvae = JukeboxVQVAE(VQVAE)
    for level in range(2):
        torch.nn.init.normal_(vqvae.codebook(level).vectors, std=0.05)
    vqvae.save_pretrained(folder)
    return folder


def write_songs(folder: Path, vqvae: Path | None = None) -> Path:
    """Four tones of a second by two artists; given a VQ-VAE, their codes of both levels as well, in `tokens`."""
    write_audio(folder, seconds=1.0)
    facts = [
        {"artist": "Ada", "genre": "tone", "lyrics": SUNG},
        {"artist": "ada", "genre": ["Tone", "high"], "piece_seconds": 3.0, "start_seconds": 1.5},
        {"artist": "Bo"},
        {"artist": "Ada", "genre": "tone", "lyrics": SUNG},
    ]
    entries = read_manifest(folder)
    write_manifest(
        folder / "manifest.jsonl",
        [type(entry).model_validate(entry.model_dump() | more) for entry, more in zip(entries, facts, strict=True)],
    )
    if vqvae is not None:
        model = JukeboxVQVAE.from_pretrained(vqvae)
        for level in range(2):
            write_tokens(VQVAELevel(model, level), read_manifest(folder), level_folder(folder / "tokens", level))
    return folder


def prior_run(data: Path, vqvae: Path, prior: PriorConfig | None = TOP, **changes) -> TrainConfig:
    objective = {"vqvae": str(vqvae), "prior": prior, "optimizer": AdamWConfig(learning_rate=3e-3, betas=(0.9, 0.95))}
    values = {
        "data": str(data),
        "objective": PriorObjectiveConfig(**(objective | changes.pop("objective", {}))),
        "steps": 4,
        "batch_size": 2,
        "log_every": 2,
        "validate_every": 2,
        "snapshot_every": 2,
        "tensorboard": False,
        "curves": False,
        "sample_prompts": 0,
    }
    return TrainConfig(**(values | changes))
