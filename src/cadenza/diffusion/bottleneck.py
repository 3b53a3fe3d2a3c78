"""The bottleneck of the diffusion U-Net: what looks at a whole clip.

In and out: features `[B, D, T]`. An LSTM in both directions, or a transformer encoder that may also listen to the
condition. Multi-Band Diffusion (arXiv 2308.02560, section 3.3).
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cadenza.nn.linear import Linear
from cadenza.nn.packing import Packable, pack_lstm_layer, run_lstm_layer
from cadenza.nn.positional import sinusoidal_positions
from cadenza.nn.reorder import packable
from cadenza.nn.transformer import TransformerLayer

LSTM_LAYERS = 2
TRANSFORMER_LAYERS = 6
HEADS = 8
FEED_FORWARD_DIM = 2048
DROPOUT = 0.1
"""Of the transformer, in training."""


class LSTMBottleneck(Packable):
    """Two layers in both directions, each as wide as the input; a linear layer joins the directions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, LSTM_LAYERS, bidirectional=True)
        self.linear = Linear(2 * dim, dim, bias=True)

    def pack(self) -> None:
        """Reorder the recurrent weights, which `nn.LSTM` does anew at every call; plain ones are kept beside."""
        layers = self.lstm.all_weights
        if not self.is_packed and packable(layers[0][0]):
            self._packed = [tensor for weights in layers for tensor in pack_lstm_layer(weights)]

    def forward(self, x: Float[Tensor, "B D T"], source: None = None) -> Float[Tensor, "B D T"]:
        steps = x.permute(2, 0, 1).to(self.lstm.all_weights[0][0].dtype)
        both = self._run_packed(steps) if self.is_packed else self.lstm(steps)[0]
        return self.linear(both).permute(1, 2, 0)

    def _run_packed(self, steps: Float[Tensor, "T B D"]) -> Float[Tensor, "T B D2"]:
        zeros = steps.new_zeros(1, steps.shape[1], self.lstm.hidden_size)
        steps = steps.contiguous()
        for layer in range(LSTM_LAYERS):
            there, back = (self._packed[4 * i : 4 * i + 4] for i in (2 * layer, 2 * layer + 1))
            forth = run_lstm_layer(steps, there, zeros, zeros)[0]
            steps = torch.cat([forth, run_lstm_layer(steps.flip(0), back, zeros, zeros)[0].flip(0)], dim=2)
        return steps


class TransformerBottleneck(nn.Module):
    """Six layers, norms after the residual sums, no biases in the products, positions added to the input."""

    def __init__(self, dim: int, cross_attention: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(
                dim,
                HEADS,
                FEED_FORWARD_DIM,
                cross_attention=cross_attention,
                norm_first=False,
                activation="relu",
                dropout=DROPOUT,
                causal=False,
            )
            for _ in range(TRANSFORMER_LAYERS)
        )

    def forward(
        self, x: Float[Tensor, "B D T"], source: Float[Tensor, "B D L"] | None = None
    ) -> Float[Tensor, "B D T"]:
        x = with_positions(x)
        heard = None if source is None else with_positions(source)
        for layer in self.layers:
            x = layer(x, heard)
        return x.transpose(1, 2)


class SideBySide(nn.Module):
    """The bottlenecks of several networks, whose channels lie side by side; each looks at its own."""

    def __init__(self, parts: Iterable[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(
        self, x: Float[Tensor, "B D T"], source: Float[Tensor, "B E L"] | None = None
    ) -> Float[Tensor, "B D T"]:
        count = len(self.parts)
        sources = [None] * count if source is None else source.chunk(count, dim=1)
        return torch.cat(
            [part(*own) for part, *own in zip(self.parts, x.chunk(count, dim=1), sources, strict=True)], dim=1
        )


def with_positions(x: Float[Tensor, "B D T"]) -> Float[Tensor, "B T D"]:
    """Time first, and each frame knows where it is."""
    x = x.transpose(1, 2)
    return x + sinusoidal_positions(x.shape[1], x.shape[2], device=x.device).to(x.dtype)
