"""Samples of snapshots: what is written, the same each time, and nothing of the process disturbed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.errors import CadenzaError
from cadenza.lm.adapter import AdapterConfig
from cadenza.train.run import build
from cadenza.train.samples import CodecSampler, LMSampler, write_samples
from train.tiny import codec_run, lm_run, write_audio

CPU = torch.device("cpu")


def test_music_and_the_codecs_best_are_written(tmp_path: Path):
    trainer = build(lm_run(tmp_path, steps=1), tmp_path / "run")
    trainer.train_step()
    model = trainer.save() / "model"
    sampler = LMSampler(["slow tone", "fast tone"], 0.2, CPU, torch.zeros(2, 2, 4, dtype=torch.int16).unbind())
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    folder = write_samples(sampler, model, tmp_path / "samples")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert folder == tmp_path / "samples" / "step_00000001"
    names = ["00_codec.wav", "00_model.wav", "01_codec.wav", "01_model.wav", "prompts.txt"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert Audio.read(folder / "00_model.wav").duration_seconds == pytest.approx(0.2)
    assert (folder / "prompts.txt").read_text() == "00 slow tone\n01 fast tone\n"
    first = (folder / "01_model.wav").read_bytes()
    assert (write_samples(sampler, model, tmp_path / "samples") / "01_model.wav").read_bytes() == first


def test_recordings_stand_beside_what_the_codec_makes_of_them(tmp_path: Path):
    trainer = build(codec_run(write_audio(tmp_path / "audio"), steps=1), tmp_path / "run")
    trainer.train_step()
    audio = 0.5 * torch.sin(torch.arange(1001) / 5)[None, None]
    folder = write_samples(CodecSampler(audio, CPU), trainer.save() / "model", tmp_path / "samples")
    recording, coded = (Audio.read(folder / f"00_{name}.wav").samples for name in ("recording", "codec"))
    assert recording.shape == coded.shape == (1, 1001)
    assert np.isfinite(coded).all()


def test_an_adapter_is_heard_on_its_model(tmp_path: Path):
    first = build(lm_run(tmp_path, steps=1), tmp_path / "run")
    first.run()
    model = first.snapshots / "step_00000001" / "model"
    objective = {"start_from": str(model), "adapter": AdapterConfig(rank=2)}
    build(lm_run(tmp_path, steps=1, objective=objective, sample_prompts=1), tmp_path / "tuned").run()
    folder = tmp_path / "tuned" / "samples" / "step_00000001"
    assert sorted(path.name for path in folder.iterdir()) == ["00_codec.wav", "00_model.wav", "prompts.txt"]


def test_samples_that_fail_leave_nothing(tmp_path: Path):
    with pytest.raises(CadenzaError):
        write_samples(LMSampler(["tone"], 0.2, CPU), tmp_path / "step_00000001" / "model", tmp_path / "samples")
    assert list((tmp_path / "samples").iterdir()) == []
