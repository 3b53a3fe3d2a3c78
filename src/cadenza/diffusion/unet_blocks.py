"""The levels of the diffusion U-Net: residual blocks, and the convolutions that halve and restore the rate.

In and out: features `[B, D, T]`. Multi-Band Diffusion (arXiv 2308.02560, section 3.3); everything is non-causal.
"""

from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cadenza.diffusion.convolution import Convolution, NormRelu, Transposed


class LevelShape(NamedTuple):
    """What the levels of one network share. With `networks` above 1 each level is those of so many networks at once:
    their channels lie side by side, and convolutions and norms do not mix them."""

    kernel_size: int
    stride: int
    num_blocks: int
    norm_groups: int
    dropout: float
    networks: int = 1


class ResidualBlock(nn.Module):
    """`x + drop(conv2(relu(norm2(drop(conv1(relu(norm1(x))))))))`, both of three taps `dilation` apart."""

    def __init__(self, dim: int, shape: LevelShape, dilation: int) -> None:
        super().__init__()
        groups, dim = shape.networks, shape.networks * dim
        self.norm1 = NormRelu(groups * shape.norm_groups, dim)
        self.conv1 = Convolution(dim, dim, 3, padding=dilation, dilation=dilation, groups=groups)
        self.norm2 = NormRelu(groups * shape.norm_groups, dim)
        self.conv2 = Convolution(dim, dim, 3, padding=dilation, dilation=dilation, groups=groups)
        self.drop = nn.Dropout1d(shape.dropout)

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        hidden = self.drop(self.conv1(self.norm1(x)).float())
        hidden = self.drop(self.conv2(self.norm2(hidden)))
        return x + hidden


class EncoderLevel(nn.Module):
    """`[B, D, T] -> [B, D2, ceil(T / stride)]`; the input is padded with zeros on the right to whole strides."""

    def __init__(self, into: int, out: int, shape: LevelShape) -> None:
        super().__init__()
        self.stride = shape.stride
        padding = (shape.kernel_size - shape.stride) // 2
        n = shape.networks
        self.down = Convolution(n * into, n * out, shape.kernel_size, shape.stride, padding, groups=n, bias=False)
        self.norm = NormRelu(n * shape.norm_groups, n * out)
        self.blocks = nn.ModuleList(ResidualBlock(out, shape, 2**index) for index in range(shape.num_blocks))

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D2 T2"]:
        x = self.norm(self.down(F.pad(x, (0, -x.shape[-1] % self.stride))).float())
        for block in self.blocks:
            x = block(x)
        return x


class DecoderLevel(nn.Module):
    """`[B, D, T] -> [B, D2, stride * T]`: the residual blocks come first, at the input's width."""

    def __init__(self, into: int, out: int, shape: LevelShape) -> None:
        super().__init__()
        padding = (shape.kernel_size - shape.stride) // 2
        n = shape.networks
        self.blocks = nn.ModuleList(ResidualBlock(into, shape, 2**index) for index in range(shape.num_blocks))
        self.norm = NormRelu(n * shape.norm_groups, n * into)
        self.up = Transposed(n * into, n * out, shape.kernel_size, shape.stride, padding, groups=n, bias=False)

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D2 T2"]:
        for block in self.blocks:
            x = block(x)
        result: Tensor = self.up(self.norm(x))
        return result
