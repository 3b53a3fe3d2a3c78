"""The VQ-VAE objective: it learns, resumes exactly, measures each level alone, and its snapshots are models."""

import math
from pathlib import Path

import pytest
import torch

from cadenza.errors import UserError
from cadenza.jukebox.codebook import LearningConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig
from cadenza.train.config import TrainConfig
from cadenza.train.objective import Turn
from cadenza.train.objectives.vqvae import VQVAEObjective, VQVAEObjectiveConfig
from cadenza.train.run import build
from cadenza.train.trainer import Trainer
from cadenza.train.vqvae_losses import Bandwidth, VQVAEWeights, spectral_convergence
from train.tiny import RATE, write_audio

MODEL = JukeboxVQVAEConfig(sample_rate=RATE, downs=(2, 1), widths=(8, 8), depths=(2, 2), latent_dim=8, codebook_size=16)
LARGE = Bandwidth(l1=0.3, l2=0.1, spectral=100.0)


def settings(**changes) -> VQVAEObjectiveConfig:
    values = {"vqvae": MODEL, "segment_samples": 1536, "valid_samples": 1536, "bandwidth": LARGE}
    return VQVAEObjectiveConfig(**{"weights": VQVAEWeights(linf_samples=64), **values, **changes})


def objective(**changes) -> VQVAEObjective:
    torch.manual_seed(0)
    return VQVAEObjective(settings(**changes))


def turn(step: int = 0) -> Turn:
    return Turn("vqvae", step, 0, 1, range(2), 0, torch.Generator().manual_seed(step))


def tones(batch: int = 2) -> torch.Tensor:
    time = torch.arange(1536) / RATE
    return 0.5 * torch.stack([torch.sin(2 * torch.pi * 110 * (i + 1) * time) for i in range(batch)])[:, None]


def learn(part: VQVAEObjective, steps: int) -> dict[str, float]:
    (phase,) = part.phases(0)
    for step in range(steps):
        phase.optimizer.zero_grad()
        loss = part.loss({"audio": tones()}, turn(step))
        loss.value.backward()
        phase.optimizer.step()
    return {name: float(value) for name, value in loss.metrics.items()}


@pytest.mark.parametrize(("layout", "steps"), [("separate", 60), ("shared", 40)])
def test_it_overfits_one_batch(layout: str, steps: int) -> None:
    part = objective(vqvae=MODEL.model_copy(update={"layout": layout}), learning_rate=3e-3)
    first, last = learn(part, 1), learn(part, steps)
    assert last["loss"] < 0.3 * first["loss"]  # measured: 0.18 and 0.22
    name = "all" if layout == "shared" else "l1"
    assert last[f"convergence_{name}"] < 0.6 < first[f"convergence_{name}"]


@torch.no_grad()
def test_validation_measures_each_level_on_its_own() -> None:
    """A shared autoencoder hears all levels together; what is told of each is that level alone."""
    for layout in ("separate", "shared"):
        part = objective(vqvae=MODEL.model_copy(update={"layout": layout}))
        part.loss({"audio": tones()}, turn())  # gives first entries
        part.vqvae.eval()
        before = {name: tensor.clone() for name, tensor in part.vqvae.state_dict().items()}
        found = part.evaluate([{"audio": tones(1)}])
        for level in range(2):
            (codes,) = part.vqvae.encode(tones(1), [level])
            ratio = spectral_convergence(part.vqvae.decode(codes, level), tones(1))
            assert 10 ** (found[f"convergence_db_l{level}"] / 20) == pytest.approx(float(ratio), rel=1e-4)
            used = torch.bincount(codes.flatten(), minlength=16) > 0
            assert found[f"used_l{level}"] == pytest.approx(float(used.float().mean()))
            assert 0 <= found[f"entropy_bits_l{level}"] <= math.log2(float(used.sum())) + 1e-4
        other = part.evaluate([{"audio": tones()[1:]}])
        both = part.evaluate([{"audio": tones()}])
        assert both["loss"] == pytest.approx((found["loss"] + other["loss"]) / 2, rel=1e-4)
        assert all(torch.equal(before[name], tensor) for name, tensor in part.vqvae.state_dict().items())


def run_config(data: Path, **changes) -> TrainConfig:
    values = {
        "data": str(data),
        "objective": settings(bandwidth=None, bandwidth_seconds=1.0),
        "steps": 4,
        "batch_size": 2,
        "log_every": 2,
        "validate_every": 2,
        "snapshot_every": 2,
        "tensorboard": False,
        "curves": False,
        "sample_prompts": 0,
    }
    return TrainConfig(**(values | changes))


def run(data: Path, folder: Path, **changes) -> Trainer:
    trainer = build(run_config(data, **changes), folder)
    trainer.resume()
    trainer.run()
    return trainer


def test_a_resumed_run_is_the_uninterrupted_one_and_snapshots_are_models(tmp_path: Path) -> None:
    """Codebook averages and the bandwidth are part of a snapshot's state, and no part of its model."""
    data = write_audio(tmp_path / "audio")
    whole = run(data, tmp_path / "whole", sample_prompts=1)
    run(data, tmp_path / "parts", steps=2)
    parts = run(data, tmp_path / "parts")
    for name, tensor in whole.objective.modules["vqvae"].state_dict().items():
        assert torch.equal(tensor, parts.objective.modules["vqvae"].state_dict()[name])
    first, second = whole.objective.state_dict(), parts.objective.state_dict()
    assert first["bandwidth"] == second["bandwidth"]
    assert torch.equal(first["codebooks"][1]["sums"], second["codebooks"][1]["sums"])
    model = JukeboxVQVAE.from_pretrained(whole.snapshots / "step_00000004" / "model")
    averaged = {f"vqvae.{name}": tensor for name, tensor in model.state_dict().items()}
    assert all(torch.equal(tensor, whole.ema.average[name]) for name, tensor in averaged.items())
    heard = {path.name for path in (tmp_path / "whole" / "samples" / "step_00000004").iterdir()}
    assert heard == {"00_recording.wav", "00_level0.wav", "00_level1.wav"}


def test_the_bandwidth_is_that_of_the_training_data(tmp_path: Path) -> None:
    """Tones of amplitude 0.5: power 1/8, mean 1 / pi."""
    part = build(run_config(write_audio(tmp_path)), tmp_path / "run").objective
    assert isinstance(part, VQVAEObjective) and part.bandwidth is not None
    assert part.bandwidth.l2 == pytest.approx(0.125, rel=0.01)
    assert part.bandwidth.l1 == pytest.approx(1 / math.pi, rel=0.01)


def test_weights_alone_are_gone_on_from(tmp_path: Path) -> None:
    first = objective()
    learn(first, 2)
    first.save_playable(tmp_path)
    part = objective(start_from=str(tmp_path), vqvae=JukeboxVQVAEConfig())
    assert part.vqvae.config == MODEL
    entries = part.vqvae.codebook(0).vectors.clone()
    part.loss({"audio": tones()}, turn())
    # 2 x 384 vectors for 16 entries: 48 uses a batch each, before the first one is learnt from
    assert float(part.learners[0].uses.sum()) == pytest.approx(768)
    assert float(part.learners[0].uses.min()) >= 0.99 * 48
    assert float((part.vqvae.codebook(0).vectors - entries).abs().max()) < 0.1 * float(entries.abs().max())
    rare = objective(start_from=str(tmp_path), codebooks=LearningConfig(restart_threshold=100.0))
    rare.loss({"audio": tones()}, turn())
    assert float(rare.learners[0].uses.min()) > 100  # none is replaced before it was tried


def test_lengths_that_do_not_fit_are_told() -> None:
    with pytest.raises(UserError, match="segment_samples 1539: use a multiple of the longest hop, 8, from 1025 on"):
        objective(segment_samples=1539)
    with pytest.raises(UserError, match="valid_samples 512"):
        objective(valid_samples=512)
