"""`cadenza serve`: opens, makes music, ends with Ctrl-C; and keys for others."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cadenza.serve.client import Client
from cadenza.serve.studio.house import DATABASE
from cadenza.serve.studio.keys import Keys
from cadenza.serve.studio.tables import Database

ROOT = Path(__file__).parents[2]


def test_it_opens_plays_and_ends(model, tmp_path):
    """In a process of its own, over a real socket, ended by Ctrl-C in the middle of music that is made next time."""
    command = [sys.executable, "-m", "cadenza", "serve", "--port", "0", "--no-browser", "--model", model]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--directory", str(tmp_path / "library"), "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.match(r"(http://127\.0\.0\.1:\d+)  \(Ctrl-C ends it", line)
        assert address, line + (process.stderr.read() if process.poll() is not None else "")
        with Client(address[1]) as studio:
            take = studio.generate("harp", 0.3, seed=5)
            assert take.complete
            assert next(studio.stream("harp", 0.3, seed=5)).sample_rate == take.sample_rate
            waiting = studio.submit("long", 500).id
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == ""
    assert re.fullmatch(r"cadenza: closed; what was waiting is made the next time \(.*library\)\n", err), err
    database = Database(tmp_path / "library" / DATABASE)
    with database.reading() as session:
        from cadenza.serve.studio.tables import Job

        assert session.get(Job, waiting).status == "queued"
    database.close()


def test_keys(cadenza, tmp_path):
    folder = tmp_path / "library"
    made = cadenza("serve", "keys", "add", "phone", "--jobs", "3", "--directory", folder)
    key = made.out.strip()
    assert (made.code, made.out.count("\n")) == (0, 1)
    assert "shown this once" in made.err
    listed = cadenza("serve", "keys", "list", "--directory", folder)
    assert re.fullmatch(
        r"phone: made 20\d\d-\d\d-\d\d, 600 requests a minute, 3600 s of music and 3 jobs at a time\n", listed.out
    )
    database = Database(folder / DATABASE)
    assert Keys(database).find(key).name == "phone"
    assert cadenza("serve", "keys", "revoke", "phone", "--directory", folder).out == "phone: revoked\n"
    assert Keys(database).find(key) is None
    database.close()
    assert "for this machine alone" in cadenza("serve", "keys", "list", "--directory", folder).out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_key_that_nobody_could_read_does_not_count(cadenza, tmp_path):
    command = [sys.executable, "-m", "cadenza", "serve", "keys", "add", "phone", "--directory", str(tmp_path)]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert "could not be shown (No space left on device)" in result.stderr
    assert "no keys" in cadenza("serve", "keys", "list", "--directory", tmp_path).out


def test_mistakes_are_one_line(cadenza, model, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, message in (
            (("--host", "0.0.0.0"), "cadenza serve keys add NAME"),
            (("--port", port), f"port {port} of 127.0.0.1 cannot be used"),
            (("--port", 99999), "port = 99999"),
            (("--places", 0), "max_requests = 0"),
            (("--model", "nowhere"), "nowhere"),
            (("--key-file", "nowhere"), "--key-file nowhere: cannot be read"),
            (("keys", "add", ""), "give 1 to 80 letters"),
            (("keys", "add", "a", "--jobs", 0), "jobs = 0"),
            (("keys", "revoke", "a"), "no key is called 'a'"),
            (("--directory", "x", "keys", "list"), "stand behind them"),
        ):
            given = ("--model", model) if "--model" not in arguments else ()
            where = ("--directory", tmp_path / "library")
            words = (*arguments, *where) if "keys" in arguments else ("--no-browser", *where, *given, *arguments)
            result = cadenza("serve", *words)
            assert result.code == 2, (arguments, result)
            assert message in result.err
            assert result.err.count("\n") == 1


def test_the_container_starts_what_there_is(cadenza, tmp_path, monkeypatch):
    """Its entry point is a command that exists, and what it copies is there."""
    lines = (ROOT / "Dockerfile").read_text()
    monkeypatch.setenv(re.search(r"^ENV (\w+)=/library$", lines, re.MULTILINE)[1], str(tmp_path / "library"))
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", lines, re.MULTILINE)[1])
    assert cadenza(*entry[1:], "keys", "list").code == 0
    assert (tmp_path / "library" / DATABASE).exists()
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    for copied in re.findall(r"^COPY (.*) \S+$", lines, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name.removeprefix("./")).exists()
            assert name.removeprefix("./") in kept


@pytest.mark.parametrize("screen", [None, ":0"])
def test_the_page_is_opened_where_there_is_a_screen(monkeypatch, screen):
    import webbrowser

    from cadenza.cli.serve import _announce

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    if screen:
        monkeypatch.setenv("DISPLAY", screen)
    _announce("http://127.0.0.1:1", browser=True)
    _announce("http://127.0.0.1:2", browser=False)
    assert opened == (["http://127.0.0.1:1"] if screen else [])


def test_what_is_about_a_cluster_needs_one(cadenza, tmp_path):
    of_replicas = ("--min-replicas", "--max-replicas", "--replica-cpus", "--replica-gpus")
    for option in ("--cluster-address", *of_replicas, "--grow-after", "--shrink-after"):
        said = cadenza("serve", option, "2", "--directory", tmp_path / "library")
        assert said.code == 2
        assert f"{option} is about a cluster: give --cluster too" in said.err
    said = cadenza(
        "serve", "--cluster", "--min-replicas", "3", "--max-replicas", "2", "--directory", tmp_path / "library"
    )
    assert said.code == 2
    assert "give at least min_replicas" in said.err
    assert not (tmp_path / "library").exists()
