"""`cadenza play`: what the sound card is given is the music, whole and in order."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.loading import load


class Trouble(Exception):
    """What PortAudio says."""


class Stream:
    """Remembers what it is given."""

    heard: list[np.ndarray]
    aborted: bool

    def __init__(self, samplerate: int, channels: int, dtype: str) -> None:
        type(self).heard, type(self).aborted = [], False
        type(self).form = (samplerate, channels, dtype)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, frames: np.ndarray) -> None:
        assert frames.flags.c_contiguous
        self.heard.append(frames)

    def abort(self) -> None:
        type(self).aborted = True


@pytest.fixture
def card(monkeypatch):
    fake = SimpleNamespace(PortAudioError=Trouble, OutputStream=Stream, query_devices=lambda kind: {})
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_the_music_is_heard(cadenza, card, model):
    result = cadenza("play", "harp", "--duration", "1.5", "--seed", "3", "--model", model, "--device", "cpu")
    assert result.code == 0, result.err
    assert result.err.endswith("cadenza: seed 3\n")
    whole = Audio.concatenate(list(load(model, "cpu").stream("harp", 1.5, 3)))
    assert Stream.form == (whole.sample_rate, whole.channels, "float32")
    assert np.array_equal(np.concatenate(Stream.heard).T, whole.samples.clip(-1, 1))
    assert not Stream.aborted


def test_no_sound_card_is_one_line(cadenza, card, model, monkeypatch):
    def nothing(kind: str) -> None:
        raise Trouble("Error querying device -1")

    def unplugged(frames: np.ndarray) -> None:
        raise Trouble("device unavailable")

    monkeypatch.setattr(Stream, "write", lambda self, frames: unplugged(frames))
    lost = cadenza("play", "harp", "--duration", "0.5", "--model", model, "--device", "cpu")
    assert lost.code == 2
    assert "the sound card gave up (device unavailable)" in lost.err
    card.query_devices = nothing
    silent = cadenza("play", "harp", "--model", model)
    assert (silent.code, silent.err.count("\n")) == (2, 1)
    assert "there is no sound card to play on (Error querying device -1)" in silent.err
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    missing = cadenza("play", "harp", "--model", model)
    assert missing.code == 2
    assert "pip install cadenza[play]" in missing.err
