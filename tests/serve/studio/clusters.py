"""Studios on a Ray cluster of this machine, and how their tests ask and wait."""

import gc
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cadenza.errors import UserError
from cadenza.serve.studio.app import create_app
from cadenza.serve.studio.house import Studio
from cadenza.serve.studio.settings import StudioSettings
from serve.studio.conftest import ADDRESS

ASKED = {"text": "slow waltz for accordion", "duration": 3.0, "seed": 11}
PATIENCE_SECONDS = 300


def opened_if_ray_starts(tmp_path_factory: pytest.TempPathFactory, **settings: Any) -> TestClient:
    """A studio on a cluster of its own; skips where Ray alone does not start either (it gives its parts 15 s)."""
    try:
        return opened(tmp_path_factory, cluster="local", **settings)
    except UserError as error:
        problem = str(error)
    gc.collect()  # what Ray left behind warns of itself; here it may
    plain = "import ray; ray.init(address='local', log_to_driver=False); ray.shutdown()"
    if subprocess.run([sys.executable, "-c", plain], capture_output=True, timeout=120).returncode:
        pytest.skip(f"Ray does not start on this machine now: {problem}")
    raise UserError(problem)


def opened(tmp_path_factory: pytest.TempPathFactory, **settings: Any) -> TestClient:
    directory = tmp_path_factory.mktemp("library")
    app = create_app(StudioSettings(directory=directory, device="cpu", max_requests=2, **settings))
    return TestClient(app, base_url=ADDRESS)


def studio(client: TestClient) -> Studio:
    found: Studio = client.app.state.studio  # type: ignore[attr-defined]
    return found


def ask(client: TestClient, **given: Any) -> tuple[dict[str, Any], list[Any]]:
    """A generation, and the sounds of its takes as those hear them who listen from the beginning."""
    made = client.post("/v1/generations", json=ASKED | given).json()
    return made, [studio(client).queue.sound(take) for take in made["items"]]


def state(client: TestClient, generation: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/generations/{generation['id']}").json()
    return found


def until(client: TestClient, generation: dict[str, Any], is_so: Any) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so(found := state(client, generation)):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def is_over(found: dict[str, Any]) -> bool:
    return found["status"] not in ("queued", "running")


def copies(client: TestClient) -> dict[int, int]:
    """Pieces made by each copy, by its process."""
    room = studio(client).engine.load(studio(client).shelf.default)
    assert room.loaded.wait(PATIENCE_SECONDS) and room.error is None, room.error
    return dict(room.player.broadcast("made"))  # type: ignore[union-attr]


def with_ray(test: Callable[..., None]) -> Callable[..., None]:
    """A slow test; what Ray warns of is its own affair."""
    for kind in ("DeprecationWarning", "ResourceWarning"):
        test = pytest.mark.filterwarnings(f"ignore::{kind}")(test)
    return pytest.mark.slow(test)
