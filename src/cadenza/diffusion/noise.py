"""Gaussian noise that depends on nothing but its names: seed, place in the clip, channel, band and draw.

In: seeds, and which part of a clip. Out: noise `[B, C, N]`. Overlapping windows of a clip, any batch and any device
draw the same numbers at the same places. Philox4x32-10 (Salmon et al. 2011) makes the bits, the transform of Box and
Muller (1958) the bell.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cadenza.errors import UserError
from cadenza.nn.sampling import philox

_WORD = 0xFFFFFFFF
_PER_BLOCK = 4
_FIRST_STREAM = 1
"""Stream 0 of a seed is what language models choose codes with."""


def gaussians(
    seeds: Sequence[int],
    start: int,
    size: int,
    channels: int = 1,
    bands: Sequence[int] = (0,),
    draw: int = 0,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "B C N"]:
    """Unit noise for the samples `start .. start + size` of a clip, one row per seed; the channels of the first band,
    then those of the next.

    `draw` counts the noises of one band: 0 is where the diffusion starts, the others come between its steps.
    """
    for seed in seeds:
        if not 0 <= seed < 2**64:
            raise UserError(f"seed {seed} is out of range: choose one from 0 to 2^64 - 1")
    first = start // _PER_BLOCK
    count = -(-(start + size) // _PER_BLOCK) - first
    low = torch.tensor([seed & _WORD for seed in seeds], device=device)[:, None, None]
    high = torch.tensor([seed >> 32 for seed in seeds], device=device)[:, None, None]
    block = torch.arange(first, first + count, device=device)
    channel = torch.tensor([(band << 16) + channel for band in bands for channel in range(channels)], device=device)
    stream = torch.full((), _FIRST_STREAM + draw, dtype=torch.int64, device=device)
    words = philox((block & _WORD, channel[:, None], block >> 32, stream), (low, high))
    a, b, c, d = (((word >> 8).float() + 0.5) / 2**24 for word in words)
    pairs = [(radius.log().mul(-2).sqrt(), angle * (2 * math.pi)) for radius, angle in ((a, b), (c, d))]
    parts = [radius * turn for radius, angle in pairs for turn in (angle.cos(), angle.sin())]
    skipped = start - first * _PER_BLOCK
    return torch.stack(parts, dim=-1).flatten(-2)[..., skipped : skipped + size]


def draws(
    seeds: Sequence[int], start: int, size: int, channels: int, bands: Sequence[int], device: torch.device | str
) -> Iterator[Float[Tensor, "B C N"]]:
    """All the noise that bands need for a window, in order, without end."""
    draw = 0
    while True:
        yield gaussians(seeds, start, size, channels, bands, draw, device)
        draw += 1
