"""Codes as they are given to a diffusion decoder: are they those of its codec, and of how many channels?

In: codes `[B, K, T]` or `[B, 2K, T]`, seeds. Out: rows of mono codes and a seed for each; one clear line for codes that
are not the decoder's.
"""

from collections.abc import Sequence
from operator import index
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.codec.base import Codec
from cadenza.codec.stereo import StereoCodec
from cadenza.errors import UserError


class CodeFacts(NamedTuple):
    """What codes of a codec look like from outside."""

    num_codebooks: int
    codebook_size: int
    frame_rate: float
    sample_rate: int

    @classmethod
    def of(cls, codec: Codec) -> "CodeFacts":
        return cls(codec.num_codebooks, codec.codebook_size, codec.frame_rate, codec.sample_rate)

    def __str__(self) -> str:
        return (
            f"{self.num_codebooks} codebooks of {self.codebook_size} at {self.frame_rate:g} frames a second and "
            f"{self.sample_rate} Hz"
        )

    def rows(self, codes: Tensor, may_be_empty: bool = False) -> tuple[Tensor, int]:
        """One row of codes per channel, and how many channels an item has. UserError for codes of another codec."""
        if codes.ndim != 3 or codes.is_floating_point():
            raise UserError(f"codes of shape {list(codes.shape)} ({codes.dtype}): give whole numbers [B, K, T]")
        if codes.shape[1] not in (self.num_codebooks, 2 * self.num_codebooks):
            raise UserError(
                f"codes of {codes.shape[1]} codebooks for a decoder of {self.num_codebooks} (or twice as many, for "
                "stereo): use the decoder of the codec that made them"
            )
        if not len(codes) or not (codes.shape[2] or may_be_empty):
            raise UserError(f"codes of shape {list(codes.shape)}: nothing is there to decode, give at least one frame")
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < self.codebook_size:
            raise UserError(
                f"codes from {int(codes.min())} to {int(codes.max())} for a decoder of {self.codebook_size} entries a "
                "codebook: use the decoder of the codec that made them"
            )
        if codes.shape[1] == self.num_codebooks:
            return codes.long(), 1
        return codes.long().unflatten(1, (-1, 2)).transpose(1, 2).flatten(0, 1), 2


def seeds_of_rows(seed: int | Sequence[int], items: int, channels: int) -> list[int]:
    """As given, or counting up from one number; the channels of an item share theirs."""
    seeds = list(seed) if isinstance(seed, Sequence) else [index(seed) + i for i in range(items)]
    if len(seeds) != items:
        raise UserError(f"{len(seeds)} seeds for {items} clips: give one per clip, or one number")
    return [one for one in seeds for _ in range(channels)]


def joined(rows: Float[Tensor, "R C N"], channels: int) -> Float[Tensor, "B C2 N"]:
    """Rows as channels of their items again."""
    return rows if channels == 1 else rows.unflatten(0, (-1, channels)).flatten(1, 2)


def means_the_same(first: Codec, second: Codec) -> bool:
    """Whether both codecs make the same latent of every entry of every codebook."""
    codes: Int[Tensor, "1 K T"] = torch.arange(first.codebook_size).expand(1, first.num_codebooks, -1)
    a, b = (part.decode_latent(codes.to(next(part.parameters()).device)).float().cpu() for part in (first, second))
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-2, atol=1e-3 * float(a.abs().max()))


def mono_of(codec: Codec) -> Codec:
    """The codec of one channel."""
    return codec.mono if isinstance(codec, StereoCodec) else codec
