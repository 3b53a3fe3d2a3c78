"""The route that programs for OpenAI's know, with a tiny model behind it."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from cadenza.audio import Audio
from cadenza.serve.studio.app import create_app
from cadenza.serve.studio.players import LocalPlayer
from cadenza.serve.studio.routes_speech import PCM_RATE
from cadenza.serve.studio.settings import StudioSettings
from cadenza.testing import tiny_musicgen

ADDRESS = "http://127.0.0.1:8764"
THEIRS = {"model": "gpt-4o-mini-tts", "voice": "alloy", "instructions": "gently", "stream_format": "audio"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = StudioSettings(directory=tmp_path_factory.mktemp("library"), max_duration_seconds=30)
    with TestClient(create_app(settings, lambda name: tiny_musicgen()), base_url=ADDRESS) as client:
        yield client


def say(page: TestClient, **choices: object):
    return page.post("/v1/audio/speech", json=THEIRS | {"input": "harp", "duration": 0.5, "seed": 4} | choices)


@pytest.mark.parametrize(
    ("form", "kind"),
    [("mp3", "audio/mpeg"), ("opus", "audio/ogg"), ("wav", "audio/wav"), ("flac", "audio/flac")],
)
def test_formats(page, form, kind):
    reply = say(page, response_format=form)
    assert (reply.status_code, reply.headers["content-type"]) == (200, kind), reply.text
    samples, rate = soundfile.read(io.BytesIO(reply.content))
    assert len(samples) / rate == pytest.approx(0.5, abs=0.08)


def test_pcm_is_what_such_programs_expect(page):
    """24 kHz: the stream is that of the WAV, the whole that of the file in the library."""

    def pcm(**choices: object) -> np.ndarray:
        return np.frombuffer(say(page, response_format="pcm", **choices).content, "<i2") / 32768

    def at_rate(content: bytes) -> np.ndarray:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
        return Audio(samples.T, rate).resample(PCM_RATE).samples[0]

    for made, whole in (
        (pcm(), at_rate(say(page, response_format="wav").content)),
        (pcm(stream=False), at_rate(say(page, response_format="flac").content)),
    ):
        assert len(made) == pytest.approx(0.5 * PCM_RATE, abs=10)
        most = min(len(made), len(whole))
        assert np.corrcoef(made[:most], whole[:most])[0, 1] > 0.97, "but for what is clipped behind the resampler"


def test_without_model_or_voice_it_plays_mp3(page):
    reply = page.post("/v1/audio/speech", json={"input": "harp", "duration": 0.2})
    assert reply.headers["content-type"] == "audio/mpeg"
    assert page.get("/v1/takes?query=harp").json()["items"], "the take is kept"


@pytest.mark.parametrize(
    ("choices", "status", "message"),
    [
        ({"speed": 1.5}, 422, "music has its tempo in the words"),
        ({"response_format": "aac"}, 422, "response_format"),
        ({"stream": True, "response_format": "flac"}, 422, "flac is sent when it is finished"),
        ({"model": "facebook/none"}, 404, "there is no model 'facebook/none'"),
        ({"duration": 31}, 422, "30 s"),
        ({"input": ""}, 422, "input"),
        ({"input": "a\0b"}, 422, "input"),
        ({"duration": float("nan")}, None, None),
    ],
)
def test_mistakes(page, choices, status, message):
    if status is None:
        reply = page.post("/v1/audio/speech", content=b'{"input": "x", "duration": NaN}')
        assert reply.status_code == 422
        return
    reply = say(page, **choices)
    assert reply.status_code == status
    assert message in reply.json()["detail"]


def test_a_failure_of_the_engine_is_said(page, monkeypatch):
    def fail(*arguments: object) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(LocalPlayer, "play", fail)
    for form in ("wav", "mp3"):
        reply = say(page, response_format=form)
        assert reply.status_code == 503
        assert "RuntimeError: no more" in reply.json()["detail"]
