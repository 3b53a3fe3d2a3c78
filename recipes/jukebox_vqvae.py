"""Jukebox' VQ-VAE: `cadenza train recipes/jukebox_vqvae.py`.

Dhariwal et al. 2020 (arXiv 2005.00341), appendix: 44.1 kHz, mono, three autoencoders of hop 8, 32 and 128, 2048 codes
each; 384,618 updates of 256 segments of 8.9 s, Adam at 3e-4, commitment 0.02, codebook averages 0.99 with restarts.
From its published code: 100 updates of warm-up, gradients clipped to 1, weights averaged with `1 - batch / 8 / 1000`.

    config        as published; 256 V100 took three days
    no_restarts   the same, entries without use stay as they are: the comparison of the paper's figure
    no_spectral   the same, samples are compared alone: a row of the paper's ablation
    shared        the same, one autoencoder for all levels: another row
    khz22         the small one of the published code: 22.05 kHz, two levels of hop 32 and 256, 1024 codes
    one_thread    a small one for a CPU thread: 16 kHz, hops 8, 32 and 128, 512 codes; 13 minutes (0.5 s an update)

Validation tells, of each level decoded on its own, spectral convergence (dB), the entropy of codes (bits) and the share
of entries used. On eight GPUs: `torchrun --nproc-per-node 8 -m cadenza train recipes/jukebox_vqvae.py`. Not run at the
published size here; its numbers were written down from notes on the paper: compare them before quoting.
"""

from typing import Any

from cadenza.jukebox.codebook import LearningConfig
from cadenza.jukebox.vqvae import JukeboxVQVAEConfig
from cadenza.train.config import TrainConfig
from cadenza.train.objectives.vqvae import VQVAEObjectiveConfig
from cadenza.train.schedule import ConstantSchedule, CosineSchedule
from cadenza.train.vqvae_losses import VQVAEWeights


def config() -> TrainConfig:
    return _published()


def no_restarts() -> TrainConfig:
    return _published(codebooks=LearningConfig(restarts=False))


def no_spectral() -> TrainConfig:
    return _published(weights=VQVAEWeights(multispectral=0.0))


def shared() -> TrainConfig:
    return _published(vqvae=JukeboxVQVAEConfig(layout="shared"))


def khz22() -> TrainConfig:
    """Samples are compared by their squared error alone, beside the spectra."""
    model = JukeboxVQVAEConfig(sample_rate=22050, downs=(5, 3), widths=(32, 32), depths=(4, 4), codebook_size=1024)
    objective = VQVAEObjectiveConfig(
        vqvae=model, segment_samples=262_144, valid_samples=262_144, weights=VQVAEWeights(linf=0.0)
    )
    return _run(objective, steps=200_000, batch_size=32, device="cuda")


def one_thread() -> TrainConfig:
    """For the composed corpus, or any other: 2 s of music an update, and the rate sinks to a twentieth.

    At the top a batch has half as many vectors as entries: averages forget sooner, and what is used in less than one of
    twenty batches is drawn anew.
    """
    model = JukeboxVQVAEConfig(sample_rate=16000, widths=(32, 32, 64), depths=(2, 3, 3), codebook_size=512)
    objective = VQVAEObjectiveConfig(
        vqvae=model,
        codebooks=LearningConfig(decay=0.97, restart_threshold=0.05),
        segment_samples=8192,
        valid_samples=65_536,
        bandwidth_seconds=120.0,
        learning_rate=1e-3,
    )
    return _run(
        objective,
        steps=1600,
        batch_size=4,
        threads=1,
        precision="bf16",
        ema_decay=0.99,
        schedule=CosineSchedule(warmup_steps=50, min_ratio=0.05),
        log_every=20,
        validate_every=200,
        valid_items=16,
        snapshot_every=100,
        data="corpus",
    )


def _published(**changes: Any) -> TrainConfig:
    return _run(VQVAEObjectiveConfig(**changes), steps=384_618, batch_size=256, device="cuda")


def _run(objective: VQVAEObjectiveConfig, steps: int, batch_size: int, **changes: Any) -> TrainConfig:
    settings: dict[str, Any] = {
        "data": "music",
        "ema_decay": 1 - batch_size / 8 / 1000,
        "schedule": ConstantSchedule(warmup_steps=100),
        "validate_every": 2000,
        "snapshot_every": 10_000,
    }
    return TrainConfig(objective=objective, steps=steps, batch_size=batch_size, **settings | changes)
