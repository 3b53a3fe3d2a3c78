"""Positions as vectors: what is added to the input of a transformer so that it knows where it is.

In: how many positions, the width. Out: a table `[S, D]`. Two layouts of the same sinusoids are in use: MusicGen puts
all cosines before all sines and lets the slowest one reach the full period; Vaswani et al. (2017, section 3.5)
interleave.
"""

import torch
from jaxtyping import Float
from torch import Tensor

PERIOD = 10000.0


def sinusoidal_positions(
    length: int, dim: int, period: float = PERIOD, offset: int = 0, device: torch.device | str | None = None
) -> Float[Tensor, "S D"]:
    """MusicGen's table: `[cos(p / period^(j / (D/2 - 1))), sin(...)]` for positions `offset .. offset + length - 1`.

    The exponent divides by `D/2 - 1`, not `D/2`, and the cosines come first: weights were trained with exactly this.
    """
    half = dim // 2
    positions = torch.arange(offset, offset + length, device=device, dtype=torch.float32)[:, None]
    exponent = torch.arange(half, device=device, dtype=torch.float32) / (half - 1)
    phase = positions / period**exponent
    return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)


def interleaved_positions(
    length: int, dim: int, period: float = PERIOD, offset: int = 0, device: torch.device | str | None = None
) -> Float[Tensor, "S D"]:
    """The table of "Attention is all you need": column 2j is `sin(p / period^(2j/D))`, column 2j+1 its cosine."""
    positions = torch.arange(offset, offset + length, device=device, dtype=torch.float32)[:, None]
    exponent = torch.arange(0, dim, 2, device=device, dtype=torch.float32) / dim
    phase = positions / period**exponent
    return torch.stack([torch.sin(phase), torch.cos(phase)], dim=-1).flatten(1)
