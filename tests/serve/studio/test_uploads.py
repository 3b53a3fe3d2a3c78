"""Recordings that people bring: kept as FLAC, listened to, deleted; and what is no recording is refused in one line."""

import io
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from cadenza.audio import Audio
from cadenza.serve import foreign
from cadenza.serve.studio import routes_uploads
from cadenza.serve.studio.app import create_app
from cadenza.serve.studio.asked import Asked
from cadenza.serve.studio.house import Studio
from cadenza.serve.studio.library import Library, Missing
from cadenza.serve.studio.settings import StudioSettings
from cadenza.serve.studio.uploads import expire_uploads, find_upload, keep_upload, shown_name
from cadenza.testing import noise, tiny_musicgen

ADDRESS = "http://127.0.0.1:8764"
MANY = int(os.environ.get("CADENZA_UPLOADS", "120"))
"""Damaged recordings of the slow test: each is decoded in a process of its own."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = StudioSettings(
        directory=tmp_path_factory.mktemp("library"), max_upload_mb=0.5, max_upload_seconds=5, max_requests=2
    )
    with TestClient(create_app(settings, lambda name: tiny_musicgen(melody=True)), base_url=ADDRESS) as client:
        yield client


def folder(page: TestClient) -> Path:
    return page.app.state.studio.library.uploads


def recording(seconds: float = 0.5, rate: int = 16000, form: str = "WAV", metadata: dict | None = None) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, noise(seconds, rate).samples.T, rate, format=form)
    return content.getvalue()


def send(page: TestClient, content: bytes, name: str = "hum.wav", path: str = "/v1/uploads"):
    return page.post(path, files={"file": (name, content, "audio/wav")})


def test_names_are_only_shown():
    assert shown_name("../../etc/passwd") == "passwd"
    assert shown_name("C:\\songs\\a\x00b\n.wav") == "ab.wav"
    assert shown_name("x" * 500) == "x" * 120
    for nothing in (None, "", "/", "\u202e\n", "   "):
        assert shown_name(nothing) == "recording"


def test_a_recording_is_kept_followed_and_deleted(page):
    reply = send(page, recording(0.5, 16000, "OGG"), "../../hum.ogg")
    assert reply.status_code == 201, reply.text
    made = reply.json()
    assert (made["name"], made["sample_rate"], made["channels"]) == ("hum.ogg", 16000, 1)
    assert made["seconds"] == pytest.approx(0.5, abs=0.01)
    assert [path.name for path in folder(page).iterdir()] == [f"{made['id']}.flac"]
    asked = page.post("/v1/generations", json={"text": "harp", "duration": 0.2, "melody": made["id"]})
    assert asked.status_code == 202, asked.text
    with page.stream("GET", f"/v1/generations/{asked.json()['id']}/events") as events:
        assert '"status":"done"' in events.read().decode().split("data: ")[-1]
    assert page.delete(f"/v1/uploads/{made['id']}").status_code == 204
    assert page.delete(f"/v1/uploads/{made['id']}").status_code == 404
    assert not list(folder(page).iterdir())


def test_a_recording_is_found_and_heard(page):
    made = send(page, recording(0.5, 16000, "OGG"), "hum.ogg").json()
    address = f"/v1/uploads/{made['id']}"
    assert page.get(address).json() == made
    whole = page.get(f"{address}/audio")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/flac")
    assert soundfile.info(io.BytesIO(whole.content)).frames == 8000
    part = page.get(f"{address}/audio", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    page.delete(address)
    for gone in (address, f"{address}/audio", "/v1/uploads/abc/audio"):
        reply = page.get(gone)
        assert reply.status_code == 404 and reply.json()["detail"].startswith("there is no upload")


def test_a_recording_is_heard_with_a_key_only(tmp_path):
    key = "k" * 40
    (tmp_path / "keys").write_text(f"{key}\n")
    (tmp_path / "keys").chmod(0o600)
    settings = StudioSettings(directory=tmp_path / "library", key_file=tmp_path / "keys")
    with TestClient(create_app(settings, lambda name: tiny_musicgen()), base_url=ADDRESS) as client:
        known = {"Authorization": f"Bearer {key}"}
        sent = client.post("/v1/uploads", files={"file": ("hum.wav", recording(), "audio/wav")}, headers=known).json()
        for address in (f"/v1/uploads/{sent['id']}", f"/v1/uploads/{sent['id']}/audio"):
            assert client.get(address).status_code == 401
            assert client.get(address, headers=known).status_code == 200


def aged(library: Library, days: float) -> str:
    """A recording that was brought so many days ago."""
    source = library.directory / "recording.wav"
    source.write_bytes(recording())
    with source.open("rb") as file:
        row = keep_upload(library, file, None, "", 5)
    with library.database.writing() as session:
        row.created = time.time() - 86400 * days
        session.add(session.merge(row))
    return row.id


def test_old_recordings_go_unless_a_take_waits_for_them(tmp_path):
    settings = StudioSettings(directory=tmp_path)
    studio = Studio(settings, lambda name: tiny_musicgen(melody=True))  # never started: what is asked for waits
    try:
        followed, begun, old, young = (aged(studio.library, days) for days in (8, 8, 8, 6))
        jobs = [
            studio.submit(Asked(text="harp", duration=1, melody=followed)),
            studio.submit(Asked(text="harp", duration=3, prompt=begun)),
        ]
        assert expire_uploads(studio.library, 7) == 1
        assert {path.stem for path in studio.library.uploads.iterdir()} == {followed, begun, young}
        with pytest.raises(Missing, match=f"no upload {old}: it may have been deleted, or be too old"):
            find_upload(studio.library, old)
        with pytest.raises(Missing, match="may have been deleted, or be too old"):
            studio.submit(Asked(text="harp", duration=1, melody=old))
        for job in jobs:
            studio.queue.cancel(job.id)
        assert expire_uploads(studio.library, 7) == 2
        assert [path.stem for path in studio.library.uploads.iterdir()] == [young]
        assert expire_uploads(studio.library, 7) == 0
    finally:
        studio.close()


def test_a_finished_take_outlives_what_it_listened_to(tmp_path):
    """The studio's housekeeping deletes the recording; the take is made again from its own file."""

    def opened(days: float | None) -> TestClient:
        settings = StudioSettings(directory=tmp_path, keep_uploads_days=days)
        return TestClient(create_app(settings, lambda name: tiny_musicgen(melody=True)), base_url=ADDRESS)

    with opened(None) as client:
        hum = aged(client.app.state.studio.library, 1000)
        asked = {"text": "harp", "duration": 0.2, "seed": 3, "melody": hum}
        first = finished_take(client, client.post("/v1/generations", json=asked).json())
        sound = client.get(f"/v1/takes/{first}/audio?format=wav").content
        assert client.get(f"/v1/uploads/{hum}/audio").status_code == 200, "kept for ever"
    with opened(30) as client:
        until = time.monotonic() + 60
        while client.get(f"/v1/uploads/{hum}").status_code != 404:
            assert time.monotonic() < until, "the recording stays"
            time.sleep(0.02)
        again = finished_take(client, client.post(f"/v1/takes/{first}/render").json())
        assert client.get(f"/v1/takes/{again}/audio?format=wav").content == sound
        reply = client.post("/v1/generations", json=asked)
        assert reply.status_code == 404 and "be too old" in reply.json()["detail"]


def finished_take(client: TestClient, job: dict) -> str:
    with client.stream("GET", f"/v1/generations/{job['id']}/events") as events:
        assert '"status":"done"' in events.read().decode().split("data: ")[-1]
    return job["items"][0]


def test_a_take_gives_its_settings_back(page):
    asked = {"text": [[0, "calm piano"], [0.2, "drums"]], "duration": 0.4, "seed": 12, "guidance": 2.5, "top_k": 20}
    job = page.post("/v1/generations", json=asked).json()
    with page.stream("GET", f"/v1/generations/{job['id']}/events") as events:
        events.read()
    file = page.get(f"/v1/takes/{job['items'][0]}/audio?format=wav").content
    reply = send(page, file, path="/v1/takes/import")
    assert reply.status_code == 200, reply.text
    found = reply.json()
    assert {name: found["asked"][name] for name in asked} == asked
    assert found["seconds"] == pytest.approx(0.4, abs=0.01)
    assert page.post("/v1/generations", json=found["asked"]).status_code == 202
    other = send(page, recording(), path="/v1/takes/import")
    assert (other.status_code, other.json()["detail"].split(":")[0]) == (
        422,
        "this audio carries no record of how it was made",
    )


def test_what_is_refused(page, monkeypatch):
    for content, status in (
        (b"", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", 415),
        (b"RIFF" + os.urandom(400), 415),
        (recording(6.0), 413),  # seconds
        (recording()[:3000], 422),
        (b"\0" * 500_001, 413),  # bytes
    ):
        reply = send(page, content)
        assert reply.status_code == status, (content[:20], reply.text)
        assert "\n" not in reply.json()["detail"]
        assert str(folder(page).parent) not in reply.text, "no path of ours in an answer"
    for body, form in (
        (b"", "multipart/form-data"),
        (b"--b\r\nno", "multipart/form-data; boundary=b"),
        (b"{}", "text/x"),
    ):
        assert page.post("/v1/uploads", content=body, headers={"content-type": form}).status_code in (400, 422)
    assert page.post("/v1/uploads", data={"file": "no file"}).status_code == 422
    assert page.post("/v1/uploads", content=b"\0" * 700_000, headers={"content-type": "text/x"}).status_code == 413
    monkeypatch.setattr(routes_uploads, "MOST_WAITING", 0)
    busy = send(page, recording())
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "10")
    assert not list(folder(page).iterdir()), "nothing of it stays"


def damaged(seed: int) -> bytes:
    """A recording with some of its bytes drawn, dropped or repeated; the beginning stays what it was."""
    draw = random.Random(seed)
    content = bytearray(recording(0.1, 16000, draw.choice(("WAV", "FLAC", "OGG", "MP3", "AIFF"))))
    for _ in range(draw.randint(1, 40)):
        at = draw.randrange(4, len(content))
        content[at : at + draw.randint(0, 8)] = draw.randbytes(draw.randint(0, 8))
    return bytes(content[: draw.randint(16, len(content))])


@pytest.mark.parametrize("count", [3, pytest.param(MANY, marks=pytest.mark.slow)])
def test_malformed_uploads(page, count):
    """Many: no failure of ours, nothing left behind, no growth."""
    sizes = []
    for seed in range(count):
        reply = send(page, damaged(seed))
        assert reply.status_code in (201, 413, 415, 422), (seed, reply.text)
        if reply.status_code == 201:
            assert Audio.read(folder(page) / f"{reply.json()['id']}.flac").num_samples
            page.delete(f"/v1/uploads/{reply.json()['id']}")
        sizes.append(resident_bytes())
    assert not list(folder(page).iterdir())
    half = np.median(sizes[len(sizes) // 2 :])
    assert half < 1.05 * np.median(sizes[count // 10 : count // 5 + 1]) + 2**20, "the second half needs no more"


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines() if Path("/proc/self/status").exists() else ():
        if line.startswith("VmRSS"):
            return 1024 * int(line.split()[1])
    return 0


def test_a_decoder_that_lies_is_not_believed(page, monkeypatch):
    """Whatever the other process answers, it is one line to the client."""
    for code, answer in (
        (0, b""),
        (0, b"[" * 100_000),
        (0, b'{"seconds": -1, "sample_rate": 8000, "channels": 1, "metadata": {}}'),
        (0, b'{"seconds": 1, "sample_rate": 8000, "channels": 1, "metadata": 3}'),
        (2, b'{"error": 1}'),
        (-9, b""),
    ):

        def run(command: object, stdout: io.BufferedIOBase, **choices: object) -> object:
            stdout.write(answer)  # noqa: B023
            return type("Done", (), {"returncode": code})  # noqa: B023

        monkeypatch.setattr(foreign.subprocess, "run", run)
        reply = send(page, recording())
        assert reply.status_code == 422
        assert "damaged, or takes too much" in reply.json()["detail"]
