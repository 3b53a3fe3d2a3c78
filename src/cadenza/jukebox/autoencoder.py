"""Encoder and decoder of one level: strided convolutions and dilated residual blocks, without normalisation.

In: audio `[B, 1, N]`; out: a latent for each stage, `[B, D, N / hop]`, floored at every stride; and back. Jukebox
(Dhariwal et al. 2020, arXiv 2005.00341), section 3 and appendix A. Padding is zeros, nothing is causal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

STRIDE = 2
"""Of every strided convolution; kernels are twice as long. Lengths stay exact with even strides alone."""


@dataclass(frozen=True)
class StackShape:
    """A stack of residual blocks: block `j` has dilation `growth ** (j % cycle)`, or the same in reverse order."""

    width: int
    depth: int
    growth: int = 3
    cycle: int | None = None
    reverse: bool = False
    hidden: int | None = None
    """Channels between a block's two convolutions; None: as many as outside."""
    scale: float = 1.0
    """Of what a block adds to its input."""

    @property
    def dilations(self) -> list[int]:
        cycle = self.cycle or max(1, self.depth)
        dilations = [self.growth ** (j % cycle) for j in range(self.depth)]
        return dilations[::-1] if self.reverse else dilations

    @property
    def reach(self) -> int:
        """Frames to either side that an output frame depends on."""
        return sum(self.dilations)


class ResidualBlock(nn.Module):
    """`x + scale * point(relu(dilated(relu(x))))`: kernels 3 and 1."""

    def __init__(self, shape: StackShape, dilation: int) -> None:
        super().__init__()
        hidden = shape.hidden or shape.width
        self.scale = shape.scale
        self.dilated = nn.Conv1d(shape.width, hidden, 3, padding=dilation, dilation=dilation)
        self.point = nn.Conv1d(hidden, shape.width, 1)

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        y = self.point(F.relu(self.dilated(F.relu(x))))
        return x + y if self.scale == 1.0 else x + self.scale * y


class ResidualStack(nn.Sequential):
    """The blocks of a `StackShape`, one after the other."""

    def __init__(self, shape: StackShape) -> None:
        super().__init__(*(ResidualBlock(shape, dilation) for dilation in shape.dilations))


class Down(nn.Module):
    """Halves the rate, then refines."""

    def __init__(self, into: int, shape: StackShape) -> None:
        super().__init__()
        self.conv = nn.Conv1d(into, shape.width, 2 * STRIDE, STRIDE, padding=STRIDE // 2)
        self.blocks = ResidualStack(shape)

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D2 T2"]:
        return self.blocks(self.conv(x))


class Up(nn.Module):
    """Refines, then doubles the rate."""

    def __init__(self, shape: StackShape, out: int) -> None:
        super().__init__()
        self.blocks = ResidualStack(shape)
        self.conv = nn.ConvTranspose1d(shape.width, out, 2 * STRIDE, STRIDE, padding=STRIDE // 2)

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D2 T2"]:
        return self.conv(self.blocks(x))


class EncoderStage(nn.Module):
    """`[B, into, T] -> [B, out, T / 2 ** num_downs]`."""

    def __init__(self, into: int, shape: StackShape, num_downs: int, out: int) -> None:
        super().__init__()
        self.shape, self.num_downs = shape, num_downs
        self.downs = nn.Sequential(*(Down(shape.width if i else into, shape) for i in range(num_downs)))
        self.projection = nn.Conv1d(shape.width, out, 3, padding=1)

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D2 T2"]:
        return self.projection(self.downs(x))


class DecoderStage(nn.Module):
    """`[B, into, T] -> [B, out, T * 2 ** num_ups]`."""

    def __init__(self, into: int, shape: StackShape, num_ups: int, out: int) -> None:
        super().__init__()
        self.shape, self.num_ups = shape, num_ups
        self.projection = nn.Conv1d(into, shape.width, 3, padding=1)
        self.ups = nn.Sequential(*(Up(shape, shape.width if i + 1 < num_ups else out) for i in range(num_ups)))

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D2 T2"]:
        return self.ups(self.projection(x))


class Encoder(nn.Module):
    """Stages in series, the finest first: audio to one latent per stage."""

    def __init__(self, shapes: Sequence[StackShape], downs: Sequence[int], latent_dim: int) -> None:
        super().__init__()
        widths = [1] + [latent_dim] * len(shapes)
        self.stages = nn.ModuleList(
            EncoderStage(into, shape, count, out)
            for (into, out), shape, count in zip(pairwise(widths), shapes, downs, strict=True)
        )

    def forward(self, audio: Float[Tensor, "B 1 N"]) -> list[Float[Tensor, "B D _"]]:
        latents: list[Tensor] = []
        for stage in self.stages:
            latents.append(stage(latents[-1] if latents else audio))
        return latents

    def reach(self, num_stages: int) -> int:
        """Samples to either side of its first sample that a latent frame of that many stages depends on."""
        reach, step = 0, 1
        for stage in list(self.stages)[:num_stages]:
            assert isinstance(stage, EncoderStage)
            for _ in range(stage.num_downs):
                reach += STRIDE * step  # a kernel of 4 sees one sample before and two after
                step *= STRIDE
                reach += stage.shape.reach * step
            reach += step
        return reach


class Decoder(nn.Module):
    """Stages from the coarsest to the finest, then one convolution to audio."""

    def __init__(self, shapes: Sequence[StackShape], ups: Sequence[int], latent_dim: int) -> None:
        """`shapes` and `ups` are the finest first, as those of the encoder."""
        super().__init__()
        self.stages = nn.ModuleList(
            DecoderStage(latent_dim, shape, count, latent_dim) for shape, count in zip(shapes, ups, strict=True)
        )
        self.out = nn.Conv1d(latent_dim, 1, 3, padding=1)

    def forward(self, latents: Sequence[Float[Tensor, "B D _"] | None]) -> Float[Tensor, "B 1 N"]:
        """Audio from the latents of the first stages; None where one is to be done without. The last is needed.

        What a stage makes of a coarser latent is added to the finer one.
        """
        x = latents[-1]
        assert x is not None
        for number in reversed(range(len(latents))):
            x = self.stages[number](x)
            finer = latents[number - 1] if number else None
            if finer is not None:
                x = x + finer
        return self.out(x)

    def reach(self, num_stages: int) -> int:
        """Frames of the last of that many stages, to either side, that a sample depends on."""
        reach = 1
        for stage in list(self.stages)[:num_stages]:
            assert isinstance(stage, DecoderStage)
            for _ in range(stage.num_ups):
                reach = -(-reach // STRIDE) + 1 + stage.shape.reach
            reach += 1
        return reach
