"""Residual LSTM over time, with an explicit state.

In and out: features `[B, D, T]`; the output is `lstm(x) + x`, the state starts at zero (EnCodec, section 3.1).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass
class LSTMState:
    """Hidden and cell state, each `[layers, B, D]`; None before the first piece."""

    value: tuple[Tensor, Tensor] | None = None


class ResidualLSTM(nn.Module):
    """Unidirectional LSTM of `num_layers` layers, as wide as its input, plus a skip connection."""

    def __init__(self, dim: int, num_layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, num_layers)

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        return self.stream(x, LSTMState(), last=True)

    def stream(self, x: Tensor, state: LSTMState, last: bool) -> Tensor:
        """Next piece; every frame comes out at once."""
        if not x.shape[-1]:
            return x
        steps = x.permute(2, 0, 1)
        with torch.autocast(x.device.type, enabled=False):  # the recurrence accumulates rounding: keep it in fp32
            y, state.value = self.lstm(steps.float(), state.value)
        return (y + steps).permute(1, 2, 0)
