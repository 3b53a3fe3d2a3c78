"""The network of one band: noisy audio, the step and the codec's latent in, the noise in the audio out.

A one-dimensional U-Net whose levels divide the rate by `stride` and multiply the width by `growth`; the condition joins
at the bottleneck. Multi-Band Diffusion (San Roman et al. 2023, arXiv 2308.02560, section 3.3).

Parameters (level 0 is the one next to the audio, decoders are listed deepest first):
`encoders.{d}.{down.weight, norm.*, blocks.{j}.{norm1, conv1, norm2, conv2}.*}`,
`decoders.{d}.{blocks.{j}.*, norm.*, up.weight}`, `step_embeddings.{d}.weight`, `condition_projection.{weight, bias}`,
`bottleneck.lstm.*` and `bottleneck.linear.*` as in `nn.LSTM` and `nn.Linear`, or
`bottleneck.layers.{i}.*` as in `cadenza.nn.transformer.TransformerLayer`.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.diffusion.bottleneck import HEADS, LSTMBottleneck, SideBySide, TransformerBottleneck
from cadenza.diffusion.convolution import Convolution, Transposed
from cadenza.diffusion.unet_blocks import DecoderLevel, EncoderLevel, LevelShape
from cadenza.errors import UserError
from cadenza.nn.linear import Linear

Bottleneck = Literal["none", "lstm", "transformer"]
Precision = Literal["fp32", "bf16"]


class DiffusionUnetConfig(Config):
    """Defaults: those of the original's class; its configuration has hidden 48, depth 4, growth 4, kernel 8, stride 4
    and an embedding at all levels."""

    channels: int = Field(1, ge=1, le=64, description="audio channels in and out")
    hidden: int = Field(24, ge=1, le=65536, description="channels of the first level")
    depth: int = Field(3, ge=1, le=16, description="levels")
    growth: float = Field(2.0, gt=0, le=16, description="channels of a level over those of the one before")
    max_channels: int = Field(10000, ge=1, le=65536, description="most channels that a level has")
    kernel_size: int = Field(4, ge=1, le=1024, description="taps of the convolutions that change the rate")
    stride: int = Field(2, ge=1, le=1024, description="rate of a level over that of the next")
    num_residual_blocks: int = Field(1, ge=0, le=16, description="residual blocks of a level, dilated by 1, 2, 4, ...")
    norm_groups: int = Field(4, ge=1, le=65536, description="groups of channels that are normalised together")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of channels that training leaves out")
    embed_all_levels: bool = Field(False, description="every level learns the step, not only the first")
    bottleneck: Bottleneck = Field("none", description="what looks at the whole clip; none: zeros beside the skip")
    cross_attention: bool = Field(False, description="the transformer listens to the condition; else it is added")
    condition_dim: int | None = Field(None, ge=1, le=65536, description="channels of the condition; None: none is read")
    num_steps: int = Field(1000, ge=2, le=100_000, description="steps of the noise schedule")

    @model_validator(mode="after")
    def _check(self) -> "DiffusionUnetConfig":
        if self.kernel_size < self.stride:
            raise ValueError(
                f"kernel_size {self.kernel_size} is below stride {self.stride}: make it as large or larger"
            )
        for width in self.widths:
            if width % self.norm_groups:
                raise ValueError(f"a level of {width} channels is not a multiple of norm_groups {self.norm_groups}")
        if self.bottleneck == "transformer" and self.widths[-1] % (2 * HEADS):
            raise ValueError(f"the deepest level has {self.widths[-1]} channels: a transformer needs multiples of 16")
        if self.cross_attention and (self.bottleneck != "transformer" or self.condition_dim is None):
            raise ValueError("cross_attention needs bottleneck = transformer and a condition_dim")
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        widths = [self.hidden]
        for _ in range(self.depth - 1):
            widths.append(min(int(widths[-1] * self.growth), self.max_channels))
        return tuple(widths)

    @property
    def total_stride(self) -> int:
        """Samples per frame of the bottleneck."""
        return self.stride**self.depth


class DiffusionUnet(nn.Module):
    """Predicts the unit noise in noisy audio of any length."""

    def __init__(self, config: DiffusionUnetConfig, networks: int = 1) -> None:
        """`networks`: as many of them at once, which share nothing but the step and the condition; channels in and out
        and those of all levels are `networks` times those of the configuration, one after the other (see `together`).
        """
        super().__init__()
        self.config = config
        widths = config.widths
        shape = LevelShape(
            config.kernel_size, config.stride, config.num_residual_blocks, config.norm_groups, config.dropout, networks
        )
        outer = (config.channels, *widths[:-1])
        self.encoders = nn.ModuleList(EncoderLevel(a, b, shape) for a, b in zip(outer, widths, strict=True))
        self.decoders = nn.ModuleList(
            DecoderLevel(b, a, shape) for a, b in reversed(list(zip(outer, widths, strict=True)))
        )
        embedded = widths if config.embed_all_levels else widths[:1]
        self.step_embeddings = nn.ModuleList(nn.Embedding(config.num_steps, networks * width) for width in embedded)
        self.condition_projection = (
            None if config.condition_dim is None else Convolution(config.condition_dim, networks * widths[-1], 1)
        )
        self.bottleneck = _bottleneck(config, networks)

    def pack(self, precision: Precision = "fp32") -> None:
        """Prepare for inference. Training, moving, converting or loading undoes it.

        Weights are brought into the order that products on this CPU want, and memory holds them once (those of an LSTM
        twice). `bf16` converts the weights of products for good, and computes products in it; sums over blocks, norms,
        what is next to the audio and the result stay in float32.
        """
        edges = self.encoders[0].down, self.decoders[-1].up
        for part in self.modules():
            is_product = isinstance(part, Convolution | Transposed | Linear | nn.LSTM)
            if precision == "bf16" and is_product and part not in edges:
                part.to(torch.bfloat16)
        for part in self.modules():
            if isinstance(part, Convolution | Transposed | Linear | LSTMBottleneck):
                part.pack()

    def forward(
        self,
        noisy: Float[Tensor, "B C N"],
        step: Int[Tensor, " B"] | int,
        condition: Float[Tensor, "B D T"] | None = None,
    ) -> Float[Tensor, "B C N"]:
        """Args:
            step: of the noise schedule, for all items or one each.
            condition: stretched to the bottleneck's length by repeating frames, whatever its rate.

        Raises:
            UserError: the condition has other channels than the network reads, or more than twice the frames of the
                bottleneck.
        """
        steps = torch.as_tensor(step, device=noisy.device).expand(len(noisy))
        x, skips = noisy, []
        for level, encoder in enumerate(self.encoders):
            x = encoder(x)
            if level < len(self.step_embeddings):
                x = x + self.step_embeddings[level](steps)[:, :, None]
            skips.append(x)
        source = self._project(condition, x.shape[-1])
        if source is not None and not self.config.cross_attention:
            # The deepest skip holds the condition too: the original adds it in place, and weights were trained so.
            x = x + F.interpolate(source, x.shape[-1])
            skips[-1], source = x, None
        x = torch.zeros_like(x) if self.bottleneck is None else self.bottleneck(x, source)
        for decoder in self.decoders:
            skip = skips.pop()
            x = decoder(x[..., : skip.shape[-1]] + skip)
        return x[..., : noisy.shape[-1]].contiguous()

    def _project(self, condition: Tensor | None, frames: int) -> Tensor | None:
        if self.condition_projection is None:
            return None
        assert condition is not None, "this network reads a condition"
        if condition.shape[1] != self.config.condition_dim:
            raise UserError(
                f"a condition of {condition.shape[1]} channels for a network that reads {self.config.condition_dim}: "
                "use the codec that the decoder was trained with"
            )
        if condition.shape[2] > 2 * frames or not condition.shape[2]:
            raise UserError(
                f"a condition of {condition.shape[2]} frames for {frames} frames of audio: "
                "both must be of the same clip"
            )
        result: Tensor = self.condition_projection(condition).to(condition.dtype)
        return result


def _bottleneck(config: DiffusionUnetConfig, networks: int) -> nn.Module | None:
    parts: list[nn.Module] = []
    for _ in range(networks):
        if config.bottleneck == "lstm":
            parts.append(LSTMBottleneck(config.widths[-1]))
        elif config.bottleneck == "transformer":
            parts.append(TransformerBottleneck(config.widths[-1], config.cross_attention))
    return SideBySide(parts) if len(parts) > 1 else parts[0] if parts else None
