"""CLAP scores with towers whose answers are known, and the floor of shuffled captions."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.alignment import clap_score, derangement, pair_cosines, shuffled_floor
from cadenza.evaluate.embedders.base import Identity, JointEmbedder


class Towers:
    """A sound points where its first sample says, a sentence where its number says, in degrees."""

    identity, dim, least_seconds = Identity("towers", "0"), 2, 0.0

    def embed_audio(self, audio: Audio) -> np.ndarray:
        return _direction([100 * audio.samples[0, 0]])[0]

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        return _direction([float(text) for text in texts])


def _direction(degrees: Sequence[float]) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def sound(degrees: float) -> Audio:
    return Audio(np.array([degrees / 100], np.float32), 100)


def test_scores_are_cosines() -> None:
    towers = Towers()
    assert isinstance(towers, JointEmbedder)
    scores = clap_score(towers, [sound(0), sound(30), sound(0)], ["0", "90", "90"])
    assert scores == pytest.approx([1.0, 0.5, 0.0], abs=1e-6)
    vectors = _direction([0, 30, 0])
    assert clap_score(towers, vectors, ["0", "90", "90"]) == pytest.approx(scores, abs=1e-6)
    assert pair_cosines(vectors, towers.embed_text(["0", "90", "90"])) == pytest.approx(scores, abs=1e-6)


def test_the_floor_pairs_each_clip_with_other_words() -> None:
    towers, degrees = Towers(), list(range(0, 90, 9))
    sounds, texts = [sound(value) for value in degrees], [str(value) for value in degrees]
    assert clap_score(towers, sounds, texts) == pytest.approx([1.0] * 10, abs=1e-6)
    floor = shuffled_floor(towers, sounds, texts, seed=3)
    assert max(floor) < np.cos(np.deg2rad(9)) + 1e-6
    assert floor == shuffled_floor(towers, sounds, texts, seed=3)
    assert floor != shuffled_floor(towers, sounds, texts, seed=4)


@pytest.mark.parametrize("texts", ["ab", "abcdefgh", "aabb", "aaabbbcc", "aaaabcde", "abcabcabc"])
def test_every_caption_is_given_once_and_never_to_its_own(texts: str) -> None:
    for seed in range(50):
        order = derangement(list(texts), seed)
        assert sorted(order) == list(range(len(texts)))
        assert all(texts[to] != texts[taken] for to, taken in enumerate(order))


def test_every_other_clip_is_equally_likely() -> None:
    found = Counter(tuple(derangement(list("abcd"), seed)) for seed in range(1500))
    # The six cycles of four; 250 each, five deviations of a binomial are 72.
    assert len(found) == 6
    assert all(abs(count - 250) < 72 for count in found.values())


def test_what_is_refused() -> None:
    towers = Towers()
    with pytest.raises(UserError, match="2 clips and 1 captions"):
        clap_score(towers, [sound(0), sound(1)], ["0"])
    with pytest.raises(UserError, match="no clips"):
        clap_score(towers, [], [])
    with pytest.raises(UserError, match="caption of clip 1 is empty"):
        clap_score(towers, [sound(0), sound(1)], ["0", " "])
    with pytest.raises(UserError, match="length 3, towers has 2"):
        clap_score(towers, np.ones((1, 3), np.float32), ["0"])
    with pytest.raises(UserError, match="3 of 4 clips have the caption '7'"):
        shuffled_floor(towers, _direction([1, 2, 3, 4]), ["7", "7", "7", "8"])
    with pytest.raises(UserError, match="1 of 1 clips"):
        derangement(["alone"])
    with pytest.raises(UserError, match="one caption for each"):
        pair_cosines(_direction([1, 2]), _direction([1]))
