"""The 32 kHz codec of the embedded model: a 16-filter SEANet, trained on composed music on a CPU."""

from cadenza.codec.encodec import EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.train.config import TrainConfig
from cadenza.train.discriminators import DiscriminatorConfig
from cadenza.train.objectives.codec import CodecObjectiveConfig
from cadenza.train.schedule import CosineSchedule


def config() -> TrainConfig:
    half = SEANetConfig(num_filters=16, num_lstm_layers=1, pad_mode="constant")
    return TrainConfig(
        data="corpus",
        objective=CodecObjectiveConfig(
            codec=EnCodecConfig(codebook_size=1024, encoder=half, decoder=half),
            discriminator=DiscriminatorConfig(filters=16, windows=(1024, 256)),
            adversarial_start_step=1500,
            discriminator_seconds=0.5,
        ),
        steps=4000,
        batch_size=8,
        schedule=CosineSchedule(warmup_steps=100, min_ratio=0.1),
        precision="bf16",
        threads=1,
        ema_decay=0.99,
        log_every=20,
        validate_every=500,
        valid_items=16,
        snapshot_every=250,
    )
