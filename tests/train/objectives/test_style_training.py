"""Training with a style: masked excerpts, what learns, exact resume, and that the style is used."""

from pathlib import Path

import pytest
import torch

from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.style import StyleConfig
from cadenza.errors import UserError
from cadenza.pipelines.musicgen import MusicGen
from cadenza.train.run import build
from tiny_style import STYLE_CONFIG, tiny_mert
from train.objectives.test_lm import AS_THEY_ARE, turn
from train.tiny import lm_run

STYLE = StyleConfig(
    extractor="encodec",
    codec_codebooks=2,
    codec_codebook_size=16,
    excerpt_seconds=0.15,
    dim=16,
    num_heads=2,
    num_layers=1,
    dropout=0.0,
    num_codebooks=2,
    used_codebooks=2,
    codebook_size=4,
    downsample=2,
)


def style_run(folder: Path, style: StyleConfig = STYLE, objective: dict | None = None, **changes):
    """Excerpts of 0.1 to 0.2 s in windows of 0.4 s of tones."""
    plain = lm_run(folder).objective
    conditioning = plain.conditioning.model_copy(
        update={
            "conditioners": {"style": style, **plain.conditioning.conditioners},
            "fuser": FuserConfig(prepend=("style", "description")),
        }
    )
    settings = {
        "conditioning": conditioning.model_dump(),
        "lm": plain.lm.model_copy(update={"cross_attention": False}),
        "window_seconds": 0.4,
        "excerpt_seconds": (0.1, 0.2),
        "recordings": str(folder / "audio"),
        "captions": AS_THEY_ARE,
    }
    return lm_run(folder, objective=settings | (objective or {}), **changes)


def test_frames_of_an_excerpt_that_is_heard_are_not_learnt(tmp_path: Path):
    objective = build(style_run(tmp_path), tmp_path / "run").objective
    batch = {
        "codes": torch.zeros(3, 2, 8, dtype=torch.int64),
        "frames": torch.tensor([8, 8, 6]),
        "excerpt": torch.zeros(3, 40),
        "excerpt_start": torch.tensor([0.011, 0.01, 0.02], dtype=torch.float64),
        "excerpt_seconds": torch.full((3,), 0.01, dtype=torch.float64),
    }
    counted = objective._counted(batch, {"style": [object(), None, object()]})
    # at 200 frames a second: 0.011 to 0.021 s touches frames 2 to 4; dropped: all; 0.02 to 0.03 s are frames 4 and 5
    assert counted.int().tolist() == [[1, 1, 0, 0, 0, 1, 1, 1], [1] * 8, [1, 1, 1, 1, 0, 0, 0, 0]]


def test_everything_of_the_bottleneck_learns_also_from_items_without_style(tmp_path: Path):
    trainer = build(style_run(tmp_path, objective={"style_dropout": 1.0}), tmp_path / "run")
    bottleneck = trainer.objective.conditioning.conditioner("style").bottleneck
    before = {name: tensor.clone() for name, tensor in bottleneck.named_buffers()}
    trainer.objective.loss(trainer.data.batch(0), turn()).value.backward()
    assert not torch.equal(bottleneck.batch_norm.running_mean, before["batch_norm.running_mean"])
    assert bool(bottleneck.quantizer.layers[0].inited)
    assert all(not p.grad.any() for p in bottleneck.parameters()), "but the model did not hear it"
    heard = build(style_run(tmp_path, objective={"style_dropout": 0.0, "condition_dropout": 0.0}), tmp_path / "heard")
    heard.objective.loss(heard.data.batch(0), turn()).value.backward()
    parameters = heard.objective.conditioning.conditioner("style").bottleneck.parameters()
    assert all(p.grad is not None for p in parameters)


def test_a_run_resumes_exactly_and_its_model_plays(tmp_path: Path):
    config = style_run(tmp_path, steps=4, snapshot_every=2)
    whole = build(config, tmp_path / "whole")
    whole.run()
    part = build(config, tmp_path / "part")
    for _ in range(2):
        part.train_step()
    part.save()
    again = build(config, tmp_path / "part")
    assert again.resume()
    again.run()
    for name, module in whole.objective.modules.items():
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, again.objective.modules[name].state_dict()[key]), key
    music = MusicGen.from_pretrained(whole.snapshots / "step_00000004" / "model")
    assert music.config.style_condition == "style"
    assert music.generate("slow tone", duration=0.1, seed=1).num_samples == 400


def test_the_style_is_used(tmp_path: Path):
    """Two items that differ from the first code on: only the excerpt tells which one comes."""
    dropout = {"condition_dropout": 0.1, "style_dropout": 0.0}
    objective = build(style_run(tmp_path, objective=dropout), tmp_path / "run").objective
    time = torch.arange(600) / 4000
    data = {
        "codes": torch.randint(16, (2, 2, 12), generator=torch.Generator().manual_seed(0)),
        "frames": torch.tensor([12, 12]),
        "captions": ["", ""],
        "excerpt": torch.stack([torch.sin(2000 * time), 0.1 * torch.sin(9000 * time)]),
        "excerpt_start": torch.full((2,), 1.0, dtype=torch.float64),  # behind the window: nothing is masked
        "excerpt_seconds": torch.full((2,), 0.15, dtype=torch.float64),
    }
    for step in range(60):
        for phase in objective.phases(step):
            phase.optimizer.zero_grad()
            objective.loss(data, turn(step)).value.backward()
            phase.optimizer.step()
    for module in objective.modules.values():
        module.eval()
    with torch.no_grad():
        values = objective.evaluate([data])
    assert values["ce"] < 0.1
    assert values["ce_null"] == values["ce_text"] > values["ce"] + 0.02


def test_mert_hears_the_excerpts(tmp_path: Path):
    tiny_mert().save_pretrained(tmp_path / "mert")
    style = STYLE_CONFIG.model_copy(update={"codebook_size": 4, "downsample": 3})
    objective = {"style_encoder": str(tmp_path / "mert")}
    trainer = build(style_run(tmp_path, style, objective), tmp_path / "run")
    assert trainer.data.batch(0)["excerpt"].shape[1] >= 0.1 * 24000
    assert torch.isfinite(trainer.train_step()["ce"])


def test_what_is_missing_is_said(tmp_path: Path):
    with pytest.raises(UserError, match=r"name the folder of MERT in objective\.style_encoder"):
        build(style_run(tmp_path, STYLE_CONFIG), tmp_path / "run")
    with pytest.raises(UserError, match=r"name the folder of their manifest in objective\.recordings"):
        build(style_run(tmp_path, objective={"recordings": None}), tmp_path / "run")
    with pytest.raises(UserError, match=r"excerpts of up to 0\.5 s do not fit into 0\.4 s"):
        build(style_run(tmp_path, objective={"excerpt_seconds": (0.1, 0.5)}), tmp_path / "run")
