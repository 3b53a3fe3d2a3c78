"""What is asked of a Jukebox: everything is decided, and refused, before any work."""

import logging
from typing import Any

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.jukebox.song import SongRequest
from cadenza.pipelines.jukebox import Jukebox
from cadenza.pipelines.jukebox_parts import PriorShelf
from cadenza.pipelines.jukebox_request import JukeboxAsked, encode_levels, understand
from cadenza.testing import noise, tiny_jukebox, tiny_jukebox_prior, tone

MODEL = tiny_jukebox(context_length=16)
"""4 kHz: a code of the top level is 32 ms, its window 0.512 s; pieces last 0.5 s to 60 s."""


def asked(**arguments: Any) -> SongRequest:
    return understand(JukeboxAsked(**{"duration": 0.6} | arguments), MODEL.facts)[0]


def test_defaults() -> None:
    request = asked(seed=3)
    assert (request.num_samples, request.total_length, request.offset) == (2400, 2400, 0)
    assert [request.num_codes(level) for level in range(3)] == [304, 76, 19]  # whole codes of the top level
    assert [one.hop for one in request.sampling] == [8, 8, 2]  # a half, a half, an eighth of the context
    assert [one.temperature for one in request.sampling] == [0.99, 0.99, 0.98]
    assert [item.seed for item in request.items] == [3]
    assert not request.is_batch
    assert asked(duration=0.1).total_length == 2000  # the shortest piece that the model knows


def test_the_longest_song_that_passes_has_a_row_for_every_window() -> None:
    """So that nothing is refused after hours."""
    request = asked(duration=59.5, offset=0.4, total_duration=59.99)
    prior, last = MODEL.priors[2], request.num_codes(2) - 16
    prior.conditions(request.pieces(prior.config), last)


def test_one_value_for_all_items_or_a_list() -> None:
    request = asked(artist=["ada", "Bela"], genre="jazz", lyrics=["la", ""], seed=[5, 9], temperature=(1, 0.5, 0))
    assert [item.artists for item in request.items] == [{"v3": 1}, {"v3": 2}]
    assert [item.genres for item in request.items] == [{"v3": (1,)}] * 2
    assert [item.lyrics for item in request.items] == ["la", ""]
    assert [one.temperature for one in request.sampling] == [1, 0.5, 0]
    assert request.is_batch
    assert [item.seed for item in asked(num_items=3, seed=7).items] == [7, 8, 9]
    assert [item.seed for item in asked(seed=(4, 2)).items] == [4, 2]
    with pytest.raises(UserError, match="lists of 2, 3 items: give as many of each"):
        asked(artist=["ada", "bela"], lyrics=["a", "b", "c"])


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no time": ({"duration": 0.0}, r"duration 0\.0: give a positive number of seconds"),
    "not a number": ({"duration": float("nan")}, "duration nan"),
    "longer than pieces are": ({"duration": 60.0}, "a piece of 60 s: tiny-jukebox knows pieces from 0.5 s and below"),
    "a total below the labels' range": ({"duration": 0.1, "total_duration": 0.4}, "a piece of 0.4 s: .* from 0.5 s"),
    "a total above it": ({"total_duration": 61}, "a piece of 61 s: .* below 60 s"),
    "a total too short": ({"total_duration": 0.55}, "the whole piece lasts 0.55 s, what is asked for ends at 0.6 s"),
    "an offset before the beginning": ({"offset": -1.0}, "offset -1.0: give 0 or more seconds"),
    "a window past what is known": (
        {"duration": 0.1, "offset": 59.6, "total_duration": 59.9},
        "the window from 59.6 s ends at 60.112 s",
    ),
    "a last code past what is known": (
        {"duration": 59.98, "offset": 0.01, "total_duration": 59.99},
        "ends at 60.01 s, tiny-jukebox knows times up to 60 s: lower the offset",
    ),
    "an unknown artist": ({"artist": "adda"}, "artist 'adda' is unknown: did you mean ada"),
    "an id too large": ({"artist": 4}, "artist 4 is unknown to the prior of level 2: choose an id below 4"),
    "too many genres": ({"genre": (1, 2, 3)}, "3 genres .*: level 2 takes 2 at most"),
    "no such level": ({"down_to": 3}, "no level 3"),
    "a temperature below zero": ({"temperature": -1.0}, "temperature is 0 to 100"),
    "half a k": ({"top_k": 1.5}, "top_k a whole number"),
    "too few temperatures": ({"temperature": [1.0]}, "1 values of temperature for 3 levels"),
    "a seed below zero": ({"seed": -1}, "choose a whole number"),
    "no items": ({"num_items": 0}, "0 items"),
    "lyrics of no letters": ({"lyrics": "歌詞"}, "nothing of the lyrics '歌詞' can be read"),
    "lyrics that are none": ({"lyrics": 5}, "lyrics 5 are no text"),
    "a prompt shorter than a code": (
        {"prompt": tone(duration_seconds=0.03)},
        r"lasts 0\.0300 s: give at least 0\.0320",
    ),
    "a prompt as long as the piece": ({"prompt": tone(duration_seconds=0.7)}, "make the piece longer or the prompt"),
    "a prompt that is none": ({"prompt": "song.wav"}, "is no audio"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_is_one_line(kind: str) -> None:
    arguments, message = WRONG[kind]
    with pytest.raises(UserError, match=message) as error:
        asked(**arguments)
    assert "\n" not in str(error.value)


def test_lost_characters_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "cadenza"):
        assert asked(lyrics="Grüße 歌 ♥!").items[0].lyrics == "Grusse  !"
    assert "left out: '歌' '♥'" in caplog.text


def test_empty_lyrics_and_long_ones_are_fine() -> None:
    assert asked(lyrics=" \n ").items[0].lyrics == ""
    long = "la la la " * 50
    request = asked(lyrics=long)
    assert request.items[0].lyrics == long
    pieces = request.pieces(MODEL.priors.config(2))
    assert len(pieces[0].lyrics) == 450  # the window takes those that are its turn
    MODEL.priors[2].conditions(pieces, 3)


def test_a_model_without_words_says_so() -> None:
    silent = Jukebox(MODEL.vqvae, PriorShelf(priors={2: tiny_jukebox_prior(2, lyrics=False)}), MODEL.config)
    with pytest.raises(UserError, match="does not sing: leave the lyrics away"):
        understand(JukeboxAsked(lyrics="la", down_to=2), silent.facts)
    assert understand(JukeboxAsked(duration=0.6, down_to=2), silent.facts)[0].down_to == 2
    with pytest.raises(UserError, match="has no prior of level 1: ask for levels down to 2"):
        understand(JukeboxAsked(duration=0.6, down_to=1), silent.facts)


def test_any_recording_is_a_prompt() -> None:
    """Other rates, stereo: what is heard is the mono sound at the model's rate, whole codes of the top level."""
    stereo = noise(0.2, sample_rate=44100, channels=2)
    request, codes = understand(JukeboxAsked(duration=0.6, prompt=stereo), MODEL.facts)
    assert request.given == (96, 24, 6)  # 0.192 s of 0.2
    mono = stereo.resample(4000).with_channels(1)
    expected = MODEL.vqvae.encode(torch.from_numpy(mono.samples[None, :, :768]))
    for level in range(3):
        assert torch.equal(codes[level], expected[level])
    request, codes = understand(JukeboxAsked(duration=0.6, prompt=stereo, down_to=2), MODEL.facts)
    assert request.given == (0, 0, 6)
    assert list(codes) == [2]


def test_of_several_prompts_the_shortest_counts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "cadenza"):
        heard = encode_levels([noise(0.2, 4000), noise(0.1, 4000)], MODEL.vqvae, [2], "the prompt")
    assert heard[2].shape == (2, 3)
    assert "0.10 s of each are used" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "cadenza"):
        encode_levels([Audio(np.zeros((1, 500), np.float32), 4000)], MODEL.vqvae, [2], "the prompt")
    assert "silent" in caplog.text
