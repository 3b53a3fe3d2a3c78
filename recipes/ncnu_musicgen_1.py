"""MusicGen-1 of "音樂生成 Music Generation" (NCNU): 119,171,072 parameters, post-norm, trained on 5 s of MusicCaps.

As printed: T5-small frozen, 250 text tokens (cut or padded with zeros, which are attended to), words dropped with 0.2
once when the text is encoded; EnCodec 32 kHz frozen, first 5 s; delay pattern; batches of 30; EMA 0.99; 300 epochs. The
data, with models/encodec_32khz and models/t5-small converted before:

    cadenza data musiccaps musiccaps-public.csv --out data/musiccaps
    cadenza data split data/musiccaps --test 0.2 --valid 0.2
    cadenza data tokens data/musiccaps data/musiccaps_tokens --codec models/encodec_32khz --text states
        --text-encoder models/t5-small --max-tokens 250 --word-dropout 0.2 --first-seconds 5

The paper leaves open, and this recipe chooses: AdamW at 1e-4 with warm-up and clipping (docs/convergence.md shows why),
ReLU and dropout 0.1 (PyTorch's defaults for this decoder), 0.1 condition dropout, 2 accumulated batches. Play it as the
paper does: `GenerationConfig(guidance=0.8, guidance_domain="probabilities")` is its mixture with g = 0.2.
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

TRAIN_CLIPS, VALID_CLIPS = 3468, 867  # of the 5,419 clips that were found: 80 % of 80 %, and 20 % of 80 %
BATCH, ACCUMULATION, EPOCHS = 30, 2, 300


def config() -> TrainConfig:
    text = TextConfig(dim=512, projection_layers=2, max_tokens=250, truncate=True, pad_to=250)
    return TrainConfig(
        data="data/musiccaps_tokens",
        objective=LMObjectiveConfig(
            name="ncnu-musicgen-1",
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
                dim=1024,
                conditioners={"description": text},
                fuser=FuserConfig(cross=("description",), mask_padding=False),
            ),
            text_encoder="models/t5-small",
            window_seconds=5.0,
            condition_dropout=0.1,
            captions=CaptionConfig(merge=0.0, word_dropout=0.0),  # dropped in the cache
            optimizer=AdamWConfig(learning_rate=1e-4),
        ),
        steps=EPOCHS * TRAIN_CLIPS // (BATCH * ACCUMULATION),
        batch_size=BATCH,
        accumulation=ACCUMULATION,
        schedule=CosineSchedule(warmup_steps=500),
        ema_decay=0.99,
        precision="bf16",
        validate_every=500,
        valid_items=VALID_CLIPS,
        snapshot_every=500,
    )
