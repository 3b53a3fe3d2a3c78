"""`benchmarks/load.py`: its arithmetic on invented speeds, and neighbours that come and go."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path))
    import load as module

    yield module
    for name in ("load", "machine", "shapes"):
        sys.modules.pop(name, None)


def test_the_record(load: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    beside: list[str | None] = []
    speeds = {"governed": 40.0, "fixed": 50.0}

    @contextmanager
    def neighbour(program: str | None) -> Iterator[None]:
        beside.append(program)
        yield

    @contextmanager
    def worker(options: Any, extra: dict[str, str]) -> Iterator[dict[str, str]]:
        yield extra

    def ask(process: dict[str, str], mode: str) -> float:
        slow = {None: 1.0, load.NEIGHBOURS["busy"]: 0.75}.get(beside[-1], 0.5)
        return speeds[mode] * slow * (0.1 if process and mode == "fixed" else 1.0)

    monkeypatch.setattr(load, "neighbour", neighbour)
    monkeypatch.setattr(load, "worker", worker)
    monkeypatch.setattr(load, "ask", ask)
    load.main(["--rounds", "2"])
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (record["kept_beside_busy"], record["kept_beside_torch"]) == (0.75, 0.5)
    assert record["steps_per_second"]["governed"]["quiet"] == 40.0
    assert record["steps_per_second"]["fixed, unbounded"]["busy"] == 3.75
    assert len(beside) == 2 * len(load.NEIGHBOURS)


@pytest.mark.parametrize("name", ["busy", "flickering"])
def test_neighbours_begin_and_end(load: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    begin = load.subprocess.Popen

    def watched(*words: Any, **named: Any) -> Any:
        started.append(begin(*words, **named))
        return started[-1]

    monkeypatch.setattr(load.subprocess, "Popen", watched)
    with load.neighbour(load.NEIGHBOURS[name]):
        assert started[0].poll() is None
    assert started[0].returncode is not None


def test_nobodys_word_on_threads_is_passed_on(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert not [name for name in load.free_environment() if "OMP_" in name]
