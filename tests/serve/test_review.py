"""The page for listening: what it answers, to whom, and that decisions reach the disk and the manifest."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from cadenza.audio import Audio
from cadenza.data.manifest import Entry, read_manifest, write_manifest
from cadenza.errors import UserError
from cadenza.serve.review import COLUMNS, PAGE, ROWS, Review, create_app, draw, serve
from cadenza.testing import noise, tone

RATE = 8000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings, the last of which is not there."""
    entries = []
    for i, name in enumerate(("a", "b", "gone")):
        path = tmp_path / "audio" / f"{name}.wav"
        if name != "gone":
            path.parent.mkdir(exist_ok=True)
            noise(0.5, RATE).write(path, None)
        tags = {
            "content": {"vocals": i / 10, "noise": 0.5, "non-music": 0.1, "method": "known"},
            "moods": ["calm", "sad"],
        }
        captions = ("<b>bold</b> words",)
        entries.append(Entry(path=str(path), duration=0.5, sample_rate=RATE, captions=captions, **tags))
    write_manifest(tmp_path / "manifest.jsonl", entries)
    return tmp_path


@pytest.fixture
def page(folder: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Review.open(folder)), base_url="http://127.0.0.1:8765") as client:
        yield client


def decisions(folder: Path) -> list[tuple[str, str | None]]:
    rows = [json.loads(line) for line in (folder / "review.jsonl").read_text().splitlines()]
    return [(row["path"], row["decision"]) for row in rows]


def test_it_lists_the_recordings_that_are_there_with_words_and_tags(page: TestClient) -> None:
    state = page.get("/api/recordings").json()
    assert (state["manifest"], state["tags"]) == ("manifest.jsonl", ["vocals", "noise", "non-music"])
    first, second = state["recordings"]
    assert first == {
        "index": 0,
        "id": "a",
        "duration": 0.5,
        "split": "train",
        "captions": ["<b>bold</b> words"],
        "tags": {"vocals": 0.0, "noise": 0.5, "non-music": 0.1},
        "method": "known",
        "facts": {"moods": "calm, sad"},
        "decision": None,
    }
    assert second["tags"]["vocals"] == 0.1


def test_a_decision_is_on_the_disk_when_the_page_hears_of_it(page: TestClient, folder: Path) -> None:
    assert page.post("/api/decisions", json={"index": 1, "decision": "keep"}).json() == {
        "all": 2,
        "keep": 1,
        "drop": 0,
        "open": 1,
    }
    assert decisions(folder) == [("audio/b.wav", "keep")]
    page.post("/api/decisions", json={"index": 0, "decision": "drop"})
    page.post("/api/decisions", json={"index": 1, "decision": None})
    assert [r["decision"] for r in page.get("/api/recordings").json()["recordings"]] == ["drop", None]
    again = Review.open(folder)  # another program, later
    assert again.counts() == {"all": 2, "keep": 0, "drop": 1, "open": 1}


def test_what_is_kept_becomes_a_manifest(page: TestClient, folder: Path) -> None:
    refused = page.post("/api/apply", json={})
    assert (refused.status_code, "nothing is kept yet" in refused.json()["detail"]) == (422, True)
    page.post("/api/decisions", json={"index": 1, "decision": "keep"})
    assert page.post("/api/apply", json={}).json()["path"] == str(folder / "reviewed.jsonl")
    (kept,) = read_manifest(folder / "reviewed.jsonl")
    assert (kept.id, kept.captions, kept.tags["moods"]) == ("b", ("<b>bold</b> words",), ["calm", "sad"])
    assert (folder / "audio" / "a.wav").exists()


def test_sound_can_be_asked_for_in_parts(page: TestClient, folder: Path) -> None:
    content = (folder / "audio" / "a.wav").read_bytes()
    whole = page.get("/api/audio/0")
    assert (whole.content, whole.headers["content-type"]) == (content, "audio/wav")
    assert whole.headers["accept-ranges"] == "bytes"
    part = page.get("/api/audio/0", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    assert page.get("/api/audio/0", headers={"Range": f"bytes={len(content)}-"}).status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        "/api/audio/2",
        "/api/audio/-1",
        "/api/audio/../manifest.jsonl",
        "/api/audio/..%2f..%2fmanifest.jsonl",
        "/api/audio/%2fetc%2fpasswd",
        "/manifest.jsonl",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_but_recordings_of_the_manifest_can_be_read(page: TestClient, path: str) -> None:
    assert page.get(path).status_code in (404, 422)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Host": "127.0.0.1:8765"}, 200),
        ("GET", {"Host": "localhost:8765"}, 200),
        ("GET", {"Host": "evil.example"}, 400),  # a name of the web that points at this machine
        ("GET", {"Host": "127.0.0.1.evil.example:8765"}, 400),
        ("POST", {"Origin": "http://127.0.0.1:8765"}, 200),
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "http://localhost:9999"}, 403),
        ("POST", {"Origin": "null"}, 403),
    ],
)
def test_only_the_page_itself_is_answered(page: TestClient, method: str, headers: dict[str, str], status: int) -> None:
    body = {"json": {"index": 0, "decision": "drop"}} if method == "POST" else {}
    target = "/api/decisions" if method == "POST" else "/"
    answer = page.request(method, target, headers=headers, **body)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "body", [{"index": 0}, {"index": 0, "decision": "burn"}, {"index": "x", "decision": "keep"}, []]
)
def test_what_is_no_decision_is_refused(page: TestClient, folder: Path, body: object) -> None:
    assert page.post("/api/decisions", json=body).status_code == 422
    assert page.post("/api/decisions", json={"index": 9, "decision": "keep"}).status_code == 404
    # A form of another page cannot name a type that asks first.
    plain = page.post(
        "/api/decisions", content='{"index": 0, "decision": "drop"}', headers={"Content-Type": "text/plain"}
    )
    assert plain.status_code == 422
    assert not (folder / "review.jsonl").exists()


def test_a_full_disk_and_a_recording_that_is_gone_are_said(
    page: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        answer = page.post("/api/decisions", json={"index": 0, "decision": "keep"})
    assert (answer.status_code, "No space left" in answer.json()["detail"]) == (507, True)
    assert page.get("/api/recordings").json()["recordings"][0]["decision"] is None
    (folder / "audio" / "a.wav").unlink()
    gone = page.get("/api/audio/0")
    assert (gone.status_code, gone.json()["detail"]) == (404, f"{folder / 'audio' / 'a.wav'} is gone")


def test_a_manifest_without_recordings_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "audio")
    with pytest.raises(UserError, match="none of the recordings"):
        Review.open(folder)


def test_a_port_that_is_taken_is_said(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match=r"port \d+ cannot be used"):
            serve(Review.open(folder), other.getsockname()[1], print)


# ------------------------------------------------------------------------------------------------------------- picture


def test_the_picture_shows_where_a_sound_is_loud_and_how_high() -> None:
    low, high = tone(100.0, 1.0, 16000).samples, tone(6000.0, 1.0, 16000).samples
    silence = np.zeros((1, 16000), np.float32)
    picture = draw(Audio(np.concatenate([low, silence, high], axis=1), 16000))
    peaks = np.array(picture["peaks"])
    assert peaks.shape == (COLUMNS,)
    third = COLUMNS // 3
    assert peaks[third + 4 : 2 * third - 4].max() == 0 < peaks[:third].min() <= peaks.max() <= 1
    shades = np.frombuffer(base64.b64decode(picture["spectrum"]), np.uint8).reshape(COLUMNS, ROWS)
    assert shades[10 : third - 10].argmax(axis=1).max() < ROWS // 4
    assert shades[2 * third + 10 : -10].argmax(axis=1).min() > ROWS // 2
    assert shades[third + 10 : 2 * third - 10].max() == 0


@pytest.mark.parametrize("samples", [1, 5, COLUMNS - 1, COLUMNS * 3 + 1])
def test_the_shortest_sounds_have_a_picture(samples: int, page: TestClient) -> None:
    picture = draw(Audio(np.ones(samples, np.float32), RATE))
    assert len(picture["peaks"]) == COLUMNS
    assert picture["peaks"][0] == 1.0


def test_the_picture_of_a_file_that_is_broken_says_so(page: TestClient, folder: Path) -> None:
    assert len(page.get("/api/picture/0").json()["peaks"]) == COLUMNS
    (folder / "audio" / "a.wav").write_bytes(b"no sound")
    answer = page.get("/api/picture/0")
    assert (answer.status_code, "not audio that can be read" in answer.json()["detail"]) == (422, True)


# ---------------------------------------------------------------------------------------------------------------- page


class Tags(HTMLParser):
    """Checks that elements are closed in order, and collects ids and addresses."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(page: TestClient) -> None:
    answer = page.get("/")
    assert answer.text == PAGE.read_text(encoding="utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    tags = Tags()
    tags.feed(answer.text)
    assert not tags.open
    assert len(tags.ids) == len(set(tags.ids))
    assert set(re.findall(r'\$\("(\w+)"\)', answer.text)) <= set(tags.ids)
    assert tags.addresses == ["data:,"]
    assert "http" not in answer.text
    assert "innerHTML" not in answer.text  # captions are words, whatever they hold


LOGIC = """
const assert = require("node:assert");
const make = (index, vocals, decision = null, duration = 1) => ({ index, tags: { vocals }, decision, duration });
const all = [make(0, .2), make(1, .9, "keep"), make(2, .5), make(3, .7, "drop"), make(4, .5, null, 9)];
const order = (...options) => arrange([...all], ...options).map(r => r.index);
assert.deepEqual(order("order", "all", null), [0, 1, 2, 3, 4]);
assert.deepEqual(order("vocals", "all", null), [1, 3, 2, 4, 0]);
assert.deepEqual(order("noise", "all", null), [0, 1, 2, 3, 4]);
assert.deepEqual(order("duration", "all", null), [4, 0, 1, 2, 3]);
assert.deepEqual(order("order", "open", null), [0, 2, 4]);
assert.deepEqual(order("order", "open", 1), [0, 1, 2, 4]);
assert.deepEqual(order("vocals", "drop", null), [3]);
assert.deepEqual([[2, 1], [4, 1], [0, -1], [9, 1]].map(([from, step]) => neighbour(all, from, step)), [3, 4, 0, 0]);
assert.equal(neighbour([], 0, 1), null);
assert.deepEqual([0, 2, 4].map(index => following(all, index)), [2, 4, 2]);
assert.equal(following(all.slice(1, 2), 1), 1);
assert.deepEqual(tally(all), { all: 5, keep: 1, drop: 1, open: 3 });
assert.deepEqual([clock(0), clock(61.9), clock(NaN), clock(600)], ["0:00", "1:01", "0:00", "10:00"]);
const key = (key, more = {}) => command({ key, ...more });
assert.deepEqual([" ", "k", "D", "u", "ArrowLeft", "ArrowDown", "x"].map(k => key(k)),
  ["play", "keep", "drop", "undo", "back", "next", null]);
assert.equal(key("d", { ctrlKey: true }), null);
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node runs the page, and is not here")
def test_what_the_page_decides_and_does_at_every_key(tmp_path: Path) -> None:
    logic, program = re.findall(r"<script[^>]*>(.*?)</script>", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "logic.js").write_text(logic + LOGIC)
    done = subprocess.run(["node", tmp_path / "logic.js"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    played = Path(__file__).with_name("page.js").read_text(encoding="utf-8").replace("/* PAGE */", logic + program)
    (tmp_path / "page.js").write_text(played)
    done = subprocess.run(["node", tmp_path / "page.js"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
