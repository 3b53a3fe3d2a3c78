"""Models over HTTP: loaded, unloaded, and why one could not be."""

import threading
import time

import pytest

from cadenza.errors import UserError


def state(client, name: str) -> dict:
    return next(model for model in client.get("/v1/models").json() if model["name"] == name)


@pytest.fixture
def studio(open_studio, tiny, tmp_path):
    """A studio that loads when it is told to; `small` cannot be found, `large` does not fit."""
    gate = threading.Event()

    def load(source: str | None) -> object:
        if source == "facebook/musicgen-small":
            raise UserError("facebook/musicgen-small is not here: check the network")
        if source == "facebook/musicgen-large":
            raise MemoryError
        if source == "facebook/musicgen-medium":
            raise OSError("the disk\nis broken")
        gate.wait(30)
        return tiny

    gate.set()
    with open_studio(tmp_path, load) as client:
        yield client, gate


def test_loading_and_unloading(studio, finished):
    client, gate = studio
    told = client.post("/v1/models/load", json={"name": "tiny"}).json()
    assert told["loaded"]
    assert told["sampling"] == {"guidance": 3.0, "temperature": 1.0, "top_k": 250, "top_p": 0.0}
    assert client.get("/v1/health").json() | {"version": ""} == {
        "status": "ok",
        "version": "",
        "model": "tiny",
        "ready": True,
        "places": 3,
        "queued": 0,
        "running": 0,
    }
    generation = client.post("/v1/generations", json={"text": "x", "duration": 400}).json()["id"]
    while client.get(f"/v1/generations/{generation}").json()["status"] != "running":
        time.sleep(0.01)
    assert client.get("/v1/health").json()["running"] == 1
    reply = client.post("/v1/models/unload", json={"name": "tiny"})
    assert reply.status_code == 409
    assert "cancel" in reply.json()["detail"]
    client.post(f"/v1/generations/{generation}/cancel")
    finished(client, generation)
    assert client.post("/v1/models/unload", json={"name": "tiny"}).json()["loaded"] is False
    assert state(client, "tiny")["loaded"] is False
    assert client.get("/v1/health").json()["ready"] is False
    gate.clear()
    generation = client.post("/v1/generations", json={"text": "x", "duration": 0.2}).json()["id"]
    while not state(client, "tiny")["loading"]:
        time.sleep(0.01)
    assert client.get(f"/v1/generations/{generation}").json()["status"] == "queued"
    gate.set()
    assert finished(client, generation)["status"] == "done"  # it was loaded because it was needed


@pytest.mark.parametrize(
    ("name", "why", "code"),
    [
        ("facebook/musicgen-small", "check the network", 422),
        ("facebook/musicgen-large", "memory", 422),
        ("facebook/musicgen-medium", "could not be loaded: OSError: the disk is broken", 507),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_clear_line(studio, finished, name, why, code):
    client, _ = studio
    reply = client.post("/v1/models/load", json={"name": name})
    assert reply.status_code == code
    assert why in reply.json()["detail"]
    assert "\n" not in reply.json()["detail"]
    assert state(client, name)["error"] == reply.json()["detail"]
    generation = client.post("/v1/generations", json={"text": "x", "duration": 0.2, "model": name}).json()["id"]
    other = client.post("/v1/generations", json={"text": "x", "duration": 0.2}).json()["id"]
    over = finished(client, generation)
    assert (over["status"], over["takes"][0]["duration"]) == ("failed", 0)
    assert why in over["error"]
    assert finished(client, other)["status"] == "done"


def test_names_that_are_none(studio):
    client, _ = studio
    assert client.post("/v1/models/load", json={"name": "../x"}).status_code == 404
    assert client.post("/v1/models/unload", json={"name": "x"}).status_code == 404
    assert client.post("/v1/models/load", json={}).status_code == 422
    words = client.get("/v1/vocabulary").json()
    assert words["genres"] == ["jazz", "techno"]
