"""MusicGen-1 of "音樂生成 Music Generation" (NCNU): 119,171,072 parameters, post-norm, trained on 5 s of MusicCaps.

As printed: T5-small frozen, 250 text tokens, EnCodec 32 kHz frozen, delay pattern, batches of 30, EMA 0.99, 300 epochs,
word dropout 0.2. The paper leaves open, and this recipe chooses: AdamW at 1e-4 with warm-up and clipping, 0.1 condition
dropout, and the number of accumulated batches (2). Words are dropped anew at every step instead of once when stored.
Needs a token cache of MusicCaps (`python -m cadenza.data CODEC DATA OUT`); not run at this size here.
"""

from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig
from cadenza.conditioning.text import TextConfig
from cadenza.data.captions import CaptionConfig
from cadenza.lm.model import InterleavedConfig, LMConfig
from cadenza.train.config import TrainConfig
from cadenza.train.objectives.lm_config import LMObjectiveConfig
from cadenza.train.optim import AdamWConfig
from cadenza.train.schedule import CosineSchedule

TRAIN_CLIPS = 3468  # 0.8 * 0.8 of the 5,419 clips that were found
BATCH, ACCUMULATION, EPOCHS = 30, 2, 300


def config() -> TrainConfig:
    text = TextConfig(dim=512, projection_layers=2, max_tokens=250, truncate=True, pad_to=250)
    return TrainConfig(
        data="data/musiccaps_tokens",
        objective=LMObjectiveConfig(
            name="system1-small",
            codec="models/encodec_32khz",
            lm=LMConfig(
                dim=1024,
                num_layers=8,
                num_heads=8,
                feed_forward_dim=2048,
                num_special_tokens=2,
                norm_first=False,
                final_norm=False,
                attention_bias=True,
                feed_forward_bias=True,
                head_bias=True,
                activation="relu",
                dropout=0.1,
                positional=InterleavedConfig(),
            ),
            conditioning=ConditioningConfig(
                dim=1024, conditioners={"description": text}, fuser=FuserConfig(cross=("description",))
            ),
            text_encoder="models/t5-small",
            window_seconds=5.0,
            condition_dropout=0.1,
            captions=CaptionConfig(merge=0, word_dropout=0.2),
            optimizer=AdamWConfig(learning_rate=1e-4),
        ),
        steps=EPOCHS * TRAIN_CLIPS // (BATCH * ACCUMULATION),
        batch_size=BATCH,
        accumulation=ACCUMULATION,
        schedule=CosineSchedule(warmup_steps=500),
        ema_decay=0.99,
        precision="bf16",
        validate_every=500,
        valid_items=867,
        snapshot_every=500,
    )
