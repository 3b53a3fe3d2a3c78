"""A studio with a tiny model, and what the tests of its rooms share."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cadenza.pipelines.musicgen import MusicGen
from cadenza.serve.studio.app import create_app
from cadenza.serve.studio.asked import OVER
from cadenza.serve.studio.settings import StudioSettings
from cadenza.testing import tiny_musicgen
from serve.studio.postgres import Server, postgres

ADDRESS = "http://127.0.0.1:8764"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server; skips where none is installed."""
    with postgres() as begun:
        yield begun


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_address(request: pytest.FixtureRequest) -> Callable[[Path], Path | str]:
    """Where a new database can be, whatever keeps it; the tests that ask for this run once with each kind."""
    if request.param == "sqlite":
        return lambda directory: directory / "studio.sqlite"
    begun: Server = request.getfixturevalue("server")
    return lambda directory: begun.database()


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    tiny_musicgen(plan=True, melody=True).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny(tiny_directory: Path) -> MusicGen:
    return MusicGen.from_pretrained(tiny_directory, "cpu")


@pytest.fixture(scope="session")
def open_studio(tiny_directory: Path, tiny: MusicGen) -> Callable[..., TestClient]:
    """A client of a studio in a directory, to be used in a `with` statement."""

    def opened(directory: Path, load: Any = None, **settings: Any) -> TestClient:
        chosen = {"model": str(tiny_directory), "device": "cpu", "max_requests": 3} | settings
        app = create_app(StudioSettings(directory=directory, **chosen), load or (lambda source: tiny))
        return TestClient(app, base_url=ADDRESS)

    return opened


@pytest.fixture(scope="module")
def client(open_studio: Callable[..., TestClient], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A studio for the tests of a file."""
    with open_studio(tmp_path_factory.mktemp("library")) as opened:
        yield opened


@pytest.fixture(scope="session")
def finished() -> Callable[[TestClient, str], dict[str, Any]]:
    """Wait until a generation is over."""

    def wait(client: TestClient, generation: str) -> dict[str, Any]:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            state = client.get(f"/v1/generations/{generation}").json()
            if state["status"] in OVER:
                return state
            time.sleep(0.02)
        raise AssertionError(f"{generation} does not end: {state}")

    return wait
