"""The engine room: what fails keeps what it made and harms nobody else, and nothing stays behind when it ends."""

import threading
import time

import pytest

from cadenza.engine.slots import Slots
from cadenza.pipelines import scheduling

ASKED = {"text": "x", "duration": 1.0, "seed": 3}


@pytest.fixture
def studio(open_studio, tmp_path):
    with open_studio(tmp_path) as client:
        yield client


def test_a_failure_keeps_what_was_made_and_the_next_is_made(studio, finished, monkeypatch):
    following = scheduling.Rendering.__next__

    def breaking(self):
        chunk = following(self)
        if self.rendition.request.seed == 3 and self._begun and chunk.duration_seconds > 0.15:
            self.cancel()
            raise OSError("the device\nis lost")
        return chunk

    monkeypatch.setattr(scheduling.Rendering, "__next__", breaking)
    first = studio.post("/v1/generations", json=ASKED).json()["id"]
    other = studio.post("/v1/generations", json=ASKED | {"seed": 4}).json()["id"]
    over = finished(studio, first)
    take = over["takes"][0]
    assert (over["status"], take["complete"]) == ("failed", False)
    assert over["error"].startswith("OSError: the device is lost")
    assert 0 < take["duration"] < 0.5
    assert studio.get(f"/v1/takes/{take['id']}/audio").status_code == 200
    assert finished(studio, other)["status"] == "done"


def test_an_engine_that_broke_is_opened_anew(studio, finished, monkeypatch):
    monkeypatch.setattr(scheduling.MusicScheduler, "_work", lambda self, scheduler: 1 / 0)
    first = studio.post("/v1/generations", json=ASKED).json()["id"]
    over = finished(studio, first)
    assert over["status"] == "failed"
    assert "\n" not in over["error"]
    monkeypatch.undo()
    again = studio.post("/v1/generations", json=ASKED).json()["id"]
    if finished(studio, again)["status"] == "failed":  # it was on its way to the engine that was breaking
        again = studio.post("/v1/generations", json=ASKED).json()["id"]
    assert finished(studio, again)["status"] == "done"


def test_places_are_filled_and_more_wait(studio, finished, monkeypatch):
    gate = threading.Event()
    step = Slots.step
    monkeypatch.setattr(Slots, "step", lambda self, moving: gate.wait(60) and step(self, moving))
    generation = studio.post("/v1/generations", json=ASKED | {"count": 8, "duration": 0.2}).json()
    while (health := studio.get("/v1/health").json())["queued"] != 4:  # three places, and one that is prepared
        time.sleep(0.01)
    assert health["running"] == 4
    while (state := studio.get(f"/v1/generations/{generation['id']}").json())["status"] != "running":
        time.sleep(0.01)
    states = [take["status"] for take in state["takes"]]
    assert states.count("running") <= 3
    gate.set()
    assert finished(studio, generation["id"])["status"] == "done"


def test_nothing_stays_behind(open_studio, tmp_path):
    before = set(threading.enumerate())
    with open_studio(tmp_path) as client:
        generation = client.post("/v1/generations", json=ASKED | {"duration": 300.0}).json()["id"]
        while not client.get(f"/v1/generations/{generation}").json()["seconds_made"]:
            time.sleep(0.01)
    ours = [one.name for one in set(threading.enumerate()) - before if one.name.startswith(("studio", "cadenza"))]
    assert ours == []
    with open_studio(tmp_path) as client:
        assert client.get(f"/v1/generations/{generation}").json()["status"] in ("queued", "running")
        client.post(f"/v1/generations/{generation}/cancel")


def test_a_full_library_takes_nothing_more(open_studio, finished, tmp_path):
    with open_studio(tmp_path, quota_gb=1e-6) as client:
        first = client.post("/v1/generations", json=ASKED).json()["id"]
        finished(client, first)
        reply = client.post("/v1/generations", json=ASKED)
        assert reply.status_code == 507
        assert "delete takes" in reply.json()["detail"]


def test_a_queue_that_is_full_says_so(open_studio, tmp_path):
    with open_studio(tmp_path, max_waiting=2) as client:
        reply = client.post("/v1/generations", json=ASKED | {"count": 3})
        assert (reply.status_code, reply.headers["Retry-After"]) == (429, "10")
        assert "try again later" in reply.json()["detail"]
