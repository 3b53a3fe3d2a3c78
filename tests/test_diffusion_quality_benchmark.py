"""`benchmarks/diffusion_quality.py`: both decoders on the same codes, and the verdict."""

from pathlib import Path

import pytest
import torch

from cadenza.diffusion.band import BandConfig
from cadenza.diffusion.schedule import NoiseScheduleConfig
from cadenza.diffusion.unet import DiffusionUnetConfig
from cadenza.train.objectives.diffusion import DiffusionObjective
from cadenza.train.objectives.diffusion_config import DiffusionObjectiveConfig
from train.tiny import write_audio, write_codec

FOLDER = Path(__file__).parents[1] / "benchmarks"
BAND = BandConfig(unet=DiffusionUnetConfig(hidden=4, depth=1), schedule=NoiseScheduleConfig(num_steps=24))


def test_quality_is_measured_beside_the_codec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    from diffusion_quality import main

    torch.manual_seed(0)
    codec = str(write_codec(tmp_path / "codec"))
    DiffusionObjective(DiffusionObjectiveConfig(codec=codec, bands=(BAND,))).save_playable(tmp_path / "model")
    data = write_audio(tmp_path / "audio", seconds=1.0)
    record = main([
        str(tmp_path / "model"), "--clips", str(data), "--count", "2", "--seconds", "0.75", "--calls", "1,2",
        "--solvers", "ddim", "--beside", f"same={tmp_path / 'model'}", "--picture", str(tmp_path / "curve.png"),
    ])  # fmt: skip
    sides = record["sides"]
    assert sides["codec"]["mel_distance_beside_codec"]["mean"] == 0.0
    assert sides["same"]["mel_distance"] == sides["ddim 2"]["mel_distance"]
    assert (record["slowest"], record["best"] in ("ddim 1", "ddim 2")) == ("ddim 2", True)
    assert sides["ddim 2"]["mel_distance_beside_slowest"]["mean"] == 0.0
    assert sides["ddim 1"]["mel_distance_beside_slowest"]["mean"] != 0.0
    assert sides["ddim 2"]["times_as_fast_as_slowest"] == 1.0
    assert not record["beats_codec"]  # it learnt nothing
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert capsys.readouterr().out.splitlines()[-1].startswith('{"benchmark"')
