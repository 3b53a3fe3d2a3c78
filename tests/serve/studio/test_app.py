"""A real server: killed under load and started again, and ended while somebody listens."""

import io
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
import soundfile

from cadenza.errors import UserError
from cadenza.pipelines.musicgen import MusicGen
from cadenza.serve.studio.app import serve
from cadenza.serve.studio.models import Load
from cadenza.serve.studio.settings import StudioSettings
from cadenza.serve.studio.work import MOST_ATTEMPTS
from cadenza.testing import tiny_musicgen

PATIENCE_SECONDS = 300
DEADLY = "facebook/musicgen-large"


class Server:
    """`serve` in a process of its own, forked from one that has imported everything."""

    def __init__(self, settings: StudioSettings, load: Load | None = None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["cadenza.serve.studio.app"])
        told, tell = context.Pipe(duplex=False)
        self.process = context.Process(target=serve, args=(settings, tell.send, load))
        self.process.start()
        assert told.poll(PATIENCE_SECONDS), "the server says where it is"
        self.client = httpx.Client(base_url=told.recv(), timeout=PATIENCE_SECONDS)
        tell.close()
        told.close()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.close()

    def close(self) -> None:
        self.client.close()
        self.process.join(PATIENCE_SECONDS)
        assert self.process.exitcode is not None, "the server has ended"


@contextmanager
def running(settings: StudioSettings, load: Load | None = None) -> Iterator[Server]:
    server = Server(settings, load)
    try:
        yield server
    finally:
        if server.process.exitcode is None:
            server.kill()
        server.process.close()


@pytest.fixture
def settings(tmp_path: Path, tiny_directory: Path) -> StudioSettings:
    return StudioSettings(directory=tmp_path, model=str(tiny_directory), device="cpu", port=0, max_requests=3)


def until_over(client: httpx.Client, names: list[str]) -> list[dict]:
    deadline, found = time.monotonic() + PATIENCE_SECONDS, []
    for name in names:
        while (state := client.get(f"/v1/generations/{name}").json())["status"] in ("queued", "running"):
            assert time.monotonic() < deadline, state
            time.sleep(0.02)
        found.append(state)
    return found


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_under_load_again_and_again_every_accepted_job_ends_and_every_take_is_whole(settings, kills):
    accepted: list[str] = []
    done: dict[str, bytes] = {}
    for round in range(kills):
        with running(settings) as server:

            def ask(client: httpx.Client, first: int) -> None:
                with suppress(httpx.TransportError):  # killed before the answer: then it need not be made
                    for i in range(2):
                        asked = {"text": f"piece {first + i}", "duration": 1.0, "seed": first + i}
                        accepted.append(client.post("/v1/generations", json=asked).json()["id"])

            threads = [threading.Thread(target=ask, args=(server.client, 100 * round + 10 * i)) for i in range(2)]
            for thread in threads:
                thread.start()
            while len(made := server.client.get("/v1/takes?limit=200").json()["items"]) <= len(done):
                time.sleep(0.01)
            done |= {take["id"]: server.client.get(f"/v1/takes/{take['id']}/audio").content for take in made}
            server.kill()
            for thread in threads:
                thread.join()
    with running(settings) as server:
        states = until_over(server.client, accepted)
        assert [state["status"] for state in states] == ["done"] * len(accepted)
        takes = server.client.get("/v1/takes?limit=200").json()["items"]
        assert {take["generation"] for take in takes} >= set(accepted)
        for take in takes:
            content = server.client.get(f"/v1/takes/{take['id']}/audio").content
            samples, rate = soundfile.read(io.BytesIO(content))
            assert len(samples) == rate
            assert done.get(take["id"], content) == content, "what was finished stays as it was"
    assert not [path for path in settings.directory.rglob(".*") if path.is_file()], "no half files"


def load(source: str | None) -> MusicGen:
    """A model, or the end: as the kernel ends whoever takes more memory than there is."""
    if source == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return tiny_musicgen()


def test_a_model_that_ends_the_studio_while_it_is_loaded_is_not_tried_for_ever(settings):
    asked = {"text": "x", "duration": 0.3}
    with running(settings, load) as server:
        with suppress(httpx.TransportError):
            server.client.post("/v1/generations", json=asked | {"model": DEADLY})
        server.process.join(PATIENCE_SECONDS)
        assert server.process.exitcode == -signal.SIGKILL
        server.close()
    for _ in range(MOST_ATTEMPTS - 1):
        with running(settings, load) as server:
            server.process.join(PATIENCE_SECONDS)
            assert server.process.exitcode == -signal.SIGKILL
            server.close()
    with running(settings, load) as server:
        (given_up,) = server.client.get("/v1/generations").json()["items"]
        assert given_up["status"] == "failed"
        assert given_up["error"].startswith("given up after 5 attempts")
        name = server.client.post("/v1/generations", json=asked).json()["id"]
        assert until_over(server.client, [name])[0]["status"] == "done"


def test_it_ends_when_it_is_told_though_somebody_listens(settings):
    with running(settings) as server:
        asked = {"text": "long", "duration": 500.0, "seed": 4}
        generation = server.client.post("/v1/generations", json=asked).json()["id"]
        with server.client.stream("GET", f"/v1/generations/{generation}/audio") as reply:
            for content in reply.iter_raw():
                if len(content) > 44:
                    break
            assert server.process.pid is not None
            began = time.monotonic()
            os.kill(server.process.pid, signal.SIGTERM)
            server.process.join(PATIENCE_SECONDS)
        assert time.monotonic() - began < 30
        assert server.process.exitcode in (0, -signal.SIGTERM)
        server.close()
    with running(settings) as server:
        state = server.client.get(f"/v1/generations/{generation}").json()
        assert state["status"] in ("queued", "running")
        assert server.client.post(f"/v1/generations/{generation}/cancel").status_code == 200
        assert until_over(server.client, [generation])[0]["status"] == "cancelled"


def test_a_port_that_is_taken_is_one_clear_line(settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen = StudioSettings(**settings.model_dump() | {"port": port})
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 cannot be used .*choose another"):
            serve(chosen, print)
    serve_again = StudioSettings(**settings.model_dump() | {"host": "256.0.0.1"})
    with pytest.raises(UserError):
        serve(serve_again, print)


def test_errors_are_json_and_the_api_describes_itself(client):
    assert client.get("/v1/nothing").json() == {"detail": "Not Found"}
    assert client.put("/v1/generations").status_code == 405
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/generations", "/v1/takes/{take}/audio", "/v1/models", "/v1/health"} <= set(paths)
