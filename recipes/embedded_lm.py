"""The language model of the embedded model, with its own small text encoder, trained on composed music on a CPU.

Run in phases, each resuming the one before with `--resume --allow-changes` or beginning with its averaged weights
(docs/log.md says why; `embedded.py` does it with one command). The shipped model:

    50 minutes, one thread, 10 hours of music (seed 7), without melody and plan:
      steps 1 to 1085       windows of 10 s, batch 6: how music goes on (a third of it with two threads)
      to 1313               --set objective.window_seconds=2.5 --set batch_size=24
      to 1523               --set objective.window_seconds=0.5 --set batch_size=120 --set steps=4000: what words mean
      to 1750               windows of 10 s, batch 6, --set steps=1750: the rate decays
    80 minutes, one thread, 30 hours (seeds 7 and 11), the melody joins from zero weights:
      steps 1 to 1621       windows of 2.5 s, batch 24, rate 1.5e-3
      to 2900               windows of 10 s, batch 6
    the plan joins from zero weights, rate 1.5e-3, what is dropped as below:
      400 steps             windows of 2.5 s, batch 24, codes of the codec before: a quarter of a core
      800 steps             the same with the codes of today's codec, seed 7 alone: 27 minutes, one thread
      830 steps             windows of 10 s, batch 12, seeds 7, 11 and 41: 32 minutes, two processes of one thread
    45 hours (seed 31 joins; the second composer's pieces count 2.5 times), --set objective.melody_dropout=0.4:
      2109 steps            windows of 2.5 s, batch 24, rate 1.5e-3: 61 minutes, one thread
      900 steps             windows of 10 s, batch 12, rate 1.5e-3: 38 minutes, two processes of one thread
      1450 steps            the same at 1.2e-3: 72 minutes, one thread

Seeds 7 and 11 are pieces of the first composer, 31 and 41 of the second; captions of all are of the second. The
melody's pitch classes were those of A = 440 Hz up to step 1621, then those of each recording's own tuning. What comes
next is judged by the evaluator's report before it is shipped (`recipes/judge_embedded.yaml`).
"""

from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.plan import PlanConfig
from cadenza.conditioning.provider import ConditioningConfig
from cadenza.conditioning.t5 import T5Config
from cadenza.conditioning.text import TextConfig
from cadenza.corpus.genres import GENRES
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.vocabulary import MOOD_WORDS
from cadenza.data.captions import CaptionConfig
from cadenza.lm.model import LMConfig
from cadenza.train.config import TrainConfig
from cadenza.train.objectives.lm_config import LMObjectiveConfig
from cadenza.train.optim import MuonConfig
from cadenza.train.schedule import CosineSchedule

DIM = 320
PLAN = PlanConfig(
    genres=(*(genre.name for genre in GENRES), "solo"),
    instruments=tuple(INSTRUMENTS),
    moods=tuple(MOOD_WORDS),
    reader="reader",
)
TEXT = T5Config(
    vocab_size=2048, dim=192, head_dim=32, num_heads=6, num_layers=3, feed_forward_dim=512, feed_forward="gated-gelu"
)
MELODY = ChromaConfig(
    length=512, steps_per_second=50.0, quiet_db=40.0, tuning="recording", null="nothing", stems="none"
)
"""Frame by frame beside the codes, 10 s of 50 Hz and the steps of the delay; drums and bass were not taken out."""


def config() -> TrainConfig:
    return TrainConfig(
        data="runs/tokens",
        objective=LMObjectiveConfig(
            name="cadenza-embedded",
            licence="MIT",
            codec="runs/codec/model/codec",
            lm=LMConfig(codebook_size=1024, dim=DIM, num_layers=8, num_heads=4, feed_forward_dim=4 * DIM),
            conditioning=ConditioningConfig(
                dim=DIM,
                conditioners={
                    "description": TextConfig(dim=TEXT.dim, max_tokens=64, truncate=True),
                    "melody": MELODY,
                    "plan": PLAN,
                },
                fuser=FuserConfig(cross=("description",), sum=("melody", "plan"), mask_padding=True),
            ),
            text_encoder=TEXT,
            train_text_encoder=True,
            window_seconds=10.0,
            condition_dropout=0.1,
            text_dropout=0.2,
            melody_dropout=0.6,
            plan_dropout=0.1,
            captions=CaptionConfig(merge=0, word_dropout=0.1),
            optimizer=MuonConfig(learning_rate=2e-3),
        ),
        steps=1750,
        batch_size=6,
        schedule=CosineSchedule(warmup_steps=60, min_ratio=0.05),
        ema_decay=0.98,
        precision="bf16",
        threads=1,
        log_every=20,
        validate_every=200,
        valid_items=32,
        snapshot_every=200,
    )
