"""The objective of priors: it learns, its loss is the model's, it forgets labels by chance, and resumes exactly."""

import math
import random
from pathlib import Path

import pytest
import torch

from cadenza.checkpoint import read_json
from cadenza.errors import UserError
from cadenza.jukebox.labels import LabelSet, Piece
from cadenza.jukebox.prior import Prior, PriorConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.train.objective import Turn
from cadenza.train.objectives.prior import PriorObjective
from cadenza.train.objectives.prior_config import PriorObjectiveConfig
from cadenza.train.optim import AdamWConfig
from cadenza.train.run import build
from cadenza.train.trainer import Trainer
from train.tiny_prior import BESIDE, IN_SEQUENCE, TOP, UPSAMPLER, VQVAE, prior_run, write_songs, write_vqvae

PIECES = [Piece(4000, 0, 0, (0,), (5, 6, 7)), Piece(4000, 800, 0, (0,), ())]


def objective(shape: PriorConfig = TOP, names: LabelSet | None = None, **changes) -> PriorObjective:
    torch.manual_seed(0)
    prior = Prior(shape)
    prior.initialize(torch.Generator().manual_seed(1))
    values = {"vqvae": "", "prior": shape, "optimizer": AdamWConfig(learning_rate=1e-2, weight_decay=0.0)}
    return PriorObjective(PriorObjectiveConfig(**(values | changes)), prior, JukeboxVQVAE(VQVAE), names)


def batch(shape: PriorConfig = TOP) -> dict:
    generator = torch.Generator().manual_seed(2)
    made = {"codes": torch.randint(16, (2, 64), generator=generator), "pieces": PIECES}
    return made if shape.conditioner is None else made | {"upper": torch.randint(16, (2, 32), generator=generator)}


def turn(step: int = 0) -> Turn:
    return Turn("prior", step, 0, 1, range(2), 0, torch.Generator().manual_seed(step))


@pytest.mark.parametrize("shape", [TOP, UPSAMPLER, IN_SEQUENCE, BESIDE])
def test_the_loss_is_the_models_own(shape: PriorConfig) -> None:
    part = objective(shape, label_dropout=0.0, lyrics_dropout=0.0)
    given = batch(shape)
    found = part.loss(given, turn())
    whole = part.prior.loss(given["codes"], part.prior.conditions(PIECES, upper_codes=given.get("upper")))
    assert torch.equal(found.value, whole.total.mean())
    assert torch.equal(found.metrics["bits"], whole.music.mean())
    assert ("bits_lyrics" in found.metrics) == (shape.lyrics is not None)


@pytest.mark.parametrize("shape", [TOP, BESIDE])
def test_it_overfits_one_batch(shape: PriorConfig) -> None:
    part = objective(shape, label_dropout=0.0, lyrics_dropout=0.0)
    (phase,) = part.phases(0)
    for step in range(40):
        phase.optimizer.zero_grad()
        loss = part.loss(batch(shape), turn(step))
        loss.value.backward()
        phase.optimizer.step()
    assert float(loss.metrics["bits"]) < 2.5  # of 4 bits at the beginning


def test_dropout_leaves_out_what_it_says_as_often_as_it_says() -> None:
    part = objective(label_dropout=0.2, lyrics_dropout=0.6)
    piece = Piece(9, 1, 2, (3, 4), (5,))
    thinned = [part.thinned(piece, random.Random(seed)) for seed in range(2000)]
    # Four standard deviations of a share of 2000 draws are 0.036 and 0.044.
    assert sum(one.artist == 0 for one in thinned) / 2000 == pytest.approx(0.2, abs=0.036)
    assert sum(one.genres == (0,) for one in thinned) / 2000 == pytest.approx(0.2, abs=0.036)
    assert sum(one.artist == 0 and one.genres == (0,) for one in thinned) / 2000 == pytest.approx(0.04, abs=0.018)
    assert sum(one.lyrics == () for one in thinned) / 2000 == pytest.approx(0.6, abs=0.044)
    assert {(one.total_length, one.offset) for one in thinned} == {(9, 1)}
    assert objective(label_dropout=0.0, lyrics_dropout=0.0).thinned(piece, random.Random(0)) == piece


@torch.no_grad()
def test_validation_measures_what_each_condition_is_worth() -> None:
    """A model that hears the level above alone: its labels are worth nothing, that level is."""
    part = objective(UPSAMPLER)
    assert part.prior.conditioner is not None and part.prior.labels is not None
    for table in (part.prior.labels.artists, part.prior.labels.genres):
        table.weight.zero_()
    part.prior.eval()
    given = batch(UPSAMPLER)
    found = part.evaluate([given])
    assert found["bits"] == pytest.approx(found["bits_unlabelled"])
    assert found["bits"] != pytest.approx(found["bits_shuffled"], abs=1e-6)
    counts = torch.bincount(given["codes"].flatten(), minlength=16).double() / 128
    assert found["bits_chance"] == pytest.approx(float(-(counts * counts.clamp_min(1e-12).log2()).sum()))
    assert found["bits"] == pytest.approx(math.log2(16), rel=0.05)  # untrained
    one, other = ({name: part_[row : row + 1] for name, part_ in given.items()} for row in range(2))
    apart = [part.evaluate([single])["bits"] for single in (one, other)]
    assert found["bits"] == pytest.approx(sum(apart) / 2, rel=1e-5)
    assert part.evaluate([one])["bits_shuffled"] != pytest.approx(apart[0], abs=1e-6)


def run(data: Path, vqvae: Path, folder: Path, shape: PriorConfig = TOP, **changes) -> Trainer:
    trainer = build(prior_run(data, vqvae, shape, **changes), folder)
    trainer.resume()
    trainer.run()
    return trainer


def test_a_resumed_run_is_the_uninterrupted_one_and_snapshots_are_models(tmp_path: Path) -> None:
    vqvae = write_vqvae(tmp_path / "vqvae")
    data = write_songs(tmp_path / "songs", vqvae) / "tokens"
    whole = run(data, vqvae, tmp_path / "whole", IN_SEQUENCE, sample_prompts=1)
    run(data, vqvae, tmp_path / "parts", IN_SEQUENCE, steps=2)
    parts = run(data, vqvae, tmp_path / "parts", IN_SEQUENCE)
    for name, tensor in whole.objective.modules["prior"].state_dict().items():
        assert torch.equal(tensor, parts.objective.modules["prior"].state_dict()[name])
    folder = whole.snapshots / "step_00000004" / "model"
    model = Prior.from_pretrained(folder)
    averaged = {f"prior.{name}": tensor for name, tensor in model.state_dict().items()}
    assert all(torch.equal(tensor, whole.ema.average[name]) for name, tensor in averaged.items())
    labels = read_json(folder / "labels.json")
    assert labels == {
        "version": "v3",
        "artists": {"unknown": 0, "ada": 1, "bo": 2},
        "genres": {"unknown": 0, "tone": 1, "high": 2},
    }
    assert model.labels is not None and model.labels.config.num_artists == 3
    heard = {path.name for path in (tmp_path / "whole" / "samples" / "step_00000004").iterdir()}
    assert heard == {"00_codes.wav", "00_model.wav"}


def test_rows_that_would_mean_other_names_are_refused() -> None:
    part = objective(names=LabelSet("v3", {"ada": 1}, {}))
    state = part.state_dict()
    part.load_state_dict(state)
    with pytest.raises(UserError, match="artists or genres of the data have changed"):
        objective(names=LabelSet("v3", {"bo": 1}, {})).load_state_dict(state)


def test_sound_is_coded_while_training(tmp_path: Path) -> None:
    """The codes of a window's sound are those of the frozen VQ-VAE, of both levels."""
    vqvae = write_vqvae(tmp_path / "vqvae")
    data = write_songs(tmp_path / "songs")
    trainer = build(prior_run(data, vqvae, UPSAMPLER), tmp_path / "run")
    part = trainer.objective
    assert isinstance(part, PriorObjective)
    given = trainer.data.batch(0)
    codes, upper = part.codes_of(given)
    model = JukeboxVQVAE.from_pretrained(vqvae)
    assert torch.equal(codes, model.encode(given["audio"])[0])
    assert torch.equal(upper, model.encode(given["audio"])[1])
    assert (codes.shape, upper.shape) == ((2, 64), (2, 32))
    trainer.run()
    assert trainer.metric is not None
