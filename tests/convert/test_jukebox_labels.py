"""The published lists on request: from a server like theirs, all of them or none."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cadenza.convert import jukebox_labels
from cadenza.convert.jukebox_labels import fetch_labels
from cadenza.errors import CadenzaError
from cadenza.jukebox.labels import LabelConfig
from cadenza.pipelines.jukebox_labels import PUBLISHED, LabelBook, fetched_folder

V2, V3 = LabelConfig(), LabelConfig(version="v3", num_genres=604, num_artists=7898, max_genres=1)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """As long as the published ones, with invented names: the licence forbids those here."""
    folder = tmp_path / "server"
    folder.mkdir()
    for version, rows in PUBLISHED.items():
        for kind, count in zip(("genre", "artist"), rows, strict=True):
            lines = ["unknown;0", *(f"{kind} {number} \u00e9;{number}" for number in range(1, count))]
            (folder / f"{version}_{kind}_ids.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def address(lists: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(lists))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_they_are_kept_and_read_by_models_with_the_published_tables(address: str) -> None:
    assert LabelBook.fetched([V2, V3]).sets == {}
    folder = fetch_labels(address)
    assert folder == fetched_folder()
    assert "not for commercial use" in (folder / "README.txt").read_text(encoding="utf-8")
    book = LabelBook.fetched([V3, V2, None])
    assert book.artist("Artist 7897 \u00e9", ["v3"]) == {"v3": 7897}
    assert {version: (len(one.genres), len(one.artists)) for version, one in book.sets.items()} == PUBLISHED
    assert list(LabelBook.fetched([V2]).sets) == ["v2"]
    assert LabelBook.fetched([V3.model_copy(update={"num_artists": 9}), None]).sets == {}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("v3_artist_ids.txt", None, "File not found"),
        ("v2_genre_ids.txt", b"<html>moved</html>", "1 lines came, the list has 120"),
        ("v2_genre_ids.txt", b"rock\n" * 120, "line 1: 'rock' is not of the form name;id"),
        ("v3_genre_ids.txt", b"\xff\xfe;1\n" * 604, "invalid start byte"),
        ("v3_genre_ids.txt", b"x" * 5_000_000, "4000001 of 5000000 bytes came"),
    ],
)
def test_what_is_not_the_lists_changes_nothing(
    address: str, lists: Path, file: str, content: bytes | None, message: str
) -> None:
    fetch_labels(address)
    before = {path: path.read_bytes() for path in fetched_folder().parent.rglob("*.txt")}
    if content is None:
        (lists / file).unlink()
    else:
        (lists / file).write_bytes(content)
    with pytest.raises(CadenzaError, match="--labels") as caught:
        fetch_labels(address)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in fetched_folder().parent.rglob("*.txt")} == before


def test_offline_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with pytest.raises(CadenzaError, match=r"cannot fetch http://127\.0\.0\.1:9/v2_genre_ids\.txt .*refused"):
        fetch_labels("http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CadenzaError, match="HF_HUB_OFFLINE forbids it"):
        fetch_labels("http://127.0.0.1:9")
    assert not fetched_folder().exists()


def test_from_the_command_line(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cadenza.cli import run

    monkeypatch.setattr(jukebox_labels, "ADDRESS", address)
    assert run(["jukebox", "labels", "--fetch"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "cadenza: v2: 4111 artists, 120 genres\ncadenza: v3: 7898 artists, 604 genres\n" in told.err
    assert "licence of the lists: OpenAI's, not for commercial use" in told.err
    assert run(["jukebox", "labels", "--fetch", "--search", "artist 4110"]) == 0
    assert "   4110  artist 4110 \u00e9\n" in capsys.readouterr().out
    assert run(["jukebox", "labels", "--fetch", "--labels", "."]) == 2
    monkeypatch.setattr(jukebox_labels, "ADDRESS", "http://127.0.0.1:9")
    assert run(["jukebox", "labels", "--fetch"]) != 0
    assert capsys.readouterr().err.count("\n") == 2  # one of each of the last two
