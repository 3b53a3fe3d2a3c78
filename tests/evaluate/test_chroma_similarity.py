"""The published chroma similarity against its definition, frame by frame, and where it is known."""

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.evaluate.chroma_similarity import chroma_cosine
from cadenza.evaluate.hearing import pitch_classes
from cadenza.nn.chroma import Chromagram, strongest
from cadenza.testing import noise


def tone(hz: float, seconds: float, sample_rate: int = 32000) -> np.ndarray:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.3 * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def similarity(tune: np.ndarray, music: np.ndarray) -> float | None:
    return chroma_cosine(pitch_classes(Audio(tune, 32000)), pitch_classes(Audio(music, 32000)))


@pytest.mark.parametrize("level", [1.0, 1e-4])  # 1e-4: softer than -60 dB, which the published rule knows nothing of
def test_it_is_the_mean_cosine_of_one_hot_frames(level: float) -> None:
    reference, music = noise(3.0, 32000, seed=0).samples, level * noise(3.0, 32000, seed=1).samples
    chroma = [strongest(Chromagram()(torch.from_numpy(wave)))[0, :24] for wave in (reference, music)]
    expected = torch.nn.functional.cosine_similarity(chroma[0], chroma[1], dim=1)
    assert len(pitch_classes(Audio(reference, 32000))) == -(-96000 // 4096) == 24
    found = similarity(reference, music)
    assert found == pytest.approx(float(expected.mean()))
    assert found is not None and 0 < found < 1


def test_known_answers() -> None:
    a, c, silence = tone(440.0, 4.0), tone(261.63, 4.0), np.zeros(128000, np.float32)
    assert similarity(a, 0.01 * a) == 1.0
    assert similarity(a, tone(220.0, 4.0)) == 1.0  # octaves are the same
    assert similarity(a, c) == 0.0
    assert similarity(c, silence) == 1.0  # a silent frame is C, as published
    assert similarity(silence, c) is None
    assert similarity(tone(440.0, 2.0), np.concatenate([tone(440.0, 2.0), c])) == 1.0  # as far as both go
