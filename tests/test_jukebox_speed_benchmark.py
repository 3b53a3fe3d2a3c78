"""`benchmarks/jukebox_speed.py`: what a step reads, told from what the cache holds."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("jukebox_speed")
    sys.modules.pop("jukebox_speed", None)


@torch.no_grad()
def test_a_row_and_the_bytes_behind_it(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer, of rows: its four matrices, the head, and as many keys and values as the row has positions so far."""
    monkeypatch.setattr(benchmark, "bandwidth", lambda clock: 1e9)
    options = benchmark.parse(["--layers", "1", "--precision", "fp32", "--songs", "2", "--places", "early"])
    options.rounds, options.steps = 1, 1
    (row,) = benchmark.measure(options)
    matrices = 2048 * (3 * 512 + 512 + 2 * 2048) * 4
    head, seen = (2048 + 79) * 2048 * 4, 2 * (400 % 102 + 1) * 2 * 512 * 4
    assert row["mb"] == pytest.approx((matrices + head + seen) / 1e6, rel=1e-3)
    assert row["share"] == pytest.approx(row["gb_per_second"], rel=1e-2)
    assert "theirs_ms" not in row
    assert benchmark.table([row]).count("\n") == 2
