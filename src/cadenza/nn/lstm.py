"""Residual LSTM over time, with an explicit state.

In and out: features `[B, D, T]`; the output is `lstm(x) + x`, the state starts at zero (EnCodec, section 3.1).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cadenza.nn.packing import Packable, pack_lstm_layer, packs, run_lstm_layer


@dataclass
class LSTMState:
    """Hidden and cell state, each `[layers, B, D]`; None before the first piece."""

    value: tuple[Tensor, Tensor] | None = None


class ResidualLSTM(Packable):
    """Unidirectional LSTM of `num_layers` layers, as wide as its input, plus a skip connection.

    `nn.LSTM` brings its weights into oneDNN's order anew at every call, half of the time of a piece of 25 frames;
    `pack()` does it once.
    """

    def __init__(self, dim: int, num_layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, num_layers)

    def pack(self) -> None:
        """Reorder the weights for inference; does nothing where oneDNN or this precision is not to be had."""
        layers = self.lstm.all_weights
        if not self.is_packed and packs(layers[0][0]):
            self._packed = [tensor for weights in layers for tensor in pack_lstm_layer(weights)]

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        return self.stream(x, LSTMState(), last=True)

    def stream(self, x: Tensor, state: LSTMState, last: bool) -> Tensor:
        """Next piece; every frame comes out at once."""
        if not x.shape[-1]:
            return x
        steps = x.permute(2, 0, 1)
        with torch.autocast(x.device.type, enabled=False):  # the recurrence accumulates rounding: keep it in fp32
            if self.is_packed:
                y = self._run_packed(steps, state)
            else:
                y, state.value = self.lstm(steps.float(), state.value)
        return (y + steps).permute(1, 2, 0)

    def _run_packed(self, steps: Tensor, state: LSTMState) -> Tensor:
        layers = self.lstm.num_layers
        if state.value is None:
            zeros = steps.new_zeros(layers, steps.shape[1], steps.shape[2])
            state.value = zeros, zeros
        ends = []
        y = steps.contiguous()
        for layer, (hidden, cell) in enumerate(zip(*state.value, strict=True)):
            y, *end = run_lstm_layer(y, self._packed[4 * layer : 4 * layer + 4], hidden[None], cell[None])
            ends.append(end)
        hidden, cell = (torch.cat(part) for part in zip(*ends, strict=True))
        state.value = hidden, cell
        return y
