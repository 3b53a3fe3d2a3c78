"""`benchmarks/distances.py`: figures beside their limit, and truths that are true."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def distances(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    import distances as module

    yield module
    sys.modules.pop("distances", None)


def test_a_width_is_measured_and_stands_beside_its_limit(distances: ModuleType) -> None:
    record = distances.measure(4, argparse.Namespace(clips=30, windows=3, runs=1))
    assert set(record["seconds"]) == set(record["computed"])
    assert record["seconds"]["FAD"] >= 0
    assert record["fad_megabytes"] <= record["peak_megabytes"]
    limits = {
        line.split("|")[1].strip(): line.split("|")[-2].strip() for line in distances.table([record]).splitlines()
    }
    assert (limits["FAD"], limits["MB beyond the start, FAD"], limits["KAD"]) == ("2", "500", "–")


def test_the_truth_is_what_large_sets_come_to_and_a_row_tells_ours_from_a_bootstrap(
    distances: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = distances.Truth(6, 1.0, 0.2, 0.3)
    pieces = truth.draw(np.random.default_rng(0), 20_000, 2, 0.5)
    found = distances.frechet_distance(truth.reference, distances.GaussianStatistics.of_pieces(pieces))
    assert found == pytest.approx(truth.distance, rel=0.05)  # the chance of 20,000 pieces
    monkeypatch.setattr(distances, "TRUTHS", ((6, 1.0, 0.0, 0.0, 30, 2, 0.5),))
    (record,) = distances.cover(3)
    assert record["truth"] == 0
    assert record["fad_bias"] > 3 * abs(record["interval_bias"])
    assert record["bootstrap_coverage"] == 0
    assert capsys.readouterr().out.count("\n") == 3
