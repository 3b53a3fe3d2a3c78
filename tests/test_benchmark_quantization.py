"""benchmarks/quantization.py runs, and finds what was done to a model."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cadenza.nn.sampling import Choice
from cadenza.testing import tiny_musicgen


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    yield importlib.import_module("quantization")
    for name in ("quantization", "machine"):
        sys.modules.pop(name, None)


def test_it_runs_on_a_fresh_machine(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "_composed", lambda folder, count: None)  # as where the synthesizer is missing
    monkeypatch.setattr(benchmark, "peak_of", lambda model, precision: 1.0)
    tiny_musicgen(max_duration_seconds=1.0).save_pretrained(tmp_path / "model")
    arguments = [str(tmp_path / "model"), "--clips", "2", "--precisions", "int8,int4"]
    monkeypatch.setattr(sys, "argv", ["quantization.py", *arguments])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    record = json.loads(lines[-1])
    assert record["source"] == "the model's own"
    rows = record["precisions"]
    assert list(rows) == ["fp32", "int8", "int4"]
    assert (rows["fp32"]["logit_error"], rows["fp32"]["same_draw"]) == (0.0, 1.0)
    assert 0 < rows["int8"]["logit_error"] < rows["int4"]["logit_error"] < 0.5
    assert rows["int4"]["file_mb"] < rows["int8"]["file_mb"] < rows["fp32"]["file_mb"]
    assert len(rows["int4"]["cross_entropy"]) == 4
    assert sum(line.startswith("| ") for line in lines) == 4


def test_figures_of_known_logits(benchmark: Any) -> None:
    logits = torch.zeros(2, 1, 4)
    logits[0, 0, 1], logits[1, 0, 2] = 4.0, 4.0
    codes, uniform = torch.tensor([[1], [2]]), torch.full((2, 1), 0.5)
    reference = benchmark.Prediction(logits, logits, codes, uniform)
    moved = logits.roll(1, dims=0)  # each step says what the other one did
    found = benchmark.Prediction(logits + 7, moved, codes, uniform)
    choice = Choice.of([(1.0, 0, 0.0, False)], 4)
    figures = benchmark.compare(found, reference, choice)
    assert figures["logit_error"] == pytest.approx(0, abs=1e-6)  # a constant changes no probability
    assert figures["guided_error"] == pytest.approx((2 * 16 / 12) ** 0.5)  # |4 e1 - 4 e2|^2 over |4 e1 - 1|^2
    assert figures["cross_entropy"] == [pytest.approx(float(torch.tensor([4.0, 0, 0, 0]).logsumexp(0)) - 4, abs=1e-4)]
    assert (figures["same_argmax"], figures["same_draw"]) == (0.0, 0.0)
