"""Memorisation: does a model play on from a training track as that track itself goes on?

In: codes of training tracks, and codes that a model made greedily behind their openings. Out: per codebook, the share
of continuations that equal the original, and the share of which at least 80 % does. Copet et al. (2023), section 4,
after Carlini et al. (2023) and Agostinelli et al. (2023); there for the first codebook alone. Knows no generator: who
has one makes the continuations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

CONTINUATION_SECONDS = 5.0
PARTIAL_SHARE = 0.8


class Excerpt(NamedTuple):
    """A piece of track number `track`: where it begins in it (a frame), and its codes, opening and continuation."""

    track: int
    first: int
    codes: Int[Tensor, "K T"]


@dataclass(frozen=True)
class Memorization:
    """Shares of `count` continuations, one number per codebook, and the mean share of codes that are the original's."""

    exact: tuple[float, ...]
    partial: tuple[float, ...]
    agreement: tuple[float, ...]
    count: int
    partial_share: float = PARTIAL_SHARE

    def line(self) -> str:
        """For a person: `exact 0 %, partial 4 % of 25 continuations (first codebook)`."""
        return (
            f"exact {self.exact[0]:.0%}, partial {self.partial[0]:.0%} of {self.count} continuations (first codebook)"
        )


def draw_excerpts(
    tracks: Sequence[Int[Tensor, "K _"]], count: int, num_frames: int, generator: torch.Generator
) -> list[Excerpt]:
    """`count` excerpts of `num_frames`, from the tracks that are long enough in turn, each place drawn; [] if none is.

    No excerpt is drawn twice: fewer come back where there are fewer.
    """
    places = {
        number: torch.randperm(codes.shape[1] - num_frames + 1, generator=generator).tolist()[:count]
        for number, codes in enumerate(tracks)
        if codes.shape[1] >= num_frames
    }
    excerpts: list[Excerpt] = []
    for turn in range(count):
        for number, left in places.items():
            if turn < len(left) and len(excerpts) < count:
                first = left[turn]
                excerpts.append(Excerpt(number, first, tracks[number][:, first : first + num_frames]))
    return excerpts


def memorization(
    made: Int[Tensor, "N K T"], original: Int[Tensor, "N K T"], partial_share: float = PARTIAL_SHARE
) -> Memorization:
    """Compare continuations, openings left out, with how the tracks go on."""
    assert made.shape == original.shape, f"{list(made.shape)} codes against {list(original.shape)}"
    assert made.numel() > 0, "no continuations"
    same = (made == original).double().mean(-1)
    # Counted, not compared with 0.8 in floating point: 4 of 5 is 80 %.
    least = torch.ceil(torch.tensor(partial_share * made.shape[-1]) - 1e-6)
    matches = (made == original).sum(-1)
    return Memorization(
        tuple((matches == made.shape[-1]).double().mean(0).tolist()),
        tuple((matches >= least).double().mean(0).tolist()),
        tuple(same.mean(0).tolist()),
        len(made),
        partial_share,
    )
