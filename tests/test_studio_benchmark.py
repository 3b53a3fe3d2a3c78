"""`benchmarks/studio.py` runs, on a tiny model."""

import json
import sys
from pathlib import Path

import pytest

from cadenza.testing import tiny_musicgen

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_the_record(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import studio

    monkeypatch.setattr(studio, "describe", lambda device: {})  # which imports transformers for its version
    tiny_musicgen().save_pretrained(tmp_path / "tiny")
    options = ["--model", str(tmp_path / "tiny"), "--requests", "3", "--duration", "0.2", "--rounds", "1"]
    record = studio.main(options)
    for name in ("studio", "machine"):
        sys.modules.pop(name, None)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == record
    assert record["throughput"] > 0
    assert record["studio"]["wall"] > 0
    assert record["first_sound"]["wall"] > 0
