"""The 32 kHz codec of the embedded model: log-mel encoder, inverse-STFT decoder, 4 x 1024 codes at 50 Hz (2.0 kbit/s).

Trained on composed music on one CPU thread. Reconstruction alone first, then with small discriminators. Measured against a
16-filter SEANet in the same two minutes of one thread: log-mel distance 0.40 against 0.94 (docs/log.md).
"""

from cadenza.codec.encodec import EnCodecConfig
from cadenza.codec.spectral import SpectralConfig
from cadenza.train.config import TrainConfig
from cadenza.train.discriminators import DiscriminatorConfig
from cadenza.train.losses import MelLossConfig
from cadenza.train.objectives.codec import CodecObjectiveConfig, CodecWeights
from cadenza.train.schedule import CosineSchedule


def config() -> TrainConfig:
    return TrainConfig(
        data="corpus",
        objective=CodecObjectiveConfig(
            codec=EnCodecConfig(
                codebook_size=1024,
                latent_dim=64,
                encoder=SpectralConfig(dim=256, num_layers=2, fast_dim=96, fast_layers=2),
                decoder=SpectralConfig(dim=384, num_layers=4, fast_dim=192, fast_layers=4),
            ),
            learning_rate=1e-3,
            betas=(0.8, 0.99),
            max_grad_norm=1.0,
            weights=CodecWeights(adversarial=2.0, features=4.0, mel=4.0, l1=0.0, commitment=1.0),
            mel=MelLossConfig(windows=(128, 256, 512, 1024, 2048)),
            discriminator=DiscriminatorConfig(filters=16, windows=(2048, 1024, 512), frequency_stride=2),
            adversarial_start_step=4500,
            discriminator_seconds=0.5,
        ),
        steps=4500,
        batch_size=8,
        schedule=CosineSchedule(warmup_steps=50, min_ratio=0.1),
        precision="bf16",
        threads=1,
        ema_decay=0.99,
        log_every=20,
        validate_every=250,
        valid_items=16,
        snapshot_every=250,
    )
