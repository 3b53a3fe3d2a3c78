"""A PostgreSQL server of the tests' own: begun by whoever is no root, in a folder that goes away with it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

_PATIENCE_SECONDS = "60"
_ACCOUNT = "postgres"
"""Debian's; the server refuses to run as root."""


class Server:
    """One server, of which everybody gets a database."""

    def __init__(self, folder: Path, tools: Path, account: str | None) -> None:
        self.folder, self._tools, self._account = folder, tools, account
        self._count = 0

    def run(self, tool: str, *arguments: str) -> None:
        command = [str(self._tools / tool), *arguments]
        if self._account is not None:
            command = ["runuser", "-u", self._account, "--", *command]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder)

    def start(self) -> None:
        # No port, no waiting for a disk that is thrown away: only a socket in the folder.
        options = f"-c listen_addresses='' -k {self.folder} -c fsync=off -c max_connections=50"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", self._data, "-w", "-t", _PATIENCE_SECONDS, "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """At once: whoever is connected is cut off."""
        self.run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def create(self) -> None:
        # In an order of letters that is not that of their codes, as on most servers.
        locale = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
        self.run("initdb", "-D", self._data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync", *locale)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def database(self) -> str:
        """The address of a new, empty database."""
        self._count += 1
        name = f"studio{self._count}"
        with psycopg.connect(f"host={self.folder} user=tester dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://tester@/{name}?host={self.folder}"


def installed() -> bool:
    return _tools() is not None and (os.geteuid() != 0 or shutil.which("runuser") is not None)


@contextmanager
def postgres() -> Iterator[Server]:
    """A server while the tests run. Skips, with the reason, where none is installed."""
    tools = _tools()
    if tools is None:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    account = None
    if os.geteuid() == 0:
        account = _ACCOUNT
        if shutil.which("runuser") is None or subprocess.run(["id", account], capture_output=True).returncode:
            pytest.skip(f"PostgreSQL runs as anybody but root, and there is no account {account}")
    with tempfile.TemporaryDirectory(prefix="pg") as name:  # short: a socket's path has at most 107 letters
        folder = Path(name)
        if account is not None:
            shutil.chown(folder, account)
        folder.chmod(0o755)
        server = Server(folder, tools, account)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _tools() -> Path | None:
    """Debian keeps them out of the PATH, by version."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if folders:
        return folders[-1]
    return Path(found).resolve().parent if found else None
