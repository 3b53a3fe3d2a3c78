"""The client against the real studio, with a tiny model in it."""

import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from cadenza.audio import Audio
from cadenza.errors import CadenzaError, UserError
from cadenza.serve.client import Client, TryLater, Unreachable
from cadenza.serve.studio.app import create_app
from cadenza.serve.studio.settings import StudioSettings
from cadenza.testing import noise, tiny_musicgen

ADDRESS = "http://127.0.0.1:8764"


class Bridge(httpx.BaseTransport):
    """Requests of the client -> the program, without a socket. `broken` answers are torn before they end."""

    def __init__(self, page: TestClient) -> None:
        self.page = page
        self.broken = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.broken:
            self.broken -= 1
            raise httpx.ReadError("gone")
        reply = self.page.request(
            request.method, str(request.url), content=request.read(), headers=dict(request.headers)
        )
        headers = {name: value for name, value in reply.headers.items() if name.lower() != "transfer-encoding"}
        return httpx.Response(reply.status_code, headers=headers, content=reply.content)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    settings = StudioSettings(directory=tmp_path_factory.mktemp("library"), max_duration_seconds=30)
    with TestClient(create_app(settings, lambda name: tiny_musicgen(melody=True)), base_url=ADDRESS) as page:
        yield Bridge(page)


@pytest.fixture
def studio(bridge: Bridge) -> Iterator[Client]:
    with Client(patience_seconds=0.3, transport=bridge) as client:
        yield client


def test_generate_and_keep(studio, tmp_path):
    states = []
    take = studio.generate([(0, "harp"), (0.2, "drums")], 0.5, seed=3, settings={"top_k": 5}, progress=states.append)
    assert (take.status, take.complete, take.seed) == ("done", True, 3)
    assert states[-1].status == "done"
    assert states[-1].seconds_made == states[-1].seconds_total == 0.5
    audio = studio.audio(take)
    assert audio.duration_seconds == pytest.approx(0.5, abs=0.02)
    assert audio.metadata["generation"]["top_k"] == 5, "the file says how it was made"
    again = studio.generate([(0, "harp"), (0.2, "drums")], 0.5, seed=3, settings={"top_k": 5})
    assert np.array_equal(studio.audio(again).samples, audio.samples)
    assert Audio.read(studio.download(take, tmp_path / "take.mp3")).duration_seconds > 0.4
    with pytest.raises(UserError, match="format"):
        studio.download(take, tmp_path / "take.aiff")
    assert [path.name for path in tmp_path.iterdir()] == ["take.mp3"]


def test_a_stream_is_the_music(studio):
    whole, again = (Audio.concatenate(list(studio.stream("flute", 0.5, seed=3))) for _ in range(2))
    assert whole.duration_seconds == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(whole.samples, again.samples)
    while studio.health()["running"]:  # until the file is written, too
        time.sleep(0.02)
    finished = studio.audio(next(studio.takes("flute"))).samples[0]
    assert np.corrcoef(whole.samples[0], finished[: whole.num_samples])[0, 1] > 0.7, "but for level and limiter"


def test_who_stops_listening_stops_the_music(studio):
    chunks = studio.stream("long", 2, seed=1)
    next(chunks)
    chunks.close()  # the bridge hands over whole answers only: it is over by then
    assert studio.cancel(studio.submit("long", 25).id).status in ("cancelled", "running")
    last = studio.submit("last", 0.2)
    assert studio.wait(last.id).status == "done"


def test_melody_and_continuation(studio, tmp_path):
    hum = noise(0.4, 16000)
    for melody in (hum, hum.write(tmp_path / "hum.wav")):
        assert studio.generate("harp", 0.2, melody=melody).complete
    first = studio.generate("harp", 0.2)
    longer = studio.generate("and drums", 0.4, prompt=first.id)
    assert studio.audio(longer).duration_seconds == pytest.approx(0.4, abs=0.02)
    with pytest.raises(UserError, match=r"nowhere\.wav: cannot be read"):
        studio.upload("nowhere.wav")


def test_library_and_models(studio):
    marked = studio.submit("findable words", 0.2, count=2, tags=["mine"])
    takes = studio.wait(marked).takes
    assert [take.tags for take in takes] == [["mine"], ["mine"]]
    assert {take.id for take in studio.takes("findable", tag="mine")} == {take.id for take in takes}
    changed = studio.change(takes[0], starred=True, title="Best")
    assert [take.title for take in studio.takes(starred=True)] == ["Best"] == [changed.title]
    studio.delete(takes[0])
    with pytest.raises(UserError, match="there is no take"):
        studio.delete(takes[0].id)
    model = studio.models()[0]
    assert model.loaded
    assert studio.load_model(model.name).loaded
    assert studio.health()["status"] == "ok"


def test_mistakes(studio, bridge):
    with pytest.raises(UserError, match="30 s"):
        studio.submit("x", 31)
    with pytest.raises(UserError, match="there is no generation"):
        studio.wait("abc")
    with pytest.raises(UserError, match="is no id"):
        studio.cancel("../../v1/takes")
    asked = studio.submit("x", 0.2).id
    bridge.broken = 1
    assert studio.wait(asked).status == "done", "it waits for a studio that comes back"
    bridge.broken = 1_000_000
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:8764 \(gone\): start one with `cadenza serve`"):
        studio.wait(asked)
    assert 0.3 <= time.monotonic() - began < 5
    bridge.broken = 0


@pytest.mark.parametrize(
    ("address", "asked"), [("http://127.0.0.1:8764", 0), ("http://localhost:1", 0), ("http://music.example", 1)]
)
def test_no_proxy_leads_to_this_machine(monkeypatch, address, asked):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    with Client(address) as client:
        assert len([one for one in client._http._mounts.values() if one is not None]) == asked


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (429, b'{"detail": "slow down"}', TryLater),
        (422, b'{"detail": "slow down"}', UserError),
        (500, b"<html>", CadenzaError),
        (502, b'["detail"]', CadenzaError),
    ],
)
def test_answers_that_refuse(status, content, kind):
    answer = httpx.Response(status, content=content, headers={"Retry-After": "7"})
    with Client(key="k" * 40, transport=httpx.MockTransport(lambda request: answer)) as client:
        with pytest.raises(kind, match="slow down" if status < 500 else str(status)) as refused:
            client.models()
        assert type(refused.value) is kind
        assert kind is not TryLater or refused.value.wait_seconds == 7
