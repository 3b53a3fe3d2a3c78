"""Weights in oneDNN's own order, for convolutions and LSTMs that run on a CPU.

In: plain weights. Out: packed ones, and the products over them. Activations lie time first in memory (a frame's
channels side by side), which turns a convolution into matrix products without copies: 235 GFLOP/s on one core of a
server where channels first reaches 90 to 180, and nothing is reordered from piece to piece (docs of oneDNN, "Memory
Format Propagation" and "RNN Primitive").
"""

from collections.abc import Sequence
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

_OPERATIONS = (
    "_convolution_pointwise",
    "_linear_pointwise",
    "_reorder_convolution_weight",
    "_reorder_linear_weight",
    "_reorder_mkldnn_rnn_layer_weight",
)
_FRAMES_HINT = 1024
"""Rows for which oneDNN picks the order of a weight; other numbers then cost the same."""
_MANY_CHANNELS = 256
"""From so many outputs on a convolution is a linear layer over its windows: copying the windows costs little beside it,
and oneDNN's convolutions of this size want another order of the weight for other numbers of frames (measured: 6 ms
instead of 0.1 at every call)."""
_LSTM_MODE = 2
"""PyTorch's number for an LSTM among recurrent layers."""


class Packable(nn.Module):
    """A layer that may hold a second form of its weights, made by `pack()`.

    A packed layer is frozen. Training, moving, converting or loading drops the packed form; parameters and state dicts
    are never touched by it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._packed: list[Tensor] = []

    @property
    def is_packed(self) -> bool:
        """Whether the packed form is in use."""
        return bool(self._packed)

    def unpack(self) -> None:
        """Use the plain weights again."""
        self._packed = []

    def train(self, mode: bool = True) -> Self:
        """Training changes the plain weights."""
        if mode:
            self.unpack()
        super().train(mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self.unpack()
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self.unpack()
        super()._load_from_state_dict(*arguments)


def packs(weight: Tensor) -> bool:
    """Whether oneDNN can pack this weight here."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATIONS)
    )


def join_time(*pieces: Float[Tensor, "B D _"]) -> Float[Tensor, "B D T"]:
    """Pieces one after the other, in the memory order of the longest."""
    if max(pieces, key=lambda piece: piece.shape[2]).stride(1) == 1:
        return torch.cat([piece.transpose(1, 2) for piece in pieces], dim=1).transpose(1, 2)
    return torch.cat(pieces, dim=2)


def pack_kernel(kernel: Float[Tensor, "O I k"], dilation: int, groups: int) -> Tensor:
    """A convolution's weight in oneDNN's order; that of a linear layer over windows, `[O, k * I]`, if it is large."""
    if groups == 1 and (kernel.shape[2] == 1 or kernel.shape[0] >= _MANY_CHANNELS):
        windows = kernel.transpose(1, 2).flatten(1).contiguous()
        return torch.ops.mkldnn._reorder_linear_weight.default(windows, _FRAMES_HINT)
    frames = [1, kernel.shape[1] * groups, 1, _FRAMES_HINT]
    return torch.ops.mkldnn._reorder_convolution_weight.default(
        kernel[:, :, None], [0, 0], [1, 1], [1, dilation], groups, frames
    )


def convolve_packed(
    x: Float[Tensor, "B I T"], kernel: Tensor, bias: Tensor | None, dilation: int, groups: int
) -> Float[Tensor, "B O T2"]:
    """Unpadded convolution of stride 1, `[B, I, T] -> [B, O, T - (k - 1) * dilation]`, time first in memory."""
    rows = x.transpose(1, 2).contiguous()
    if kernel.dim() == 2:
        taps = kernel.shape[1] // rows.shape[2]
        frames = rows.shape[1] - (taps - 1) * dilation
        if taps > 1:
            rows = torch.cat([rows[:, i * dilation : i * dilation + frames] for i in range(taps)], dim=2)
        return torch.ops.mkldnn._linear_pointwise.default(rows, kernel, bias, "none", [], "").transpose(1, 2)
    image = rows[:, None].permute(0, 3, 1, 2)
    return torch.ops.mkldnn._convolution_pointwise.default(
        image, kernel, bias, [0, 0], [1, 1], [1, dilation], groups, "none", [], ""
    )[:, :, 0]


def pack_lstm_layer(weights: Sequence[Tensor]) -> list[Tensor]:
    """Input and recurrent weight of one layer in oneDNN's order, and the two biases as they are."""
    into, recurrent, *biases = (weight.detach() for weight in weights)
    dim = recurrent.shape[1]
    packed = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight.default(
        into, recurrent, dim, False, True, False, [1, 1, into.shape[1]]
    )
    return [*packed, *biases]


def run_lstm_layer(
    steps: Float[Tensor, "T B I"], packed: list[Tensor], hidden: Float[Tensor, "1 B D"], cell: Float[Tensor, "1 B D"]
) -> tuple[Float[Tensor, "T B D"], Float[Tensor, "1 B D"], Float[Tensor, "1 B D"]]:
    """One layer over all steps: the outputs, and the state after the last."""
    dim = hidden.shape[-1]
    outputs, hidden, cell, _ = torch.ops.aten.mkldnn_rnn_layer.default(
        steps, *packed, hidden, cell, False, [], _LSTM_MODE, dim, 1, True, False, False, False
    )
    return outputs, hidden, cell
