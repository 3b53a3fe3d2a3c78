"""Identities of embedders, and how clips are cut."""

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Identity, consecutive, mono_wave


def test_an_identity_is_what_changes_the_vectors() -> None:
    one = Identity("vggish", "00ff", {"rate": 16000, "pca": False}, "here")
    same = Identity("vggish", "00ff", {"pca": False, "rate": 16000}, "a copy")
    assert one == same
    assert one.digest == same.digest
    assert len({one, same}) == 1
    others = [Identity("vggish", "00fe", one.settings), Identity("vggish", "00ff", {"rate": 16000, "pca": True})]
    assert len({one.digest, *(other.digest for other in others)}) == 3


def test_an_identity_is_json() -> None:
    one = Identity("vggish", "00ff", {"rate": 16000, "pca": False, "layer": 0.5}, "here")
    assert Identity.from_record(one.record()) == one
    assert Identity.from_record(one.record()).source == "here"
    assert list(one.record()["settings"]) == ["layer", "pca", "rate"]
    for bad in ({}, {"name": "x", "weights": "y", "settings": 3, "source": ""}):
        with pytest.raises(UserError, match="does not say which embedder"):
            Identity.from_record(bad)


def test_clips_become_one_wave() -> None:
    stereo = Audio(np.stack([np.full(4410, 0.5), np.full(4410, -0.25)]).astype(np.float32), 44100)
    wave = mono_wave(stereo, 16000, 0.1, "x")
    assert wave.shape == (1600,)
    assert float(np.median(wave)) == pytest.approx(0.125, abs=1e-4)
    with pytest.raises(UserError, match=r"lasts 0.1 s: x hears 0.2 s or more"):
        mono_wave(stereo, 16000, 0.2, "x")
    with pytest.raises(UserError, match="lasts 0 s"):
        mono_wave(Audio(np.zeros((1, 0), np.float32), 44100), 16000, 0.0, "x")


def test_pieces_end_where_the_wave_does() -> None:
    wave = np.arange(10, dtype=np.float32)
    assert [len(piece) for piece in consecutive(wave, 4, 2)] == [4, 4, 2]
    assert [len(piece) for piece in consecutive(wave, 4, 3)] == [4, 4]
    assert [len(piece) for piece in consecutive(wave[:3], 4, 1)] == [3]
    assert np.array_equal(np.concatenate(consecutive(wave, 3, 1)), wave)
