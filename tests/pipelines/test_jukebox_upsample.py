"""The lower levels alone: of a song, of a recording, of codes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cadenza.errors import UserError
from cadenza.jukebox.song import Song
from cadenza.pipelines.jukebox import Jukebox
from cadenza.pipelines.jukebox_parts import PriorShelf
from cadenza.testing import noise, tiny_jukebox

MODEL = tiny_jukebox(context_length=16)


@pytest.fixture(scope="module")
def tops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two items, the top level alone."""
    state = tmp_path_factory.mktemp("jukebox") / "tops"
    MODEL.generate(artist=["ada", "bela"], duration=0.16, seed=[3, 8], down_to=2, state=state)
    return state


def test_the_item_that_is_picked_is_the_one_that_is_made(tops: Path, tmp_path: Path) -> None:
    picked = MODEL.upsample(tops, items=[1], down_to=1, state=tmp_path / "picked")
    both = MODEL.upsample(tops, down_to=1)
    assert len(both) == 2
    np.testing.assert_allclose(picked.samples, both[1].samples, rtol=0, atol=1e-5 * np.abs(picked.samples).max())
    song = Song.open(tmp_path / "picked")
    assert torch.equal(song.codes(2), Song.open(tops).codes(2)[1:])
    assert song.request.given == (0, 0, 5)
    assert Song.open(tops).codes(1).shape == (2, 0)  # what it came from is as it was
    assert np.array_equal(MODEL.regenerate(picked).samples, picked.samples)


def test_seeds_and_labels_may_be_others(tops: Path) -> None:
    usual = MODEL.upsample(tops, items=[0], down_to=1)
    for change in ({"seed": 5}, {"artist": "clara"}, {"temperature": 0.1}):
        changed = MODEL.upsample(tops, items=[0], down_to=1, **change)
        assert not np.array_equal(changed.samples, usual.samples), change
    assert changed.metadata["song"]["items"][0]["artist"] == "ada"


def test_a_recording_and_its_codes_are_the_same_source() -> None:
    audio = noise(0.1, 4000)
    codes = MODEL.vqvae.encode(torch.from_numpy(audio.samples[None, :, :384]), [2])[0]
    of_audio = MODEL.upsample(audio, seed=2, down_to=1)
    of_codes = MODEL.upsample(codes, seed=2, down_to=1)
    assert of_audio.num_samples == 384
    assert np.array_equal(of_audio.samples, of_codes.samples)


CODES = torch.zeros(1, 3, dtype=torch.long)


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        (CODES, {"down_to": 2}, "level 2 is none below the top: use 0"),
        (CODES + 32, {}, "codes from 32 to 32: this model has 0 to 31"),
        (CODES[:, :0], {}, "give whole numbers"),
        (CODES, {"items": [0]}, "items are those of a song"),
        (noise(0.03, 4000), {}, "the audio lasts 0.0300 s: give at least 0.0320 s"),
        ("nowhere", {}, "nowhere holds no song"),
    ],
)
def test_what_cannot_be_is_one_line(source: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MODEL.upsample(source, **arguments)


def test_the_top_must_be_there_and_of_this_vqvae(tops: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has codes of another VQ-VAE"):
        tiny_jukebox(seed=1, context_length=16).upsample(tops)
    stopped = iter([False, True])
    MODEL.generate(duration=0.16, state=tmp_path / "half", should_stop=lambda: next(stopped))
    with pytest.raises(UserError, match="is not complete: resume it first"):
        MODEL.upsample(tmp_path / "half")
    top_only = Jukebox(MODEL.vqvae, PriorShelf(priors={2: MODEL.priors[2]}))
    with pytest.raises(UserError, match="has no prior of level 0: use a model with upsamplers"):
        top_only.upsample(tops)
