"""The command line in this process: fast, and with shapes checked."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cadenza.cli import run
from cadenza.testing import tiny_musicgen


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """The directory of a tiny model."""
    directory = tmp_path_factory.mktemp("models") / "tiny"
    tiny_musicgen().save_pretrained(directory)
    return str(directory)


@pytest.fixture
def cadenza(tmp_path, monkeypatch, capsys) -> Callable[..., Result]:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str | Path) -> Result:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return command
