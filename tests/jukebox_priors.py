"""The four tiny priors of the reference, and what it made of them."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from cadenza.convert.openai_jukebox_prior import read_prior
from cadenza.jukebox.labels import Piece
from cadenza.jukebox.lyrics import Vocabulary
from cadenza.jukebox.prior import Prior, PriorConditions

PARITY = Path(__file__).parent / "parity"
PRIORS = (
    "jukebox_prior_1b_like_tiny",
    "jukebox_prior_5b_lyrics_like_tiny",
    "jukebox_upsampler_level0_tiny",
    "jukebox_upsampler_level1_tiny",
)
WITH_LYRICS = PRIORS[:2]
TOP, LYRICS_BESIDE, LEVEL_0, LEVEL_1 = PRIORS


class Oracle(NamedTuple):
    """A prior in float32, the reference's inputs and outputs, its settings, and what its two items are told."""

    prior: Prior
    io: dict[str, Tensor]
    settings: dict[str, Any]
    pieces: list[Piece]

    @torch.no_grad()
    def conditions(self) -> PriorConditions:
        """Of the single window."""
        return self.prior.conditions(self.pieces, upper_codes=self.io.get("upper_codes"))

    @torch.no_grad()
    def conditions_at(self, start: int) -> PriorConditions:
        """Of the window that begins at this code of the longer run."""
        upper = self.io.get("windowed.upper_codes")
        return self.prior.conditions(self.pieces, start, None if upper is None else upper[:, start // 4 :])


@cache
def oracle(name: str) -> Oracle:
    prior = read_prior(PARITY / name / "prior.pth.tar").float()
    settings = json.loads((PARITY / name / "config.json").read_text())
    vocabulary = Vocabulary("v3" if settings["labels_v3"] else "v2")
    pieces = [
        Piece(
            total_length=record["total_length"],
            offset=record["offset"],
            artist=record["artist_id"],
            genres=tuple(record["genre_ids"]),
            lyrics=vocabulary.encode(record["lyrics"]),
        )
        for record in settings["label_records"]
    ]
    return Oracle(prior, load_file(PARITY / name / "io.safetensors"), settings, pieces)


def farthest(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())
