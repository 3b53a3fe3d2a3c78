"""What Prometheus is told is true, and does not grow with what strangers try."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from cadenza.serve.studio.app import create_app
from cadenza.serve.studio.pace import Pace
from cadenza.serve.studio.settings import StudioSettings
from cadenza.testing import tiny_musicgen


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = StudioSettings(directory=tmp_path_factory.mktemp("library"), max_requests=3)
    app = create_app(settings, lambda name: tiny_musicgen())
    with TestClient(app, base_url="http://127.0.0.1:8764") as client:
        yield client


def figures(page: TestClient) -> dict[tuple[str, ...], float]:
    """Name and labels -> value."""
    reply = page.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def test_music_is_counted(page):
    job = page.post("/v1/generations", json={"text": "harp", "duration": 0.5, "count": 2}).json()
    with page.stream("GET", f"/v1/generations/{job['id']}/events") as events:
        events.read()
    found = figures(page)
    model = page.get("/v1/health").json()["model"]
    assert found["cadenza_audio_seconds_total",] == pytest.approx(1.0, abs=0.05)
    assert found["cadenza_first_audio_seconds_count",] == 2
    assert 0 < found["cadenza_first_audio_seconds_sum",] < 60
    assert found["cadenza_takes_waiting",] == found["cadenza_takes_running",] == 0
    assert found["cadenza_places",] == 3
    assert found["cadenza_library_takes", "done"] == 2
    assert found["cadenza_library_bytes",] > 1000
    assert found["cadenza_real_time_factor", model] > 0
    assert found["cadenza_model_loaded", model] == 1
    assert found["process_resident_memory_bytes",] > 1e7


def test_answers_are_counted_by_route(page):
    page.get("/v1/takes/abc")
    page.get("/v1/takes/def")
    page.get("/v1/takes", headers={"origin": "https://evil.example"})
    before = len(figures(page))
    for i in range(20):
        page.request(f"X{i}", f"/nowhere/{i}")
    found = figures(page)
    assert found["cadenza_http_requests_total", "GET", "/v1/takes/{take}", "404"] == 2
    assert found["cadenza_http_requests_total", "GET", "none", "403"] == 1
    assert found["cadenza_http_requests_total", "other", "none", "404"] == 20
    assert len(found) <= before + 4, "however many paths and methods are tried"


def test_the_first_sound_is_told_once_a_take():
    now = [0.0]
    pace, told = Pace(lambda: now[0]), []
    pace.on_first = told.append
    for take in ("a", "b"):
        pace.begin(take)
        for _ in range(3):
            now[0] += 0.5
            pace.heard(take, "model", 1.0)
        pace.end(take)
    assert told == [0.5, 0.5]
