"""Requests that make no sense: each is answered in one line and none breaks anything, however many there are."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from cadenza.serve.studio.app import create_app
from cadenza.serve.studio.settings import StudioSettings
from cadenza.testing import tiny_musicgen

ADDRESS = "http://127.0.0.1:8764"
ROOT = Path(__file__).parents[3]
COUNT = "CADENZA_MALFORMED_REQUESTS"
NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 1, 0.1, -0.0, 1e308, 5e-324, float("nan"), float("inf"), 2**53, 2**63, 2**200, "", "\0",
    "\ud800", "x", "x" * 5000, "../../etc/passwd", "..%2f..%2fetc", "C:\\a", "' OR 1=1 --", "<script>", "%s%n{0}",
    "٣", "\u202e", "1e5", "null", "🎹" * 50, [], {}, [[]], [[0, "a"], [0, "b"]], [[-1, "a"]], [[0, ""], [1e9, "b"]],
    [0, "a"], {"a": {}}, [["a", 0]], [None] * 40, {"tempo_bpm": 1e9}, {"key": "H sharp"}, {"meter": "0/0"}, {"x": 1},
    "done", "a" * 16,
)  # fmt: skip
FIELDS = {
    "/v1/generations": (
        "text", "duration", "seed", "model", "guidance", "temperature", "top_k", "top_p", "plan", "melody", "prompt",
        "prompt_seconds", "count", "tags", "more",
    ),
    "/v1/audio/speech": ("input", "model", "voice", "response_format", "speed", "duration", "seed", "stream"),
    "/v1/models/load": ("name",),
    "/v1/models/unload": ("name",),
}  # fmt: skip
QUERIES = ("limit", "cursor", "status", "query", "starred", "tag", "model", "sort", "item", "format", "download")
READ = (
    "/v1/generations", "/v1/takes", "/v1/generations/{}", "/v1/generations/{}/audio", "/v1/generations/{}/events",
    "/v1/takes/{}", "/v1/takes/{}/audio", "/v1/takes/{}/peaks", "/v1/takes/{}/spectrogram.png", "/static/{}", "/{}",
)  # fmt: skip
WRITTEN = (
    ("POST", "/v1/generations/{}/cancel"), ("POST", "/v1/takes/{}/render"), ("PATCH", "/v1/takes/{}"),
    ("DELETE", "/v1/takes/{}"), ("DELETE", "/v1/uploads/{}"), ("POST", "/v1/takes/import"), ("POST", "/v1/uploads"),
    ("POST", "/v1/session"), ("TRACE", "/v1/takes"), ("OPTIONS", "/v1/generations"),
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = StudioSettings(
        directory=tmp_path_factory.mktemp("library"), max_duration_seconds=0.2, max_waiting=20, quota_gb=0.1
    )
    app = create_app(settings, lambda name: tiny_musicgen(melody=True))
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
        yield client


def malformed(seed: int, known: str) -> tuple[str, str, dict[str, Any]]:
    """Method, path and the rest of a request. `known` is the id of a take, so that some of it does lead somewhere."""
    draw = random.Random(seed)
    kind = draw.choice(("fields", "fields", "json", "query", "path", "header", "form"))
    path = draw.choice(tuple(FIELDS))
    fields = {name: draw.choice(NASTY) for name in FIELDS[path] if draw.random() < 0.4}
    if draw.random() < 0.7:
        fields |= {FIELDS[path][0]: "harp", "duration": 0.2}
    body = json.dumps(fields).encode("ascii", "replace")
    json_type = {"content-type": "application/json"}
    name = draw.choice((known, *(str(one) for one in NASTY[14:30])))
    name = "".join(f"%{byte:02X}" for byte in name.encode("utf-8", "replace")) or "%00"
    match kind:
        case "fields":
            return "POST", path, {"content": body, "headers": json_type}
        case "json":
            cut = body[: draw.randrange(len(body) + 1)] + draw.choice(
                (b"", b"\xff", b"}", b"\0", b"[" * 2000, b"1" * 5000)
            )
            return "POST", path, {"content": cut, "headers": json_type}
        case "query":
            asked = {one: str(draw.choice(NASTY)).encode("utf-8", "replace") for one in draw.sample(QUERIES, 3)}
            return "GET", draw.choice(READ).format(known), {"params": asked}
        case "path":
            method, place = draw.choice((*WRITTEN, *(("GET", one) for one in READ)))
            return method, place.format(name), {"content": body, "headers": json_type}
        case "header":
            odd = draw.choice(
                (
                    {"content-type": "multipart/form-data"},
                    {"content-type": "application/json; charset=utf-7"},
                    {"content-type": "\xff"},
                    {"range": "bytes=9-1,-5,a"},
                    {"range": "bytes=" + "0-0," * 500},
                    {"cookie": "cadenza_key=" + "x" * 4000},
                    {"authorization": "Bearer \xff"},
                    {"if-none-match": '"' * 100},
                    {"host": "127.0.0.1:99999999"},
                    {"accept": "\0"},
                )
            )
            headers = {one: value.encode("latin-1") for one, value in odd.items()}
            method, place = draw.choice((("POST", path), ("GET", f"/v1/takes/{known}/audio"), ("GET", "/v1/takes")))
            return method, place, {"content": body, "headers": headers}
        case _:
            form = b"--b\r\n" + draw.choice(
                (
                    b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
                    b'Content-Disposition: form-data; name="file"\r\n\r\nRIFF',
                    b"Content-Disposition: form-data; name=\"\xff\"; filename*=utf-8''%ff\r\n\r\n",
                    b"Content-Disposition: attachment\r\n\r\n",
                    b"A: " + b"b" * 9000 + b"\r\n\r\n",
                    b"\r\n" * 100,
                )
            )
            content = form + draw.randbytes(draw.randint(0, 300)) + draw.choice((b"", b"\r\n--b--\r\n", b"\r\n--b\r\n"))
            headers = {
                "content-type": draw.choice(("multipart/form-data; boundary=b", "multipart/form-data; boundary="))
            }
            return "POST", draw.choice(("/v1/uploads", "/v1/takes/import")), {"content": content, "headers": headers}


def resident_bytes() -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


# Starlette leaves the file of a form that breaks off to the garbage collector, which closes it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_malformed_requests(page):
    count = int(os.environ.get(COUNT, "150"))
    made = page.post("/v1/audio/speech", json={"input": "harp", "duration": 0.2})
    assert made.status_code == 200, made.text
    known = page.get("/v1/takes").json()["items"][0]["id"]
    sizes, answers = [], {}
    for seed in range(count):
        method, path, rest = malformed(seed, known)
        reply = page.request(method, path, **rest)
        assert reply.status_code < 500, (seed, method, path, rest, reply.text)
        if reply.status_code >= 400 and "range" not in rest.get("headers", {}):  # of which Starlette says it in a word
            detail = reply.json()["detail"]
            assert "\n" not in detail
            assert "Traceback" not in detail
        answers[reply.status_code] = answers.get(reply.status_code, 0) + 1
        sizes.append(resident_bytes())
    print(f"{count} requests: {dict(sorted(answers.items()))}, {sizes[count // 10]} to {sizes[-1]} bytes resident")
    assert len(answers) > 3, "they are not all refused at the same place"
    assert page.get("/v1/health").json()["status"] == "ok"
    first, last = (
        float(np.median(sizes[part])) for part in (slice(count // 10, count // 5), slice(-count // 10, None))
    )
    assert count < 1000 or last < 1.03 * first, "no growth"


@pytest.mark.slow
def test_ten_thousand_of_them():
    """In a process of their own: what other tests have left behind takes and gives back memory while it is counted."""
    words = [sys.executable, "-m", "pytest", "-q", "-s", f"{__file__}::test_malformed_requests"]
    done = subprocess.run(words, env=os.environ | {COUNT: "10000"}, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-2000:]
    print(next(line for line in done.stdout.splitlines() if line.startswith("10000 requests")))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does
def test_what_the_description_allows(page):
    """Requests drawn from our own OpenAPI description, valid and not: no failure of ours."""
    schemathesis = pytest.importorskip("schemathesis")
    hypothesis = pytest.importorskip("hypothesis")
    requests = pytest.importorskip("requests")
    schema = schemathesis.openapi.from_dict(page.get("/openapi.json").json())
    all_of_them = list(hypothesis.HealthCheck)
    answers: dict[int, int] = {}
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=100, deadline=None, database=None, derandomize=True, suppress_health_check=all_of_them
        )
        def ask(case: Any) -> None:
            made = requests.Request(**case.as_transport_kwargs(base_url=ADDRESS)).prepare()
            reply = page.request(made.method, made.url, content=made.body, headers=dict(made.headers))
            answers[reply.status_code] = answers.get(reply.status_code, 0) + 1
            assert reply.status_code < 500, (made.method, made.url, made.body, reply.text)

        ask()
    print(f"{sum(answers.values())} requests drawn from the description: {dict(sorted(answers.items()))}")
    assert sum(answers.values()) > 1000
