"""What an upsampler hears of the level above: dilated convolutions over its codes, at the rate of this level.

In: codes `[B, T]` of the level above. Out: `[B, T * 2 ** num_ups, D]`, added to the input of every position. Dhariwal
et al. (2020), arXiv 2005.00341, section 4.2 and table 4; a WaveNet without gates.
"""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.jukebox.autoencoder import DecoderStage, StackShape


class ConditionerConfig(Config):
    """Defaults: the published upsampler of level 0 (that of level 1 has `residual_scale`)."""

    width: int = Field(1024, ge=1, le=65536, description="channels of the convolutions")
    depth: int = Field(16, ge=1, le=256, description="residual blocks before each doubling of the rate")
    num_ups: int = Field(2, ge=1, le=16, description="doublings of the rate between the two levels")
    dilation_growth: int = Field(3, ge=1, le=16, description="dilation of block j: this to the power j % cycle")
    dilation_cycle: int = Field(8, ge=1, le=256, description="blocks after which dilations begin anew")
    residual_scale: bool = Field(False, description="multiply what a block adds by 1 / sqrt(depth)")

    @property
    def stride(self) -> int:
        """Codes of this level for one of the level above."""
        return int(2**self.num_ups)


class Conditioner(nn.Module):
    """`norm(stage(embedding(codes)))`, in float32 whatever the precision of the prior."""

    float32_weights = True

    def __init__(self, config: ConditionerConfig, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.config = config
        shape = StackShape(
            width=config.width,
            depth=config.depth,
            growth=config.dilation_growth,
            cycle=config.dilation_cycle,
            scale=config.depth**-0.5 if config.residual_scale else 1.0,
        )
        self.embedding = nn.Embedding(codebook_size, dim)
        self.stage = DecoderStage(dim, shape, config.num_ups, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, codes: Int[Tensor, "B T"]) -> Float[Tensor, "B U D"]:
        with torch.autocast(codes.device.type, enabled=False):
            return self.norm(self.stage(self.embedding(codes).mT).mT)

    @torch.no_grad()
    def initialize(self, scale: float, generator: torch.Generator | None = None) -> None:
        """The embedding as published, N(0, 0.02 scale); convolutions and norm as PyTorch makes them."""
        nn.init.normal_(self.embedding.weight, 0.0, 0.02 * scale, generator=generator)
