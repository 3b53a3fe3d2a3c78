"""The recipes of Jukebox' VQ-VAE: published shapes, and each takes a step when it is shrunk."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.train.run import build, read_recipe
from train.tiny import write_audio

RECIPE = Path(__file__).parents[2] / "recipes" / "jukebox_vqvae.py"
SHRUNK = [
    *("steps=1", "batch_size=2", "device=cpu", "precision=fp32", "threads=null", "tensorboard=false", "curves=false"),
    *("valid_items=1", "sample_prompts=0", "objective.segment_samples=2048", "objective.valid_samples=2048"),
    *("objective.vqvae.sample_rate=4000", "objective.vqvae.codebook_size=8", "objective.vqvae.latent_dim=4"),
    *("objective.bandwidth_seconds=1.0", "objective.weights.linf_samples=64"),
]
LEVELS = {"config": 3, "shared": 3, "khz22": 2}


def test_the_published_run() -> None:
    run = read_recipe(RECIPE)
    objective: Any = run.objective
    assert (run.steps, run.batch_size, objective.learning_rate) == (384_618, 256, 3e-4)
    assert objective.segment_samples / objective.vqvae.sample_rate == pytest.approx(8.9, abs=0.02)
    assert run.ema_decay == pytest.approx(0.968)
    others: dict[str, Any] = {
        name: read_recipe(f"{RECIPE}:{name}").objective
        for name in ("no_restarts", "no_spectral", "khz22", "one_thread")
    }
    assert not others["no_restarts"].codebooks.restarts
    assert others["no_spectral"].weights.multispectral == 0
    assert others["khz22"].vqvae.hop_lengths == (32, 256)
    assert others["one_thread"].vqvae.hop_lengths == objective.vqvae.hop_lengths


@pytest.mark.parametrize(("name", "levels"), LEVELS.items())
def test_a_step(name: str, levels: int, tmp_path: Path) -> None:
    data = write_audio(tmp_path / "audio", count=2, seconds=0.6)
    sizes = [f"objective.vqvae.{field}={[2] * levels}" for field in ("widths", "depths")]
    trainer = build(read_recipe(f"{RECIPE}:{name}", [f"data={data}", *SHRUNK, *sizes]), tmp_path / "run")
    metrics = trainer.train_step()
    assert all(bool(torch.isfinite(value)) for value in metrics.values())
    values = trainer.evaluate()
    assert {f"convergence_db_l{level}" for level in range(levels)} <= values.keys()
    trainer.save()
    model = JukeboxVQVAE.from_pretrained(trainer.snapshots / "step_00000001" / "model")
    assert model.num_levels == levels
    assert model.is_shared == (name == "shared")
