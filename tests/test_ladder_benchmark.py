"""`benchmarks/ladder.py`: holes are counted, and the table has a row per coder."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.spectral import SpectralConfig
from cadenza.testing import tone

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def ladder(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("ladder")
    sys.modules.pop("ladder", None)


def test_a_hole_is_a_loud_frame_that_has_gone(ladder: ModuleType) -> None:
    rate = 8000
    sound = np.full((1, rate), 0.1, np.float32)
    sound[:, 4000:] = 0.01  # 20 dB softer: not loud
    made = sound.copy()
    made[:, 1600:1920] *= 0.05  # two frames 26 dB softer
    made[:, 3200:3360] *= 0.2  # a frame 14 dB softer
    made[:, 6000:7000] = 0.0
    assert ladder.holes(made, sound, rate) == 2
    assert ladder.holes(sound, sound, rate) == 0


def test_a_row_per_coder_and_three_files(
    ladder: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    half = SpectralConfig(dim=16, num_layers=1, fast_dim=8, fast_layers=1)
    EnCodec(EnCodecConfig(codebook_size=32, latent_dim=8, encoder=half, decoder=half)).save_pretrained(tmp_path / "c")
    for number, frequency in enumerate((220.0, 330.0, 440.0, 550.0)):
        tone(frequency, duration_seconds=2.0).write(tmp_path / "music" / f"{number}.wav")
    codec = ["--codec", str(tmp_path / "c")]
    ladder.main(
        [str(tmp_path / "music"), "--out", str(tmp_path / "out"), *codec, "--clips", "2", "--rungs", "1", "--opus", "8"]
    )
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(record["heard"]) == ["original", "codec", "codec, 1 of 4", "opus 8"]
    assert record["heard"]["original"]["hole_frames"] == 0
    table = (tmp_path / "out" / "ladder.md").read_text()
    assert table.count("\n| ") == 4
    assert (tmp_path / "out" / "ladder.png").read_bytes()[:4] == b"\x89PNG"
    assert (
        json.loads((tmp_path / "out" / "ladder.json").read_text())["coders"]["original"]["mel_distance"]["mean"] == 0.0
    )
