"""Training on a CUDA device: every precision learns, resumes where it was, and what is learnt plays."""

import json
import math
from pathlib import Path

import pytest
import torch

from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import tiny_adapter, tiny_musicgen
from cadenza.train.finetune import finetune
from cadenza.train.finetune_report import summary
from cadenza.train.run import build
from train.finetuning import settings, write_model, write_tracks
from train.tiny import codec_run, lm_run, write_audio

pytestmark = pytest.mark.gpu
DEVICE = "cuda"


def losses(folder: Path, name: str) -> list[float]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [row[name] for row in rows if row["kind"] == "train"]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_language_model_learns_and_goes_on(precision: str, tmp_path: Path):
    config = lm_run(tmp_path, steps=30, log_every=5, snapshot_every=10, device=DEVICE, precision=precision)
    whole = build(config, tmp_path / "whole")
    whole.run()
    found = losses(tmp_path / "whole", "ce")
    assert found[-1] < found[0]
    first = build(config.model_copy(update={"steps": 10}), tmp_path / "parts")
    first.run()
    second = build(config, tmp_path / "parts")
    assert second.resume()
    second.run()
    # 2 %: sums on a GPU come in any order, and thirty small steps amplify that
    assert losses(tmp_path / "parts", "ce")[-1] == pytest.approx(found[-1], rel=0.02)
    assert MusicGen.from_pretrained(tmp_path / "whole" / "snapshots" / "last" / "model", DEVICE).generate("tone", 0.5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_adversarial_codec_trains(precision: str, tmp_path: Path):
    data = write_audio(tmp_path / "audio")
    build(codec_run(data, steps=12, device=DEVICE, precision=precision), tmp_path / "run").run()
    assert all(math.isfinite(value) for value in losses(tmp_path / "run", "mel"))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_a_folder_of_tracks_to_an_adapter_that_plays(precision: str, tmp_path: Path):
    model, tracks = write_model(tmp_path / "tiny"), write_tracks(tmp_path / "mine")
    done = finetune(tracks, tmp_path / "mine.safetensors", settings(model, device=DEVICE, precision=precision))
    assert done.report is not None
    assert "nan" not in summary(done.facts)
    music = MusicGen.from_pretrained(model, DEVICE)
    assert music.generate("tone", 0.3, 1, adapters=[done.output]).samples.std() > 0


def test_adapters_give_what_they_give_on_the_cpu(tmp_path: Path):
    """With steps recorded as graphs: gains and branches lie in fixed buffers, and change between requests."""
    tiny_musicgen().save_pretrained(tmp_path / "tiny")
    players = [MusicGen.from_pretrained(tmp_path / "tiny", device, "fp32") for device in ("cpu", DEVICE)]
    for seed in range(2):
        tiny_adapter(players[0].lm, seed).save(tmp_path / f"{seed}.safetensors")
    asked = [
        [],
        [(tmp_path / "0.safetensors", 0.7)],
        [(tmp_path / "0.safetensors", 1.0), (tmp_path / "1.safetensors", 0.5)],
    ]
    for adapters in (*asked, asked[0], asked[1]):
        ours, theirs = (music.generate("harp", 0.5, 0, greedy=True, adapters=adapters) for music in players)
        # 1e-3: the same codes, decoded by other convolutions; another code would differ by 1e-1
        torch.testing.assert_close(torch.from_numpy(theirs.samples), torch.from_numpy(ours.samples), atol=1e-3, rtol=0)
