"""MusicGen-2 of "音樂生成 Music Generation" (NCNU): 844,689,408 parameters; in the paper it did not converge.

`recipes/ncnu_musicgen_1.py` at twice the width, heads and layers: 2048, 16, 16, 4096. Two functions:

    cadenza train recipes/ncnu_musicgen_2.py           as the paper seems to: post-norm, no warm-up, no clipping
    cadenza train recipes/ncnu_musicgen_2.py:stable    what a shrunk experiment says converges (docs/convergence.md)

Not run at this size here. Weights, gradients and AdamW's moments take 13.5 GB in fp32.
"""

from pathlib import Path

from cadenza.train.config import TrainConfig
from cadenza.train.run import read_recipe

SMALL = Path(__file__).with_name("ncnu_musicgen_1.py")
SIZE = (
    "objective.name=ncnu-musicgen-2",
    "objective.lm.dim=2048",
    "objective.lm.num_heads=16",
    "objective.lm.num_layers=16",
    "objective.lm.feed_forward_dim=4096",
    "objective.conditioning.dim=2048",
)
PAPER = (
    "objective.max_grad_norm=0",
    "objective.optimizer.learning_rate=1e-3",  # not printed; PyTorch's default
    "objective.optimizer.weight_decay=0",
    "schedule={kind: constant}",
)
STABLE = (
    "objective.lm.norm_first=true",
    "objective.lm.final_norm=true",
    "objective.gradient_checkpointing=true",
)


def config() -> TrainConfig:
    return read_recipe(SMALL, (*SIZE, *PAPER))


def stable() -> TrainConfig:
    return read_recipe(SMALL, (*SIZE, *STABLE))
