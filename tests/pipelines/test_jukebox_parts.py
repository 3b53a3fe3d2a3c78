"""Priors on a shelf: one at a time is in memory."""

import gc
import weakref
from pathlib import Path

import pytest
import torch

from cadenza.engine import memory
from cadenza.errors import CheckpointError, UserError
from cadenza.nn.linear import kind_of
from cadenza.pipelines.jukebox_parts import PriorShelf
from cadenza.testing import tiny_jukebox_prior


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shelf")
    PriorShelf(priors={level: tiny_jukebox_prior(level) for level in (1, 2)}).save(place)
    return place


def test_the_one_before_is_let_go_first(folder: Path) -> None:
    shelf = PriorShelf(folder)
    assert list(shelf) == [1, 2]
    first = weakref.ref(shelf[2])
    assert shelf[2] is first()
    _ = shelf[1]
    gc.collect()
    assert first() is None
    shelf.release()
    assert shelf[1].config.level == 1


@pytest.mark.parametrize(("precision", "kind"), [("bf16", None), ("int8", "int8")])
def test_precision_is_that_of_the_layers(
    precision: str, kind: str | None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path))
    prior = PriorShelf(folder, "cpu", precision)[2]
    assert kind_of(prior) == kind
    assert prior.transformer.compute_dtype == torch.bfloat16
    assert prior.embedding.weight.dtype == torch.float32


def test_the_same_weights_have_the_same_hash_in_files_and_out_of_them(folder: Path) -> None:
    shelf = PriorShelf(folder)
    assert shelf.weights(1) != shelf.weights(2)
    assert PriorShelf(priors={1: tiny_jukebox_prior(1)}).weights(1) == PriorShelf(priors={1: shelf[1]}).weights(1)


def test_what_is_missing_or_too_large_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = PriorShelf(folder)
    with pytest.raises(UserError, match="this model has no prior of level 0, but of 1, 2"):
        _ = shelf[0]
    monkeypatch.setattr(memory, "available_bytes", lambda *_: 1000)
    with pytest.raises(UserError, match=r"prior_2 needs .* for its weights, 1\.0 kB are free on cpu"):
        _ = shelf[2]


def test_a_folder_of_another_level_is_refused(tmp_path: Path) -> None:
    tiny_jukebox_prior(1).save_pretrained(tmp_path / "prior_0")
    with pytest.raises(CheckpointError, match="prior_0 says that it is of level 1"):
        PriorShelf(tmp_path)
