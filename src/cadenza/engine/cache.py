"""The state of one autoregressive run: keys and values of every layer, allocated once.

In: sizes. Out: an explicit object that `prefill` and `step` of a `Decoder` fill. Nothing grows while it runs, so a step
costs no allocation that depends on its position, and a cache can be reset and used again.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cadenza.nn.attention import KeysValues


@dataclass
class KVCache:
    """Keys and values `[B, H, M, E]` per layer, of which `length` steps are filled.

    `input_bias` is what is added to the embedded input at each position (positions, conditions that are summed);
    `sources` are the projected cross-attention sources, computed once at prefill.
    """

    layers: list[KeysValues]
    length: int = 0
    input_bias: Float[Tensor, "b M D"] | None = None
    sources: list[KeysValues] = field(default_factory=list)
    source_mask: Bool[Tensor, "B L"] | None = None

    @classmethod
    def allocate(
        cls,
        batch: int,
        max_steps: int,
        num_layers: int,
        num_heads: int,
        head_dim: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> "KVCache":
        """An empty cache for at most `max_steps` steps, the prefix included."""
        shape = (batch, num_heads, max_steps, head_dim)
        layers = [
            KeysValues(torch.empty(shape, device=device, dtype=dtype), torch.empty(shape, device=device, dtype=dtype))
            for _ in range(num_layers)
        ]
        return cls(layers)

    @property
    def batch(self) -> int:
        return self.layers[0].keys.shape[0]

    @property
    def max_steps(self) -> int:
        return self.layers[0].keys.shape[2]

    @property
    def num_bytes(self) -> int:
        """Memory of the self-attention cache, in bytes."""
        return sum(tensor.nbytes for layer in self.layers for tensor in layer)

    def reset(self) -> None:
        """Forget everything but the allocation."""
        self.length = 0
        self.input_bias = None
        self.sources = []
        self.source_mask = None
