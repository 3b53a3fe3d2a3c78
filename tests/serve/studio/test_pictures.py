"""Peaks and pictures of sounds whose look is known."""

import struct
import zlib

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.serve.studio.pictures import peaks, spectrogram
from cadenza.testing import tone


def pixels(png: bytes) -> np.ndarray:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = {}, 8
    while position < len(png):
        length, name = struct.unpack_from(">I4s", png, position)
        content = png[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", png, position + 8 + length)[0] == zlib.crc32(name + content)
        chunks[name] = content
        position += 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3).astype(int)


def test_peaks():
    wave = np.concatenate([np.full(100, 0.5), np.linspace(-1, 0, 100), np.zeros(100)])
    assert peaks(Audio(wave, 100), 3) == [[0.5, 0.5], [-1.0, 0.0], [0.0, 0.0]]
    assert peaks(Audio(np.array([[0.1, 0.2], [-0.3, 0.4]]), 100)) == [[-0.3, 0.1], [0.2, 0.4]]
    assert peaks(Audio(np.zeros((1, 0), np.float32), 100)) == []


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 6000.0])
def test_a_tone_is_a_bright_line_at_its_pitch(hertz):
    picture = pixels(spectrogram(tone(hertz, 1.0, 32000), columns=40, rows=96)).sum(axis=2)
    assert picture.shape == (96, 40)
    mel = [2595 * np.log10(1 + value / 700) for value in (40.0, hertz, 16000.0)]
    expected = 95 - 96 * (mel[1] - mel[0]) / (mel[2] - mel[0])
    assert np.abs(picture[:, 2:-2].argmax(axis=0) - expected).max() <= 2
    assert picture[:, 2:-2].max() > 4 * picture[0, 2:-2].max()


def test_silence_and_very_short_sounds_have_pictures():
    for samples in (np.zeros((2, 5000), np.float32), np.ones((1, 3), np.float32)):
        assert pixels(spectrogram(Audio(samples, 32000), columns=10, rows=8)).shape == (8, 10, 3)
