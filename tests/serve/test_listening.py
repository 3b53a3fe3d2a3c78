"""A listening test over HTTP: several listeners from the first word to the last, blind, and nothing is ever lost."""

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from cadenza.errors import CadenzaError, UserError
from cadenza.serve.listening import PAGE, ListeningTest, create_app, serve
from cadenza.serve.listening_config import checked
from cadenza.serve.listening_make import make_test
from cadenza.serve.listening_results import read_results
from cadenza.serve.listening_store import RESERVED_SECONDS, Store
from cadenza.testing import noise

SECONDS = 0.6


class Clock:
    """Time that passes when we say so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Listener:
    """Somebody at the page, without a page."""

    def __init__(self, page: TestClient, clock: Clock) -> None:
        self.page, self.clock = page, clock
        self.state = page.post("/api/begin", json={"consent": True, "headphones": "headphones"}).json()
        self.code = self.state["code"]
        self.seen: list[dict] = []

    def answer(self, value: int | None = None, heard: float = 1.0, wait: float = 30.0, **change: object) -> int:
        """Hear the screen and answer it; returns the status."""
        screen = self.state["screen"]
        self.clock.now += wait
        body = {
            "code": self.code,
            "position": screen["position"],
            "answer": (1 if screen["kind"] == "pair" else 50) if value is None else value,
            "heard": [heard * clip["seconds"] for clip in screen["clips"]],
        }
        reply = self.page.post("/api/answer", json=body | change)
        if reply.status_code == 200:
            self.seen.append(screen)
            self.state = reply.json()
        else:
            self.problem = reply.json()["detail"]
        return reply.status_code


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three systems, four prompts, a test of quality and of pairs."""
    folder = tmp_path_factory.mktemp("listening")
    for level, system in enumerate(("low", "mid", "top"), start=1):
        (folder / system).mkdir()
        for prompt in range(4):
            noise(SECONDS, 8000, level=0.02 * level, seed=prompt).write(folder / system / f"p{prompt}.wav", None)
    settings = {
        "systems": {system: folder / system for system in ("low", "mid", "top")},
        "protocols": ["ovl", "pairs"],
        "least_seconds": 0.5,
        "screens_per_listener": 12,
        "checks": 2,
        "training_screens": 1,
    }
    return make_test(checked(settings, "test"), folder / "test").folder


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "test"))


@pytest.fixture
def test(folder: Path, clock: Clock) -> Iterator[ListeningTest]:
    opened = ListeningTest(folder, clock)
    yield opened
    opened.store.close()


@pytest.fixture
def page(test: ListeningTest) -> Iterator[TestClient]:
    with TestClient(create_app(test), base_url="http://127.0.0.1:8765") as client:
        yield client


def test_a_session_from_the_first_word_to_the_last(page: TestClient, test: ListeningTest, clock: Clock) -> None:
    about = page.get("/api/test").json()
    assert about["strengths"] == ["slightly", "clearly", "strongly"]
    noise = page.get(f"/api/clips/{about['calibration']}")
    assert (noise.status_code, noise.headers["content-type"]) == (200, "audio/flac")
    ann = Listener(page, clock)
    total = ann.state["total"]
    assert total == 2 + 12 + 2  # training, six clips and six pairs, checks
    left = []
    while ann.state["screen"]:
        left.append(ann.state["seconds_left"])
        assert ann.answer(wait=20.0) == 200
    assert ann.state["done"] == total
    assert left[1:] == sorted(left[1:], reverse=True)
    assert left[-1] == 20  # the pace of this listener
    kinds = [screen["kind"] for screen in ann.seen]
    assert kinds == sorted(kinds, reverse=True)  # ratings, then pairs
    assert [screen["training"] for screen in ann.seen].count(True) == 2
    answers = test.store.answers()
    assert Counter(answer.kind for answer in answers) == {"rating": 12, "check": 2}
    assert {answer.heard for answer in answers} == {1.0}
    assert {answer.seconds for answer in answers} == {20.0}
    assert test.summary() == "1 listeners, 14 answers; 0 of 24 screens have the 5 ratings that are wanted"


def test_the_page_is_never_told_a_system_or_what_is_a_check(page: TestClient, folder: Path, clock: Clock) -> None:
    ann = Listener(page, clock)
    told = [json.dumps(ann.state)]
    while ann.state["screen"] and ann.answer() == 200:
        told.append(json.dumps(ann.state))
    key = json.loads((folder / "key.json").read_text())
    words = "".join(told)
    # A session's code is drawn, and may hold any letters.
    said = re.sub(r'"(code|low|high|text|question)": "[^"]*"', "", words)
    assert not re.search(r"low|mid|top|check|beep(?!s)|p\d", said)
    fields = {frozenset(json.loads(state)["screen"]) for state in told if json.loads(state)["screen"]}
    assert len(fields) == 1, "all screens look alike"
    names = set(re.findall(r"[0-9a-f]{20}", words))
    assert names - set(key["clips"]), "clips of checks were among them"
    assert "key.json" not in Path(ListeningTest.__init__.__code__.co_filename).read_text().split('"""', 2)[2]


def test_a_listener_goes_on_where_the_server_was_killed(folder: Path) -> None:
    """A program that answers and is killed: every answer it confirmed is there, and the next screen is the same."""
    program = (
        "import sys, os, signal\n"
        "from fastapi.testclient import TestClient\n"
        "from cadenza.serve.listening import *\n"
        "clock = type('C', (), {'now': 0.0, '__call__': lambda self: self.now})()\n"
        "page = TestClient(create_app(ListeningTest(sys.argv[1], clock)), base_url='http://127.0.0.1:1')\n"
        "state = page.post('/api/begin', json={'consent': True, 'headphones': 'speakers'}).json()\n"
        "for value in (11, 22, 33):\n"
        "    clock.now += 60\n"
        "    screen = state['screen']\n"
        "    state = page.post('/api/answer', json={'code': state['code'], 'position': screen['position'],\n"
        "        'answer': value, 'heard': [9] * len(screen['clips'])}).json()\n"
        "print(state['code'], state['screen']['clips'][0]['name'], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    code, clip = done.stdout.split()
    moved = folder.rename(folder.with_name("moved"))
    test = ListeningTest(moved)
    with TestClient(create_app(test), base_url="http://127.0.0.1:2") as page:
        state = page.post("/api/resume", json={"code": f" {code.upper()} "}).json()
        assert (state["done"], state["screen"]["clips"][0]["name"]) == (3, clip)
    assert [answer.answer for answer in test.store.answers()] == [22, 33]  # the first was for practice
    test.store.close()


def test_who_stops_can_go_on_and_meanwhile_others_get_the_screens(page: TestClient, clock: Clock) -> None:
    ann = Listener(page, clock)
    ann.answer()
    before = ann.state
    assert page.post("/api/stop", json={"code": ann.code}).json() == {"stopped": True}
    ben = Listener(page, clock)
    assert ben.code != ann.code
    again = page.post("/api/resume", json={"code": ann.code}).json()
    assert (again["done"], again["screen"]) == (1, before["screen"])
    unknown = page.post("/api/resume", json={"code": "nobody"})
    assert (unknown.status_code, "not known here" in unknown.json()["detail"]) == (422, True)


def test_an_answer_counts_once_however_often_it_is_sent(page: TestClient, test: ListeningTest, clock: Clock) -> None:
    ann = Listener(page, clock)
    ann.answer()  # practice
    ann.answer(70)
    position = ann.seen[-1]["position"]
    assert ann.answer(5, position=position) == 200  # the first answer was lost on its way back, and is sent again
    assert ann.state["screen"]["position"] == position + 1
    assert [answer.answer for answer in test.store.answers()] == [70]
    assert ann.answer(position=position + 2) == 409
    assert ann.answer(position=-1) == 409


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"heard": 0.3}, 422, "listen to the whole clip"),
        ({"wait": 0.1}, 422, "faster than the music lasts"),
        ({"value": 0}, 422, "from 1 to 100"),
        ({"value": 101}, 422, "from 1 to 100"),
        ({"heard": float("nan")}, 422, "listen"),
        ({"code": "x"}, 422, "not known here"),
    ],
)
def test_what_cannot_be_an_answer_is_refused(
    page: TestClient, test: ListeningTest, clock: Clock, change: dict[str, object], status: int, words: str
) -> None:
    ann = Listener(page, clock)
    if isinstance(change.get("heard"), float) and change["heard"] != change["heard"]:
        screen = ann.state["screen"]
        body = f'{{"code": "{ann.code}", "position": {screen["position"]}, "answer": 3, "heard": [NaN]}}'
        clock.now += 60
        reply = page.post("/api/answer", content=body, headers={"Content-Type": "application/json"})
        assert (reply.status_code, test.store.answers()) == (422, [])
        return
    assert ann.answer(**change) == status  # type: ignore[arg-type]
    assert words in ann.problem
    assert test.store.session(ann.code).done == 0


@pytest.mark.parametrize("content", ['{"code": "\\ud800"}', "[]", "no json", '{"code": 1}'])
def test_what_is_no_message_is_refused_in_a_line(page: TestClient, content: str) -> None:
    reply = page.post("/api/resume", content=content, headers={"Content-Type": "application/json"})
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith("body")


def test_a_clock_that_is_set_back_stops_nobody(page: TestClient, clock: Clock) -> None:
    ann = Listener(page, clock)
    assert ann.answer(wait=-3600) == 200


def test_without_consent_nothing_is_stored(page: TestClient, test: ListeningTest) -> None:
    refused = page.post("/api/begin", json={"consent": False, "headphones": "headphones"})
    assert (refused.status_code, "consent" in refused.json()["detail"]) == (422, True)
    assert page.post("/api/begin", json={"consent": True, "headphones": "?"}).status_code == 422
    assert test.store.listeners() == {}


def test_many_listeners_at_once_share_the_items_evenly(page: TestClient, test: ListeningTest, clock: Clock) -> None:
    """Eight threads begin at the same moment; each item gets the same number of listeners."""
    errors: list[Exception] = []
    barrier = threading.Barrier(8)

    def take_part() -> None:
        try:
            barrier.wait()
            listener = Listener(page, clock)
            while listener.state["screen"]:
                assert listener.answer() == 200
        except Exception as error:  # told by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=take_part) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    counts = Counter(answer.screen for answer in test.store.answers() if answer.kind == "rating")
    assert {count for screen, count in counts.items() if screen.startswith("ovl")} == {4}  # 8 x 2 of 4 prompts
    assert {count for screen, count in counts.items() if screen.startswith("pairs")} == {4}  # 8 x 6 of 12 pairs
    assert len(test.store.listeners()) == 8


def test_screens_of_who_never_came_back_are_given_to_others(
    page: TestClient, test: ListeningTest, clock: Clock
) -> None:
    def begin() -> set[str]:
        """The screens of somebody new."""
        code = Listener(page, clock).code
        query = "SELECT screen FROM screens JOIN listeners ON id = listener WHERE code = ? AND kind = 'rating'"
        with closing(sqlite3.connect(test.store.path)) as db:
            return {screen for (screen,) in db.execute(query, (code,))}

    first, second = begin(), begin()
    assert len(first) == len(second) == 12
    assert not first & second, "what somebody is about to rate is not given away"
    clock.now += RESERVED_SECONDS + 1
    third, fourth = begin(), begin()
    assert not third & fourth
    assert third | fourth == first | second


@pytest.mark.parametrize(
    "path",
    ["/api/clips/../key.json", "/api/clips/..%2fkey.json", "/key.json", "/test.json", "/results.sqlite", "/docs"],
)
def test_nothing_but_clips_of_the_test_can_be_read(page: TestClient, path: str) -> None:
    assert page.get(path).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "localhost"}, 200),
        ({"Origin": "https://127.0.0.1:8765"}, 200),
    ],
)
def test_only_the_page_itself_is_answered(page: TestClient, headers: dict[str, str], status: int) -> None:
    answer = page.post("/api/stop", json={"code": Listener(page, Clock()).code}, headers=headers)
    assert answer.status_code == status
    assert page.get("/").headers["content-security-policy"].startswith("default-src 'none'")


# --------------------------------------------------------------------------------------------------------- bad input


def test_folders_and_results_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"test\.json is not there: make it with"):
        ListeningTest(tmp_path)
    clip = next((folder / "clips").iterdir())
    clip.rename(tmp_path / clip.name)
    with pytest.raises(UserError, match=r"1 of \d+ clips .* are not there"):
        ListeningTest(folder)
    (tmp_path / clip.name).rename(clip)
    ListeningTest(folder).store.close()
    with closing(sqlite3.connect(folder / "results.sqlite")) as db, db:
        db.execute("UPDATE test SET id = 'other'")
    with pytest.raises(UserError, match="the results of another test"):
        ListeningTest(folder)
    with closing(sqlite3.connect(folder / "results.sqlite")) as db, db:
        db.execute("PRAGMA user_version=0")
    with pytest.raises(UserError, match="has schema 0, this version knows 1"):
        ListeningTest(folder)
    (folder / "results.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match="cannot be opened as results"):
        ListeningTest(folder)
    test = json.loads((folder / "test.json").read_text())
    (folder / "test.json").write_text(json.dumps(test | {"ratings_per_item": 1}))
    with pytest.raises(UserError, match=r"test\.json was changed: put it back"):
        ListeningTest(folder)
    (folder / "test.json").write_text(json.dumps(test | {"format": 9}))
    with pytest.raises(UserError, match="format 9, this version knows 1"):
        ListeningTest(folder)


def test_a_disk_that_refuses_is_said_and_changes_nothing(
    page: TestClient,
    test: ListeningTest,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ann = Listener(page, clock)
    address = f"file:{test.store.path}?mode=ro"
    reader = sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None)
    with closing(reader), monkeypatch.context() as broken:
        broken.setattr(test.store, "_db", reader)
        assert ann.answer() == 507
        assert "cannot save to results.sqlite" in ann.problem
        assert str(test.folder) not in ann.problem, "a folder's name may tell what is compared"
    assert "cannot save to results.sqlite" in caplog.text, "whoever runs the test is told"
    assert ann.answer() == 200


def test_results_are_read_where_nothing_can_be_written(
    page: TestClient, test: ListeningTest, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Listener(page, clock)
    while ann.state["screen"]:
        ann.answer()
    test.store.close()
    with monkeypatch.context() as refused:
        refused.setattr("os.access", lambda path, mode: False)
        results, _ = read_results(test.folder)
        assert (len(results.ratings), len(results.preferences)) == (6, 6)
        reader = Store(test.store.path, test.design.id, read_only=True)
        with pytest.raises(CadenzaError, match="cannot save"):
            reader.stop(ann.code)
        reader.close()


def test_a_key_that_is_damaged_is_said(page: TestClient, test: ListeningTest, clock: Clock) -> None:
    ann = Listener(page, clock)
    while ann.state["screen"]:
        ann.answer()
    key = json.loads((test.folder / "key.json").read_text())
    for change in ({"screens": {}}, {"systems": None}, {"screens": []}):
        (test.folder / "key.json").write_text(json.dumps(key | change))
        with pytest.raises(UserError, match=r"key\.json was changed"):
            read_results(test.folder)


def test_addresses_that_cannot_be_used_are_said(test: ListeningTest) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match=r"port \d+ cannot be used"):
            serve(test, other.getsockname()[1], print)
    with pytest.raises(UserError, match="say with --name what listeners call it"):
        serve(test, 0, print, "0.0.0.0")


def test_a_named_host_is_answered(test: ListeningTest) -> None:
    with TestClient(create_app(test, ("lab.example",)), base_url="http://lab.example:8765") as page:
        assert page.get("/").status_code == 200
        assert page.get("/", headers={"Host": "127.0.0.1"}).status_code == 400


# -------------------------------------------------------------------------------------------------------------- page


@pytest.mark.skipif(shutil.which("node") is None, reason="node runs the page, and is not here")
def test_what_the_page_decides_and_does(tmp_path: Path) -> None:
    logic, program = re.findall(r"<script[^>]*>(.*?)</script>", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    played = Path(__file__).with_name("listening.js").read_text(encoding="utf-8")
    (tmp_path / "page.js").write_text(played.replace("/* PAGE */", logic + program))
    done = subprocess.run(["node", tmp_path / "page.js"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_is_whole_and_loads_nothing_from_elsewhere() -> None:
    text = PAGE.read_text(encoding="utf-8")
    ids = re.findall(r'\bid="(\w+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'\$\("(\w+)"\)', text)) <= set(ids)
    assert "http" not in text
    assert "innerHTML" not in text  # texts are words, whatever they hold
    labels = set(re.findall(r'<label[^>]* for="(\w+)"', text))
    assert {"known", "rating"} <= labels
