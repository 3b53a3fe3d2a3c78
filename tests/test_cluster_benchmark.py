"""`benchmarks/cluster.py` runs, on a tiny model and a real cluster."""

import json
import sys
from pathlib import Path

import pytest

from cadenza.errors import UserError
from cadenza.testing import tiny_musicgen
from serve.studio.clusters import with_ray

FOLDER = Path(__file__).parents[1] / "benchmarks"


@with_ray
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_the_record(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("ray.serve")
    monkeypatch.syspath_prepend(str(FOLDER))
    import cluster

    monkeypatch.setattr(cluster, "describe", lambda device: {})  # which imports transformers for its version
    tiny_musicgen().save_pretrained(tmp_path / "tiny")
    options = ["--model", str(tmp_path / "tiny"), "--requests", "3", "--duration", "0.5", "--places", "1"]
    try:
        record = cluster.main([*options, "--copies", "1"])
    except UserError as error:
        pytest.skip(f"Ray does not start on this machine now: {error}")
    for name in ("cluster", "machine"):
        sys.modules.pop(name, None)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == record
    (row,) = record["copies"]
    assert row["music_per_second"] * row["wall"] == pytest.approx(1.5, rel=0.05)
    assert row["processor_of_copies"] > 0
    assert (record["gain"], record["cost"]) == (1, 1)
