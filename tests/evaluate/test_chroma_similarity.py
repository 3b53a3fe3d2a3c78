"""The published chroma similarity against its definition, frame by frame, and where it is known."""

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.chroma_similarity import ChromaCosine, chroma_cosine, pooled_chroma_cosine
from cadenza.nn.chroma import Chromagram, strongest
from cadenza.testing import noise


def tone(hz: float, seconds: float, sample_rate: int = 32000) -> np.ndarray:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.3 * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def test_it_is_the_mean_cosine_of_one_hot_frames() -> None:
    reference, music = noise(3.0, 32000, seed=0), noise(3.0, 32000, seed=1)
    chroma = [strongest(Chromagram()(torch.from_numpy(audio.samples)))[0, :24] for audio in (reference, music)]
    expected = torch.nn.functional.cosine_similarity(chroma[0], chroma[1], dim=1)
    found = chroma_cosine(reference, music)
    assert found.frames == -(-96000 // 4096) == 24
    assert found.mean == pytest.approx(float(expected.mean()))
    assert 0 < found.same < 24


def test_known_answers() -> None:
    a, c, silence = tone(440.0, 4.0), tone(261.63, 4.0), np.zeros(128000, np.float32)
    assert chroma_cosine(Audio(a, 32000), Audio(0.01 * a, 32000)).mean == 1.0
    assert chroma_cosine(Audio(a, 32000), Audio(tone(220.0, 4.0), 32000)).mean == 1.0  # octaves are the same
    assert chroma_cosine(Audio(a, 32000), Audio(c, 32000)).mean == 0.0
    assert chroma_cosine(Audio(c, 32000), Audio(silence, 32000)).mean == 1.0  # a silent frame is C, as published
    assert chroma_cosine(Audio(a, 32000), Audio(tone(440.0, 2.0, 44100), 44100).with_channels(2)).frames == 16


def test_pairs_are_pooled_by_their_frames() -> None:
    assert pooled_chroma_cosine([ChromaCosine(30, 30), ChromaCosine(10, 0)]).mean == 0.75
    with pytest.raises(UserError, match="no pairs"):
        pooled_chroma_cosine([])
    with pytest.raises(UserError, match="no samples"):
        chroma_cosine(noise(1.0, 32000), Audio(np.zeros((1, 0), np.float32), 32000))
