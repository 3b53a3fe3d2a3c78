"""Lyrics: what is kept, its ids, and which characters a window hears."""

import json
from typing import Any

import pytest

from cadenza.errors import UserError
from cadenza.jukebox.lyrics import Vocabulary, lyric_window
from jukebox_priors import PARITY, WITH_LYRICS, oracle

TEXT = json.loads((PARITY / "jukebox_text.json").read_text())


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_texts_become_the_ids_of_the_reference(version: str) -> None:
    vocabulary, expected = Vocabulary(version), TEXT["lyrics"][version]
    assert len(vocabulary) == expected["vocabulary_size"]
    for example in expected["examples"]:
        if "東" in example["text"]:  # the reference reads Chinese with tables of words; here it has no spelling
            assert vocabulary.lost(example["text"]) == "東京の夜"
            continue
        assert vocabulary.clean(example["text"]) == example["cleaned"]
        assert vocabulary.encode(example["text"]) == tuple(example["ids"])
    for example in expected["ids_to_text"]:
        assert vocabulary.decode(example["ids"]) == example["text"]


def test_what_is_lost_is_told_once() -> None:
    vocabulary = Vocabulary("v3")
    assert vocabulary.lost("Zoë + Žan — 100 % ♪ ♪") == "+%♪"
    assert vocabulary.lost("") == ""
    assert vocabulary.encode("♪") == ()
    with pytest.raises(UserError, match="-1 is no character of this model: ids go from 0 to 78"):
        vocabulary.check([1, -1])


@pytest.mark.parametrize("exact", [False, True])
def test_windows_hear_the_characters_of_the_reference(exact: bool) -> None:
    for entry in TEXT["lyric_windows"]:
        expected: dict[str, Any] = entry["float64" if exact else "float32"]
        window = lyric_window(
            entry["full_length"],
            entry["n_tokens"],
            entry["total_length"],
            entry["offset"],
            entry["duration"],
            exact,
        )
        heard = [index for index in window.indices if index >= 0]
        assert window.pads == expected["pads"]
        assert (
            (heard[:1], heard[-1:]) == ([], [])
            if expected["first"] is None
            else (
                [expected["first"]],
                [expected["last"]],
            )
        ), entry["name"]
        assert len(window.indices) == entry["n_tokens"]


@pytest.mark.parametrize("name", WITH_LYRICS)
def test_indices_of_a_batch(name: str) -> None:
    prior, io, _, pieces = oracle(name)
    for piece, tokens, indices in zip(pieces, io["lyric_tokens"], io["lyric_indices"], strict=True):
        window = lyric_window(
            len(piece.lyrics), len(tokens), piece.total_length, piece.offset, prior.config.window_samples
        )
        assert list(window.indices) == indices.tolist()
        assert list(window.of(piece.lyrics)) == tokens.tolist()


def test_short_lyrics_are_padded_in_front() -> None:
    assert lyric_window(2, 5, 0, 0, 0).of([7, 8]) == (0, 0, 0, 7, 8)
    assert lyric_window(5, 5, 100, 99, 10).of([1, 2, 3, 4, 5]) == (1, 2, 3, 4, 5)
