"""The gate: whom it lets in, what it counts, and what every answer says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.testclient import TestClient
from starlette.responses import StreamingResponse
from starlette.websockets import WebSocketDisconnect

from cadenza.errors import CadenzaError, UserError
from cadenza.serve.studio.keys import Keys, Limits
from cadenza.serve.studio.security import JSON_BYTES, MULTIPART_BYTES, Gate, check_exposure, is_loopback, protect
from cadenza.serve.studio.settings import StudioSettings
from cadenza.serve.studio.tables import Database


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    database = Database(tmp_path / "studio.sqlite")
    yield Keys(database)
    database.close()


def program(keys: Keys, host: str = "127.0.0.1", **choices: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    @app.get("/v1/health")
    @app.get("/v1/takes")
    def who(request: Request) -> str:
        return request.state.caller.name

    @app.post("/v1/generations")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/v1/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(iter([b"a", b"b"]), headers={"Cache-Control": "max-age=5"})

    @app.websocket("/v1/ws")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.state.caller.name)
        await socket.close()

    app.add_middleware(Gate, keys=keys, host=host, **choices)
    return app


def client(app: FastAPI, address: str = "http://127.0.0.1:8764") -> TestClient:
    return TestClient(app, base_url=address)


def test_loopback():
    for host in ("127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"):
        assert is_loopback(host), host
    for host in ("0.0.0.0", "192.168.1.2", "::", "music.example", "127.0.0.1.example", ""):
        assert not is_loopback(host), host


def test_others_get_in_with_a_key_only(keys):
    check_exposure("127.0.0.1", keys)
    with pytest.raises(UserError, match="cadenza serve keys add NAME"):
        check_exposure("0.0.0.0", keys)
    keys.add("phone")
    check_exposure("0.0.0.0", keys)
    keys.revoke("phone")
    assert client(program(keys, "0.0.0.0")).get("/v1/takes").status_code == 401, "without keys nobody gets in"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8764", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8764", 200),
        ("studio.lan:8764", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:8764", 403),
        ("localhost@evil.example", 403),
        ("", 403),
    ],
)
def test_without_keys_it_answers_under_its_own_names(keys, host, status):
    page = client(program(keys, names=("studio.lan",)))
    assert page.get("/v1/takes", headers={"host": host}).status_code == status


@pytest.mark.parametrize("with_key", [False, True])
def test_other_pages_are_refused(keys, with_key):
    headers = {"Authorization": f"Bearer {keys.add('a')}"} if with_key else {}
    page = client(program(keys))
    own = {"origin": "http://127.0.0.1:8764"}
    assert page.get("/v1/takes", headers=headers | own).status_code == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1:8764.evil.example"):
        reply = page.post("/v1/generations", headers=headers | {"origin": origin}, content=b"{}")
        assert (reply.status_code, reply.json()) == (403, {"detail": "not from this page"})
        with pytest.raises(WebSocketDisconnect), page.websocket_connect("/v1/ws", headers=headers | {"origin": origin}):
            pass


def test_keys_in_the_header_and_in_the_cookie(keys):
    key = keys.add("phone")
    page = client(program(keys, "0.0.0.0"), "https://music.example")
    bearer, cookie = {"Authorization": f"Bearer {key}"}, {"Cookie": f"theme=dark; cadenza_key={key}"}
    assert page.get("/v1/takes", headers=bearer).json() == "phone"
    assert page.get("/v1/takes", headers=cookie).json() == "phone"
    for path in ("/", "/v1/health"):
        assert page.get(path).status_code == 200, "the page asks for the key, and a probe has none"
    for wrong in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": key},
        {"Authorization": f"Basic {key}"},
        {"Cookie": "cadenza_key=wrong"},
        {"Cookie": "=;;\x01,"},
        {"Authorization": "Bearer "} | cookie | {"Cookie": ""},
    ):
        reply = page.get("/v1/takes", headers=wrong)
        assert reply.status_code == 401
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")
        with pytest.raises(WebSocketDisconnect), page.websocket_connect("/v1/ws", headers=wrong):
            pass
    with page.websocket_connect("/v1/ws", headers=cookie) as socket:
        assert socket.receive_text() == "phone"
    keys.revoke("phone")
    assert page.get("/v1/takes", headers=bearer).status_code == 401


def test_more_requests_than_a_key_may(keys):
    key = keys.add("eager", Limits(requests_per_minute=3))
    page = client(program(keys))
    replies = [page.get("/v1/takes", headers={"Authorization": f"Bearer {key}"}) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert int(replies[-1].headers["Retry-After"]) >= 1
    assert "more than 3 requests a minute" in replies[-1].json()["detail"]


def test_bodies_are_counted_before_they_are_kept(keys):
    page = client(program(keys, upload_bytes=1000))
    assert page.post("/v1/generations", content=b"x" * JSON_BYTES).json() == JSON_BYTES
    assert page.post("/v1/generations", content=b"x" * (JSON_BYTES + 1)).status_code == 413
    form = {"content-type": "multipart/form-data; boundary=b"}
    most = 1000 + MULTIPART_BYTES
    assert page.post("/v1/generations", content=b"x" * most, headers=form).json() == most
    assert page.post("/v1/generations", content=b"x" * (most + 1), headers=form).status_code == 413
    for length in ("-1", "1e3", "９", "9" * 400):
        reply = page.post("/v1/generations", content=b"x", headers={"content-length": length.encode()})
        assert reply.status_code in (400, 413), length

    def endless():
        for _ in range(1000):
            yield b"x" * 1024

    reply = page.post("/v1/generations", content=endless())  # which says no length
    assert reply.status_code == 413
    assert "256 kB" in reply.json()["detail"]


def test_nothing_of_a_large_body_is_read(keys):
    """The refusal comes before the first byte is asked for."""
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", b"99999999999")]
    scope = {"type": "http", "path": "/v1/generations", "method": "POST", "headers": headers}
    asyncio.run(Gate(program(keys), keys, "127.0.0.1")(scope, receive, send))
    assert (sent[0]["status"], read) == (413, 0)
    assert "detail" in json.loads(sent[1]["body"])


def test_a_disk_that_refuses_is_no_open_door(keys, monkeypatch):
    def refuse() -> None:
        raise CadenzaError("the library cannot be read")

    monkeypatch.setattr(keys, "rows", refuse)
    reply = client(program(keys)).get("/v1/takes")
    assert (reply.status_code, reply.json()) == (507, {"detail": "the library cannot be read"})


def test_a_key_becomes_a_cookie(keys, tmp_path):
    app = FastAPI()
    key = keys.add("phone")
    protect(app, StudioSettings(directory=tmp_path, host="0.0.0.0"), keys.database)
    app.get("/v1/takes")(lambda: "mine")
    page = client(app, "https://music.example")
    assert page.post("/v1/session", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert page.get("/v1/takes").status_code == 401
    reply = page.post("/v1/session", headers={"Authorization": f"Bearer {key}"})
    assert reply.status_code == 204
    assert {"HttpOnly", "SameSite=strict", "Secure"} <= set(reply.headers["set-cookie"].split("; "))
    assert page.get("/v1/takes").json() == "mine"
    assert page.delete("/v1/session").status_code == 204
    assert page.get("/v1/takes").status_code == 401


def test_without_keys_a_session_is_nothing(keys, tmp_path):
    app = FastAPI()
    protect(app, StudioSettings(directory=tmp_path), keys.database)
    reply = client(app).post("/v1/session")
    assert (reply.status_code, "set-cookie" in reply.headers) == (204, False)


def test_what_every_answer_says(keys):
    page = client(program(keys))
    for reply in (page.get("/"), page.get("/nowhere"), page.get("/", headers={"host": "evil.example"})):
        policy = reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "-src 'self'" not in policy, "an answer of the API loads nothing"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert reply.headers["Cache-Control"] == "no-store"
    assert page.get("/v1/stream").headers["Cache-Control"] == "max-age=5", "a route may know better"
