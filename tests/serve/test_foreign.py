"""Recordings of strangers: decoded alike, refused in one line, and never with more than they may take."""

import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.serve import foreign
from cadenza.serve.foreign import Bounds, NotAudio, TooLong, decode, looks_like_audio
from cadenza.testing import noise


def write(path: Path, seconds: float = 0.5, rate: int = 44100, channels: int = 2, **choices: str) -> Path:
    wave = np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.repeat(0.5 * wave[:, None], channels, 1), rate, **choices)
    return path


@pytest.mark.parametrize(
    ("choices", "rate", "channels", "expected"),
    [
        ({"format": "WAV", "subtype": "FLOAT"}, 96000, 2, (48000, 2)),
        ({"format": "FLAC"}, 8000, 6, (8000, 1)),
        ({"format": "MP3"}, 44100, 1, (44100, 1)),
        ({"format": "OGG", "subtype": "OPUS"}, 48000, 2, (48000, 2)),
    ],
)
def test_decoded_alike(tmp_path, choices, rate, channels, expected):
    source = write(tmp_path / "source", rate=rate, channels=channels, **choices)
    made = decode(source, tmp_path / "made.flac", 10)
    assert (made.sample_rate, made.channels) == expected
    assert made.seconds == pytest.approx(0.5, abs=0.06)  # MP3 pads to whole frames
    audio = Audio.read(tmp_path / "made.flac")
    assert audio.duration_seconds == pytest.approx(made.seconds)
    middle = audio.samples[0, audio.num_samples // 4 : -audio.num_samples // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    assert np.argmax(spectrum) * audio.sample_rate / middle.size == pytest.approx(440, abs=5)
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.03)


def test_the_record_of_a_take_comes_along(tmp_path):
    Audio(noise(0.2, 8000).samples, 8000, {"cadenza": "1", "text": "harp" * 9000}).write(tmp_path / "take.wav", None)
    assert decode(tmp_path / "take.wav", tmp_path / "made.flac", 1).metadata["text"] == "harp" * 9000


def test_damaged_and_too_long(tmp_path):
    source = write(tmp_path / "source.wav", 1.0)
    with pytest.raises(TooLong, match=r"more than 0\.5 s of sound"):
        decode(source, tmp_path / "made.flac", 0.5)
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"^cut short, "):  # without the path
        decode(source, tmp_path / "made.flac", 10)
    source.write_bytes(whole[:12] + os.urandom(2000))
    with pytest.raises(UserError, match="not audio that can be read, or damaged"):
        decode(source, tmp_path / "made.flac", 10)
    loud = struct.pack("<f", float("nan")) * 200
    soundfile.write(source, np.zeros(1000, np.float32), 8000, subtype="FLOAT")
    source.write_bytes(source.read_bytes()[: -len(loud)] + loud)
    with pytest.raises(UserError, match="not numbers"):
        decode(source, tmp_path / "made.flac", 10)


def test_what_no_process_is_started_for(tmp_path, monkeypatch):
    def started(*arguments: object, **choices: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(foreign.subprocess, "run", started)
    for head in (
        b"",
        b"PK\x03\x04",
        b"\x1aE\xdf\xa3" + b"\0" * 20,
        b"RIFF\0\0\0\0AVI ",
        b"GIF89a",
        b"\xff\xff\xff\xff",
    ):
        assert not looks_like_audio(head)
        (tmp_path / "file").write_bytes(head)
        with pytest.raises(NotAudio):
            decode(tmp_path / "file", tmp_path / "made.flac", 10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of processes are Unix's")
def test_limits_hold(tmp_path, monkeypatch):
    """Time that is short, memory that is small, and an environment that tells nothing."""
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    assert "DATABASE_PASSWORD" not in foreign._environment(os.environ)
    source = write(tmp_path / "source.wav", 0.1)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"longer than 0\.01 s to read"):
        decode(source, tmp_path / "made.flac", 10, Bounds(wall_seconds=0.01))
    assert time.monotonic() - began < 5
    with pytest.raises(UserError, match="takes too much to read"):
        decode(source, tmp_path / "made.flac", 10, Bounds(memory_bytes=2**20))
