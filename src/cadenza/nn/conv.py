"""One-dimensional convolutions of audio codecs: padded, weight-normalised, and exact when streamed.

In: features `[B, D, T]`. Out: features `[B, D', T']`. Padding and trimming follow SEANet as used by EnCodec
(Défossez et al. 2022, "High Fidelity Neural Audio Compression", section 3.1).

Every layer here also has `stream(x, state, last)`: fed with consecutive pieces it returns, piece by piece, exactly the
frames of the one-shot call. A piece's output is as long as the right context seen so far allows; `last=True` flushes.
`pack()` prepares a layer for decoding on a CPU; features then lie time first in memory.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from cadenza.nn.packing import Packable, convolve_packed, join_time, pack_kernel, packs

PadMode = Literal["constant", "reflect", "replicate"]
NormKind = Literal["weight_norm", "time_group_norm", "none"]


def pad_time(x: Float[Tensor, "B D T"], left: int, right: int, mode: PadMode) -> Float[Tensor, "B D T2"]:
    """Pad the time axis. Reflecting an input no longer than the pad first appends zeros, then cuts them off again."""
    if mode != "reflect" or max(left, right) < x.shape[-1]:
        return F.pad(x, (left, right), mode)
    missing = max(left, right) - x.shape[-1] + 1
    padded = F.pad(F.pad(x, (0, missing)), (left, right), "reflect")
    return padded[..., : padded.shape[-1] - missing]


@dataclass
class ConvState:
    """What a streamed convolution remembers: the samples that later windows still need."""

    tail: Tensor | None = None
    started: bool = False


@dataclass
class TransposeState:
    """What the next frames overlap with, and how much of the left edge is trimmed.

    The tail holds sums of samples, or the last frames of the input if the layer is packed.
    """

    tail: Tensor | None = None
    trimmed: int = 0


class NormWeight(Packable):
    """A convolution's weight and bias, optionally normalised: `w = g * v / |v|`, the norm over all axes but the first.

    Salimans & Kingma 2016, equation 2. For a transposed convolution the first axis is the *input* channel, so `g` is
    `[C_in, 1, 1]`; that is what the official checkpoints hold.
    """

    def __init__(self, shape: tuple[int, ...], bias: int | None, fan_in: int, weight_norm: bool) -> None:
        super().__init__()
        bound = 1 / math.sqrt(fan_in)
        weight = torch.empty(shape).uniform_(-bound, bound)
        self.weight_norm = weight_norm
        if weight_norm:
            self.weight_v = nn.Parameter(weight)
            # On the meta device there is nothing to measure, and its arithmetic imports torch's compiler: a second.
            length = torch.empty(shape[0]) if weight.is_meta else weight.flatten(1).norm(dim=1)
            self.weight_g = nn.Parameter(length.view(-1, *[1] * (len(shape) - 1)))
        else:
            self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.empty(bias).uniform_(-bound, bound)) if bias else None
        self._folded: tuple[int, int, Tensor] | None = None

    @property
    def kernel(self) -> Tensor:
        """The weight that the convolution uses."""
        if not self.weight_norm:
            return self.weight
        if torch.is_grad_enabled() and self.weight_v.requires_grad:
            return self._fold()
        # Inference: fold once per version of the parameters, so that streaming does not pay for it at every piece.
        key = (self.weight_v._version + self.weight_v.data_ptr(), self.weight_g._version + self.weight_g.data_ptr())
        if self._folded is None or self._folded[:2] != key:
            self._folded = (*key, self._fold())
        return self._folded[2]

    def train(self, mode: bool = True) -> "NormWeight":
        """Forget the folded weight: fused optimisers change parameters without raising their version."""
        self._folded = None
        super().train(mode)
        return self

    @torch.no_grad()
    def pack(self, as_convolution: Callable[[Tensor], Tensor], repeats: int, dilation: int, groups: int) -> None:
        """Keep the folded weight as `[O, I, k]` of an ordinary convolution, in oneDNN's order if there is one here.

        Args:
            repeats: how often that convolution's channels repeat those of the bias.
        """
        if self.is_packed or not packs(self.kernel):
            return
        self._packed = [pack_kernel(as_convolution(self.kernel), dilation, groups)]
        if self.bias is not None:
            self._packed.append(self.bias.repeat(repeats))
        self._folded = None

    def convolve(self, x: Float[Tensor, "B D T"], dilation: int, groups: int) -> Float[Tensor, "B D2 T2"]:
        """The packed convolution, unpadded."""
        kernel, *bias = self._packed
        return convolve_packed(x, kernel, bias[0] if bias else None, dilation, groups)

    def _fold(self) -> Tensor:
        norm = self.weight_v.flatten(1).norm(dim=1).view_as(self.weight_g)
        return self.weight_v * (self.weight_g / norm)


class Conv1d(nn.Module):
    """Padded convolution; output length `ceil(T / stride)`.

    Args:
        right_context: overrides how many input frames to the right a window sees (default: half of the padding,
            the odd one on the left; 0 when causal).
        norm: `time_group_norm` is a group norm with one group over channels and time, which cannot be streamed.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        norm: NormKind = "weight_norm",
        causal: bool = False,
        pad_mode: PadMode = "reflect",
        right_context: int | None = None,
    ) -> None:
        super().__init__()
        self.stride, self.dilation, self.groups, self.out_channels = stride, dilation, groups, out_channels
        self.pad_mode: PadMode = pad_mode
        self.span = (kernel_size - 1) * dilation + 1
        padding = self.span - stride
        self.right = right_context if right_context is not None else (0 if causal else padding // 2)
        self.left = padding - self.right
        fan_in = in_channels // groups * kernel_size
        shape = (out_channels, in_channels // groups, kernel_size)
        self.conv = NormWeight(shape, out_channels, fan_in, norm == "weight_norm")
        self.norm = nn.GroupNorm(1, out_channels) if norm == "time_group_norm" else None

    def pack(self) -> None:
        """Reorder the weight for inference, if oneDNN is to be had here; only layers that stream have a use for it."""
        if self.stride == 1 and self.norm is None:
            self.conv.pack(lambda kernel: kernel, 1, self.dilation, self.groups)

    def _convolve(self, x: Tensor) -> Tensor:
        if self.conv.is_packed:
            return self.conv.convolve(x, self.dilation, self.groups)
        y = F.conv1d(x, self.conv.kernel, self.conv.bias, self.stride, 0, self.dilation, self.groups)
        return y if self.norm is None else self.norm(y)

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D2 T2"]:
        frames = math.ceil(x.shape[-1] / self.stride)
        extra = frames * self.stride - x.shape[-1]  # so that the last window is full
        return self._convolve(pad_time(x, self.left, self.right + extra, self.pad_mode))

    def stream(self, x: Tensor, state: ConvState, last: bool) -> Tensor:
        """Next piece `[B, D, t]` -> the output frames that are now certain (stride 1 only)."""
        assert self.stride == 1 and self.norm is None, "only stride-1 convolutions without group norm stream"
        if state.tail is not None and state.tail.shape[-1]:
            x = join_time(state.tail, x)
        reach = max(self.left, self.right) + 1  # what reflecting either edge needs to see
        if not state.started and x.shape[-1] < reach:
            if last:
                return self._convolve(pad_time(x, self.left, self.right, self.pad_mode))
            state.tail = x
            return self._nothing(x)
        if not state.started and self.left:
            x = join_time(pad_time(x[..., :reach], self.left, 0, self.pad_mode)[..., : self.left], x)
        state.started = True
        if last and self.right:
            edge = pad_time(x[..., -reach:], 0, self.right, self.pad_mode)
            x = join_time(x, edge[..., edge.shape[-1] - self.right :])
        if x.shape[-1] < self.span:
            state.tail = x
            return self._nothing(x)
        # A whole window less one frame stays back: enough for the next one, and for reflecting the right edge.
        state.tail = x[..., x.shape[-1] - (self.span - 1) :].clone()
        return self._convolve(x)

    def _nothing(self, x: Tensor) -> Tensor:
        return x.new_empty(x.shape[0], self.out_channels, 0)


class ConvTranspose1d(nn.Module):
    """Transposed convolution trimmed to exactly `stride * T` frames.

    Trim `k - s` frames in all: causal takes `ceil(trim_right_ratio * (k - s))` from the right, otherwise the right gets
    half and the left the odd one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        norm: NormKind = "weight_norm",
        causal: bool = False,
        trim_right_ratio: float = 1.0,
    ) -> None:
        super().__init__()
        self.stride, self.out_channels = stride, out_channels
        self.overlap = kernel_size - stride
        self.trim_right = math.ceil(self.overlap * trim_right_ratio) if causal else self.overlap // 2
        self.trim_left = self.overlap - self.trim_right
        shape = (in_channels, out_channels, kernel_size)
        self.conv = NormWeight(shape, out_channels, out_channels * kernel_size, norm == "weight_norm")
        self.norm = nn.GroupNorm(1, out_channels) if norm == "time_group_norm" else None

    def pack(self) -> None:
        """Reorder the weight for inference, if oneDNN is to be had here.

        The same sums as an ordinary convolution to `stride` times as many channels: output frame `t`, of `stride`
        samples, adds up `w[:, :, j * stride : (j + 1) * stride] x[t - j]`.
        """

        def as_convolution(kernel: Tensor) -> Tensor:
            into, out, size = kernel.shape
            padded = F.pad(kernel, (0, -size % self.stride))
            taps = padded.view(into, out, -1, self.stride).flip(2)  # the window's last frame meets the first samples
            return taps.permute(3, 1, 0, 2).reshape(self.stride * out, into, -1)

        if self.norm is None:
            self.conv.pack(as_convolution, self.stride, 1, 1)

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D2 T2"]:
        if self.conv.is_packed:
            return self.stream(x, TransposeState(), last=True)
        y = F.conv_transpose1d(x, self.conv.kernel, self.conv.bias, self.stride)
        if self.norm is not None:
            y = self.norm(y)
        return y[..., self.trim_left : y.shape[-1] - self.trim_right]

    def stream(self, x: Tensor, state: TransposeState, last: bool) -> Tensor:
        """Next piece `[B, D, t]` -> finished frames; overlapping sums wait in the state."""
        assert self.norm is None, "group norm over time does not stream"
        if self.conv.is_packed:
            return self._stream_packed(x, state, last)
        bias = self.conv.bias
        assert bias is not None
        if x.shape[-1]:
            y = F.conv_transpose1d(x, self.conv.kernel, None, self.stride)
            if state.tail is not None and self.overlap:
                y = torch.cat([y[..., : self.overlap] + state.tail, y[..., self.overlap :]], dim=-1)
            done = y.shape[-1] - self.overlap
            state.tail = y[..., done:]
            y = y[..., :done]
        else:
            y = x.new_empty(x.shape[0], self.out_channels, 0)
        if last and state.tail is not None:
            y = torch.cat([y, state.tail[..., : self.overlap - self.trim_right]], dim=-1)
        cut = min(self.trim_left - state.trimmed, y.shape[-1])
        state.trimmed += cut
        return y[..., cut:] + bias[:, None]

    def _stream_packed(self, x: Tensor, state: TransposeState, last: bool) -> Tensor:
        memory = math.ceil(self.overlap / self.stride)
        if state.tail is None:
            state.tail = x.new_zeros(len(x), memory, x.shape[1]).transpose(1, 2)
            last = last and x.shape[-1] > 0
        frames = x.shape[-1]
        x = join_time(state.tail, x, *([torch.zeros_like(state.tail)] if last else []))
        if x.shape[-1] == memory:
            return x.new_empty(len(x), self.out_channels, 0)
        state.tail = x[..., x.shape[-1] - memory :].clone()
        y = self.conv.convolve(x, 1, 1).transpose(1, 2).reshape(len(x), -1, self.out_channels).transpose(1, 2)
        if last:
            y = y[..., : frames * self.stride + self.overlap - self.trim_right]
        cut = min(self.trim_left - state.trimmed, y.shape[-1])
        state.trimmed += cut
        return y[..., cut:]
