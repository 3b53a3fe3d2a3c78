"""What a song's file says about it."""

from typing import Any

import pytest
import torch

from cadenza.errors import UserError
from cadenza.jukebox.song import LevelSampling, SongItem, SongRequest
from cadenza.pipelines.jukebox_take import JukeboxTake

REQUEST = SongRequest(
    cadenza="0",
    model="m",
    licence="l",
    weights={"vqvae": "a" * 64},
    sample_rate=4000,
    codebook_size=300,
    hop_lengths=(32, 128),
    num_samples=1000,
    total_length=4000,
    sampling=(LevelSampling(hop=8), LevelSampling(hop=2)),
    given=(0, 3),
    items=(SongItem(seed=2**63, lyrics="a"),),
)
CODES = {1: torch.tensor([[299, 0, 7, 8]])}


def record(**changes: Any) -> dict[str, Any]:
    return JukeboxTake.of(REQUEST, CODES, 1, True, "cpu").metadata() | changes


def test_it_goes_there_and_back() -> None:
    take = JukeboxTake.from_metadata(record())
    request, codes = take.request()
    assert request == REQUEST
    assert (take.model, take.licence, take.level, take.complete) == ("m", "l", 1, True)
    assert {level: one.tolist() for level, one in codes.items()} == {1: [[299, 0, 7]]}


def test_other_records_are_refused_in_one_line() -> None:
    for metadata in ({}, {"cadenza": "1", "text": "x"}):
        with pytest.raises(UserError, match="carries no record of a song"):
            JukeboxTake.from_metadata(metadata)
    with pytest.raises(UserError, match=r"cannot be read \(level"):
        JukeboxTake.from_metadata(record(level="x"))
    with pytest.raises(UserError, match="codes of level 1 do not fit"):
        JukeboxTake.from_metadata(record(given={})).request()
    song = REQUEST.model_dump(mode="json") | {"codebook_size": 299}
    with pytest.raises(UserError, match="codes of level 1 do not fit"):
        JukeboxTake.from_metadata(record(song=song)).request()
