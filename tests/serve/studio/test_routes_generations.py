"""Asking, watching and hearing, over HTTP, with a tiny model behind it."""

import asyncio
import io
import json
import threading
import time
from contextlib import suppress

import httpx
import numpy as np
import pytest
import soundfile

from cadenza.audio import Audio
from cadenza.conditioning.plan import Plan
from cadenza.serve.studio import routes_generations

SOCKETS = "ws://127.0.0.1:8764"
MINIMAL = {"text": "a waltz", "duration": 0.4, "seed": 5}


def ask(client, **given):
    reply = client.post("/v1/generations", json=MINIMAL | given)
    assert reply.status_code == 202, reply.text
    return reply.json()


def events(client, generation: str) -> list[dict]:
    text = client.get(f"/v1/generations/{generation}/events").text
    blocks = [block.split("\n") for block in text.split("\n\n") if block and not block.startswith(":")]
    assert all(block[0] == "event: state" for block in blocks)
    return [json.loads(block[1].removeprefix("data: ")) for block in blocks]


def test_the_music_is_that_of_generate(client, finished, tiny, tmp_path):
    asked = ask(client, count=2, guidance=2.0, top_k=5, plan={"tempo_bpm": 120, "key": "am"}, tags=["a", "b", "a"])
    assert asked["status"] == "queued"
    assert asked["seconds_total"] == pytest.approx(0.8)
    over = finished(client, asked["id"])
    assert over["status"] == "done"
    assert over["items"] == asked["items"] == [take["id"] for take in over["takes"]]
    assert [take["seed"] for take in over["takes"]] == [5, 6]
    for take in over["takes"]:
        assert take["tags"] == ["a", "b"]
        (tmp_path / "take.flac").write_bytes(client.get(f"/v1/takes/{take['id']}/audio").content)
        kept = Audio.read(tmp_path / "take.flac")
        expected = tiny.generate("a waltz", 0.4, take["seed"], guidance=2.0, top_k=5, plan=Plan(120, "A minor"))
        assert kept.metadata == expected.metadata
        expected.write(tmp_path / "expected.flac")
        assert np.array_equal(kept.samples, Audio.read(tmp_path / "expected.flac").samples)
    again = ask(client, **take["asked"])
    other = finished(client, again["id"])["takes"][0]
    assert client.get(f"/v1/takes/{other['id']}/audio").content == (tmp_path / "take.flac").read_bytes()


def test_events_lead_from_the_queue_to_the_end(client):
    asked = ask(client, duration=1.0)
    states = events(client, asked["id"])
    assert states[-1]["status"] == "done"
    assert states[-1]["seconds_made"] == 1.0
    made = [state["seconds_made"] for state in states]
    assert made == sorted(made)
    assert all(state["id"] == asked["id"] for state in states)
    assert events(client, asked["id"]) == [states[-1]]  # who comes late gets the end


def test_a_quiet_stream_says_that_it_lives(client, monkeypatch):
    studio = client.app.state.studio
    monkeypatch.setattr(studio.queue, "next", lambda ready, timeout=1.0: None)  # the engine takes nothing more
    monkeypatch.setattr(routes_generations, "_PAUSE_SECONDS", 0.0)
    time.sleep(1.1)  # until it has noticed
    asked = ask(client)

    async def watch() -> list:
        states = routes_generations.states(studio, asked["id"], pulse_seconds=0.02)
        found = [await anext(states) for _ in range(3)]
        await states.aclose()
        return found

    first, *pulses = asyncio.run(asyncio.wait_for(watch(), 20))
    assert first.status == "queued"
    assert first.position == 1
    assert pulses == [None, None]
    monkeypatch.undo()
    client.post(f"/v1/generations/{asked['id']}/cancel")


@pytest.mark.parametrize("form", ["wav", "opus"])
def test_sound_while_it_is_made_and_afterwards(client, finished, form):
    asked = ask(client, duration=1.0, count=2)
    live = client.get(f"/v1/generations/{asked['id']}/audio?item=1&format={form}")
    assert live.headers["content-type"] == {"wav": "audio/wav", "opus": "audio/ogg"}[form]
    finished(client, asked["id"])
    after = client.get(f"/v1/generations/{asked['id']}/audio?item=1&format={form}")
    (one, _), (other, _) = (soundfile.read(io.BytesIO(reply.content)) for reply in (live, after))
    assert abs(len(one) - len(other)) < 1000
    assert np.corrcoef(one[:30000], other[:30000])[0, 1] > 0.7  # the file is normalised, and its peaks are limited
    assert client.get(f"/v1/generations/{asked['id']}/audio?item=2").status_code == 404


def test_the_socket_carries_sound_and_states(client, finished):
    asked = ask(client, duration=1.0)

    def listen(form: str) -> tuple[dict, bytes, list[str]]:
        header, sound, states = None, b"", []
        with client.websocket_connect(f"{SOCKETS}/v1/generations/{asked['id']}/ws?format={form}") as socket:
            while (message := socket.receive())["type"] == "websocket.send":
                if message.get("bytes") is not None:
                    assert header is not None
                    sound += message["bytes"]
                    continue
                said = json.loads(message["text"])
                if "sample_rate" in said:
                    header = said
                else:
                    states.append(said["status"])
        assert message["code"] == 1000
        return header, sound, states

    header, sound, states = listen("float32")
    assert header == {"sample_rate": 32000, "channels": 1, "format": "float32"}
    assert len(sound) == 4 * 32000
    assert states[-1] == "done"
    finished(client, asked["id"])
    header, sound, states = listen("pcm16")
    assert len(sound) == 2 * 32000
    assert states == ["done"]
    with client.websocket_connect(f"{SOCKETS}/v1/generations/none/ws") as socket:
        assert "no generation" in socket.receive_json()["detail"]


@pytest.mark.parametrize("way", ["http", "socket"])
def test_cancelling_keeps_the_part_that_was_made(client, finished, way):
    asked = ask(client, duration=500.0)
    if way == "socket":
        with client.websocket_connect(f"{SOCKETS}/v1/generations/{asked['id']}/ws") as socket:
            while socket.receive().get("bytes") is None:
                pass
            socket.send_text("nonsense")
            socket.send_json(["nonsense"])
            socket.send_json({"cancel": True})
            while socket.receive()["type"] == "websocket.send":
                pass
    else:
        while client.get(f"/v1/generations/{asked['id']}").json()["seconds_made"] < 1:
            time.sleep(0.01)
        assert client.post(f"/v1/generations/{asked['id']}/cancel").status_code == 200
    over = finished(client, asked["id"])
    take = over["takes"][0]
    assert (over["status"], take["status"], take["complete"]) == ("cancelled", "cancelled", False)
    assert 0 < take["duration"] < 400
    info = soundfile.info(io.BytesIO(client.get(f"/v1/takes/{take['id']}/audio").content))
    assert info.duration == pytest.approx(take["duration"])


def test_who_leaves_does_not_stop_the_music(client, finished):
    asked = ask(client, duration=1.5)
    with client.websocket_connect(f"{SOCKETS}/v1/generations/{asked['id']}/ws") as socket:
        while socket.receive().get("bytes") is None:
            pass
    assert finished(client, asked["id"])["status"] == "done"


def test_who_leaves_while_a_server_cancels_is_no_error(client, finished, monkeypatch):
    """The test client cancels the application when its socket closes, as a server does that shuts down."""

    async def stops_slowly(*given):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as first:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.3)  # the second cancellation arrives meanwhile
            raise first

    monkeypatch.setattr(routes_generations, "_tell", stops_slowly)
    asked = ask(client)
    finished(client, asked["id"])
    with client.websocket_connect(f"{SOCKETS}/v1/generations/{asked['id']}/ws"):
        pass  # leaving raises what the application raised


def test_continuing_and_following_takes(client, finished):
    take = finished(client, ask(client)["id"])["takes"][0]["id"]
    longer = ask(client, prompt=take, prompt_seconds=0.2, duration=0.5)
    over = finished(client, longer["id"])
    assert over["takes"][0]["duration"] == pytest.approx(0.5)
    followed = finished(client, ask(client, melody=take)["id"])
    assert followed["status"] == "done"
    default = client.post("/v1/generations", json={"text": "x", "prompt": take}).json()
    assert default["seconds_total"] == pytest.approx(10.4)  # ten seconds behind the prompt
    client.post(f"/v1/generations/{default['id']}/cancel")
    failed = finished(client, ask(client, prompt=take, duration=0.3)["id"])  # shorter than what it goes on from
    assert failed["status"] == "failed"
    assert "\n" not in failed["error"]


REFUSED = {
    "not json": b"{",
    "not text": b"\xff\xfe",
    "a list": b"[]",
    "deep": b"[" * 50_000,
    "no text": {"duration": 1},
    "unknown field": MINIMAL | {"steps": 3},
    "endless": b'{"text": "x", "duration": 1e999}',
    "not a number": b'{"text": "x", "duration": NaN}',
    "too long": MINIMAL | {"duration": 601},
    "half a letter": b'{"text": "\\ud800"}',
    "zero letter": MINIMAL | {"text": "a\0b"},
    "seed": MINIMAL | {"seed": 2**53},
    "seed below": MINIMAL | {"seed": -1},
    "many": MINIMAL | {"count": 9},
    "tempo": MINIMAL | {"plan": {"tempo_bpm": 1000}},
    "key": MINIMAL | {"plan": {"key": "H moll"}},
    "timeline out of order": MINIMAL | {"text": [[0, "a"], [5, "b"], [2, "c"]], "duration": 9},
    "timeline from the middle": MINIMAL | {"text": [[1, "a"]]},
    "timeline beyond the end": MINIMAL | {"text": [[0, "a"], [5, "b"]], "duration": 4},
    "path as id": MINIMAL | {"melody": "../../etc/passwd"},
    "guidance": MINIMAL | {"guidance": 1e9},
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(client, what):
    body = REFUSED[what]
    content = body if isinstance(body, bytes) else json.dumps(body)
    reply = client.post("/v1/generations", content=content, headers={"content-type": "application/json"})
    assert 400 <= reply.status_code < 500, (reply.status_code, reply.text)
    detail = reply.json()["detail"]
    assert isinstance(detail, str)
    assert "\n" not in detail


def test_what_is_not_there(client):
    for path in ("/v1/generations/abc", "/v1/generations/abc/events", "/v1/generations/abc/audio"):
        assert client.get(path).status_code == 404, path
    assert client.post("/v1/generations/abc/cancel").status_code == 404
    assert client.post("/v1/generations", json=MINIMAL | {"melody": "abc"}).status_code == 404
    reply = client.post("/v1/generations", json=MINIMAL | {"model": "/etc/passwd"})
    assert reply.status_code == 404
    assert "choose one of tiny" in reply.json()["detail"]
    assert client.get("/v1/generations?cursor=xyz").status_code == 422
    assert client.get("/v1/generations?limit=0").status_code == 422


def test_32_at_once_are_all_made_and_the_lists_know_them(client, finished):
    before = client.get("/v1/takes?limit=200").json()["items"]
    asked: list[dict] = []

    def one(i: int) -> None:
        asked.append(ask(client, text=f"piece {i}", duration=0.1, seed=i))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [finished(client, one["id"]) for one in asked]
    assert [state["status"] for state in states] == ["done"] * 32
    assert len(client.get("/v1/takes?limit=200").json()["items"]) == len(before) + 32
    found, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/v1/generations?limit=7&status=done{cursor and '&cursor=' + cursor}").json()
        found += [one["id"] for one in page["items"]]
        cursor = page["next"]
    assert len(found) == len(set(found))
    assert {one["id"] for one in asked} <= set(found)


def test_the_loop_is_free_while_music_is_made(client):
    """Health answers at once, whatever is going on: nothing that waits runs on the event loop."""
    asked = ask(client, duration=300.0)
    app = client.app

    async def look() -> list[float]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8764") as asynchronous:
            codes = [(await asynchronous.get("/v1/health")).status_code for _ in range(5)]
        return codes

    assert asyncio.run(asyncio.wait_for(look(), 20)) == [200] * 5
    client.post(f"/v1/generations/{asked['id']}/cancel")
