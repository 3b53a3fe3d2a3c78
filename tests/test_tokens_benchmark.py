"""`benchmarks/tokens.py` runs on a small data set and reports both sides."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from train.tiny import write_audio, write_codec

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    import tokens as module

    yield module
    sys.modules.pop("tokens", None)


def test_the_record(
    tokens: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clocks = iter(range(10**6))
    monkeypatch.setattr(tokens.time, "perf_counter", lambda: float(next(clocks)))  # every side takes 1 s
    data, codec = write_audio(tmp_path / "audio"), write_codec(tmp_path / "codec")
    tokens.main([str(data), "--codec", str(codec), "--items", "3", "--runs", "1"])
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["recordings"] == 3
    assert record["audio_seconds"] == 1.5
    assert record["share"] == 1.0
    assert record["share_computed"] > 0
    assert record["different_lengths"] > 0
