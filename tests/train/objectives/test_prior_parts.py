"""A run's parts: a trained prior is taught new names, and everything that does not fit together is said."""

from pathlib import Path

import pytest
import torch

from cadenza.data.manifest import read_manifest, write_manifest
from cadenza.errors import UserError
from cadenza.jukebox.labels import LabelSet
from cadenza.jukebox.prior import Prior
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.train.objectives.prior import PriorObjective
from cadenza.train.objectives.prior_config import PriorObjectiveConfig
from cadenza.train.objectives.prior_parts import PriorParts, build_prior
from train.tiny_prior import TOP, write_songs, write_vqvae


def parts(songs: Path, vqvae: Path, valid_items: int = 4, **changes) -> tuple[PriorObjectiveConfig, PriorParts]:
    values = {"vqvae": str(vqvae), "prior": TOP} | changes
    config = PriorObjectiveConfig(**values)
    return config, build_prior(config, str(songs), 2, 0, valid_items, range(2))


def test_a_trained_prior_is_taught_new_names(tmp_path: Path) -> None:
    vqvae = write_vqvae(tmp_path / "vqvae")
    songs = write_songs(tmp_path / "songs")
    config, first = parts(songs, vqvae)
    assert isinstance(first.names, LabelSet) and first.valid is not None
    assert first.names.artists == {"unknown": 0, "ada": 1, "bo": 2}  # those of the training split
    with torch.no_grad():
        first.prior.labels.artists.weight.normal_()
    model = tmp_path / "model"
    model.mkdir()
    PriorObjective(config, first.prior, JukeboxVQVAE.from_pretrained(vqvae), first.names).save_playable(model)
    entries = [entry.model_copy(update={"artist": "Cy"}) for entry in read_manifest(songs)]
    write_manifest(songs / "manifest.jsonl", entries)
    _, second = parts(songs, vqvae, 0, prior=None, start_from=str(model), alike={"cy": "bo"})
    assert second.names is not None and second.valid is None
    assert second.names.artists == {"unknown": 0, "ada": 1, "bo": 2, "cy": 3}
    rows = second.prior.labels.artists.weight
    assert torch.equal(rows, first.prior.labels.artists.weight[[0, 1, 2, 2]])
    assert {piece.artist for piece in second.train.batch(0)["pieces"]} == {3}
    assert isinstance(second.prior, Prior) and second.prior.config.labels.num_artists == 4


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    vqvae = write_vqvae(tmp_path / "vqvae")
    songs = write_songs(tmp_path / "songs")
    entries = [entry.model_copy(update={"split": "valid"}) for entry in read_manifest(songs)]
    write_manifest(songs / "manifest.jsonl", entries)
    with pytest.raises(UserError, match="no entries of split 'train'"):
        parts(songs, vqvae)
