"""Which character is sung when: the reference's weights."""

import pytest
import torch

from cadenza.errors import UserError
from cadenza.jukebox.alignment import align, lyric_attention
from jukebox_priors import LEVEL_0, WITH_LYRICS, farthest, oracle

# Float32 through up to 31 layers, sums in another order than the reference's; measured 2e-6.
CLOSE = 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", WITH_LYRICS)
def test_attention_to_lyrics_is_the_references(name: str) -> None:
    found = oracle(name)
    conditions = found.conditions()
    layers = [int(key.split(".")[1]) for key in found.io if key.startswith("lyric_attention.")]
    assert layers
    for layer in layers:
        weights = lyric_attention(found.prior, found.io["codes"], conditions, layer)
        assert farthest(weights[:1], found.io[f"lyric_attention.{layer}"]) < CLOSE


@torch.no_grad()
@pytest.mark.parametrize("name", WITH_LYRICS)
def test_pieces_are_aligned_as_in_the_reference(name: str) -> None:
    found = oracle(name)
    assert found.prior.config.lyrics is not None
    assert found.prior.config.lyrics.alignment == (
        found.settings["alignment_layer"],
        found.settings["alignment_head"],
    )
    aligned = align(found.prior, found.io["windowed_argmax"], found.pieces, found.settings["runs"]["windowed"]["hop"])
    for item, weights in enumerate(aligned):
        expected = found.io[f"alignment.{item}"]
        heard = weights > 0
        # The reference leaves what later windows gave to characters that the window that counts does not hear.
        assert farthest(weights, expected * heard) < CLOSE
        # All is heard by a cross layer; a prime layer gives some to the music.
        assert float(weights.sum(1).max()) < 1 + CLOSE
        assert bool((heard.sum(1) == found.settings["n_tokens"]).all())


def test_a_prior_without_lyrics_has_no_alignment() -> None:
    found = oracle(LEVEL_0)
    with pytest.raises(UserError, match="no head of this prior is known to follow lyrics"):
        align(found.prior, found.io["codes"], found.pieces, 48)
