"""Memorisation: does a model play on from a training track as that track itself goes on?

In: codes of training tracks, and codes that a model made greedily behind their openings, or from their captions alone.
Out: per codebook, the share of continuations that equal the original, and the share of which at least 80 % does; how
many would by chance; and the most alike stretch of all tracks. Copet et al. (2023), section 4, after Carlini et al.
(2023) and Agostinelli et al. (2023); there for the first codebook, at the continuation's own place. Knows no generator:
who has one makes the continuations (`evaluate.continuations`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

CONTINUATION_SECONDS = 5.0
PARTIAL_SHARE = 0.8
_OTHERS = 20  # other tracks that each continuation is compared with


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
    matches = (made == original).sum(-1)
    frames = made.shape[-1]
    return Memorization(
        tuple((matches == frames).double().mean(0).tolist()),
        tuple((matches >= least_matches(frames, partial_share)).double().mean(0).tolist()),
        tuple((matches.double() / frames).mean(0).tolist()),
        len(made),
        partial_share,
    )


def chance(
    made: Int[Tensor, "N K T"], original: Int[Tensor, "N K T"], tracks: Sequence[int], most: int = _OTHERS
) -> Memorization | None:
    """The same against the originals of other tracks, up to `most` for each; None where there is but one track.

    What styles share, and what is silent or held, agrees here as well. `count` is that of the continuations.
    """
    count = len(made)
    found = []
    for shift in range(1, min(most + 1, count)):
        others = [(i + shift) % count for i in range(count)]
        apart = [i for i in range(count) if tracks[i] != tracks[others[i]]]
        if apart:
            found.append(memorization(made[apart], original[[others[i] for i in apart]]))
    if not found:
        return None
    weights = np.array([one.count for one in found], dtype=np.float64)

    def mean(shares: list[tuple[float, ...]]) -> tuple[float, ...]:
        return tuple(np.average(shares, axis=0, weights=weights).tolist())

    return Memorization(
        mean([one.exact for one in found]),
        mean([one.partial for one in found]),
        mean([one.agreement for one in found]),
        count,
    )


def is_stuck(codes: Int[Tensor, "T"]) -> bool:
    """Whether one code fills half or more, as greedy choices often end: it is like any rest and any held tone."""
    return int(torch.bincount(codes).max()) * 2 >= len(codes)


def least_matches(frames: int, partial_share: float = PARTIAL_SHARE) -> int:
    """How many of so many codes must agree. Counted, not compared in floating point: 4 of 5 is 80 %."""
    return math.ceil(partial_share * frames - 1e-6)


class Stretch(NamedTuple):
    """Where the most codes agree: `share` of them, in track number `track` from frame `first` on."""

    share: float
    track: int
    first: int


class StretchIndex:
    """Every place of all tracks by its code in the first codebook: finds the stretch most like a given one, exactly.

    Each code of a stretch votes for the places at which it would have to begin; memory is 16 bytes per frame.
    """

    def __init__(self, tracks: Sequence[Int[Tensor, "K _"]]) -> None:
        assert tracks, "no tracks"
        codes = np.concatenate([track[0].numpy() for track in tracks])
        lengths = np.array([track.shape[1] for track in tracks])
        self.ends = np.cumsum(lengths)
        self.left = (np.repeat(self.ends, lengths) - np.arange(len(codes))).astype(
            np.int32
        )  # frames up to the end of the track
        self.places = np.argsort(codes, kind="stable")
        self.begins = np.searchsorted(codes[self.places], np.arange(int(codes.max()) + 2))

    def nearest(self, stretch: Int[Tensor, "T"]) -> Stretch | None:
        """The first one of those that agree most; None where every track is shorter."""
        votes = np.zeros(len(self.left), dtype=np.int32)
        for frame, code in enumerate(stretch.tolist()):
            if code + 1 < len(self.begins):
                places = self.places[self.begins[code] : self.begins[code + 1]] - frame
                votes[places[places >= 0]] += 1
        fits = self.left >= len(stretch)
        if not fits.any():
            return None
        place = int(np.where(fits, votes, -1).argmax())
        track = int(np.searchsorted(self.ends, place, side="right"))
        before = int(self.ends[track - 1]) if track else 0
        return Stretch(float(votes[place]) / len(stretch), track, place - before)
