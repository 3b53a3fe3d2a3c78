"""A whole Jukebox of others: OpenAI's files, directories of transformers, names on the Hub."""

import json
import logging
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cadenza import loading
from cadenza.convert import hub, jukebox
from cadenza.convert.formats import identify, read_codec, read_model
from cadenza.convert.jukebox import JukeboxParts, convert_jukebox, parts_of
from cadenza.convert.official import JUKEBOXES
from cadenza.errors import CadenzaError, CheckpointError, UserError
from cadenza.jukebox.prior import Prior
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.loading import find_model, find_pipeline, is_jukebox, load, load_codec, load_jukebox, write_jukebox
from cadenza.pipelines.jukebox import Jukebox
from cadenza.testing import tiny_jukebox, tiny_jukebox_prior
from jukebox_priors import LEVEL_0, LEVEL_1, LYRICS_BESIDE, PARITY, TOP, oracle

ORACLES = (LEVEL_0, LEVEL_1, LYRICS_BESIDE)
NAME = "openai/jukebox-1b-lyrics"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and no network."""
    from huggingface_hub import constants

    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.fixture
def openai(tmp_path: Path) -> Path:
    """A folder `5b` as OpenAI's code leaves it in its cache, shrunk."""
    folder = tmp_path / "models" / "5b"
    folder.mkdir(parents=True)
    shutil.copy(PARITY / "jukebox_vqvae_tiny" / "vqvae.pth.tar", folder)
    for level, name in enumerate(ORACLES):
        shutil.copy(PARITY / name / "prior.pth.tar", folder / f"prior_level_{level}.pth.tar")
    return folder


def assert_same(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    state = theirs.state_dict()
    assert ours.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor.float(), state[name].float()) for name, tensor in ours.state_dict().items())


def test_openais_files_load_and_are_converted_once(openai: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert identify(openai) == ("openai", "jukebox")
    assert is_jukebox(openai)
    place = find_pipeline(openai)
    assert place.is_relative_to(cache)
    assert place.name.startswith("5b-")
    for level, name in enumerate(ORACLES):
        assert_same(Prior.from_pretrained(place / f"prior_{level}"), oracle(name).prior)
    monkeypatch.setattr(loading, "convert_jukebox", lambda *_: pytest.fail("converted twice"))
    model = load(openai, "cpu")
    assert isinstance(model, Jukebox)
    assert model.config.name == "5b"
    assert "not for commercial use" in model.config.licence
    assert "not for commercial use" in (place / "README.md").read_text()


def test_a_top_prior_finds_the_rest_in_the_folder_beside_it(openai: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As OpenAI's cache has it: `1b_lyrics` holds the top prior alone."""
    folder = openai.parent / "1b_lyrics"
    folder.mkdir()
    shutil.copy(PARITY / TOP / "prior.pth.tar", folder / "prior_level_2.pth.tar")
    parts = parts_of(folder)
    assert {file.parent.name for file in parts.files} == {"5b", "1b_lyrics"}
    assert parts.priors[2](parts.vqvae()).num_symbols == 79
    (openai / "prior_level_0.pth.tar").unlink()
    with caplog.at_level(logging.WARNING, "cadenza"):
        assert list(parts_of(folder).priors) == [1, 2]
    assert "lacks prior_level_0.pth.tar: those levels cannot be made" in caplog.text
    shutil.rmtree(openai)
    with pytest.raises(CheckpointError, match=r"1b_lyrics lacks vqvae\.pth\.tar"):
        parts_of(folder)


def test_files_under_wrong_names_are_refused(openai: Path, cache: Path) -> None:
    shutil.copy(openai / "prior_level_1.pth.tar", openai / "prior_level_0.pth.tar")
    with pytest.raises(CheckpointError, match=r"prior_level_0\.pth\.tar is of level 1, expected 0"):
        load(openai)
    assert not list(cache.rglob("*.safetensors"))  # a failed conversion leaves nothing
    with pytest.raises(CheckpointError, match="is a part of a Jukebox: give the directory"):
        load(openai / "vqvae.pth.tar")
    for file in openai.glob("prior*"):
        file.unlink()
    with pytest.raises(CheckpointError, match=r"lacks prior_level_2\.pth\.tar"):
        load(openai)


def test_one_prior_at_a_time_is_in_memory(tmp_path: Path) -> None:
    made: list[weakref.ref[Prior]] = []

    def reader(level: int) -> Any:
        def read(vqvae: JukeboxVQVAE) -> Prior:
            assert all(one() is None for one in made)
            prior = tiny_jukebox_prior(level)
            made.append(weakref.ref(prior))
            return prior

        return read

    model = tiny_jukebox()
    parts = JukeboxParts((), lambda: model.vqvae, {level: reader(level) for level in range(3)}, model.labels)
    convert_jukebox(parts, tmp_path / "model", "mine", "CC0-1.0", "# mine\n")
    assert len(made) == 3
    assert Jukebox.from_pretrained(tmp_path / "model", "cpu").weights == _saved(model, tmp_path).weights


def _saved(model: Jukebox, place: Path) -> Jukebox:
    model.save_pretrained(place / "saved")
    return Jukebox.from_pretrained(place / "saved", "cpu")


# ---- transformers and the Hub ----------------------------------------------------------------------------------------


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a tiny model in place of those that other tests read from such files."""
    model = tiny_jukebox()
    monkeypatch.setattr(jukebox, "read_transformers_vqvae", lambda directory: model.vqvae)
    monkeypatch.setattr(jukebox, "read_transformers_prior", lambda directory, level, doublings: model.priors[level])


def on_the_hub(tmp_path: Path, weights: str) -> None:
    """A download in the Hub's cache."""
    place = tmp_path / "hub" / f"models--{NAME.replace('/', '--')}"
    snapshot = place / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text(json.dumps({"model_type": "jukebox"}))
    (snapshot / "artists.json").write_text(json.dumps({"ada": 1, "ada_lovelace.v2": 2}))
    (snapshot / "genres.json").write_text(json.dumps({"jazz": 1, "rock.v2": 2}))
    if weights.endswith("index.json"):
        (snapshot / weights).write_text(json.dumps({"weight_map": {"a": "pytorch_model-1.bin"}}))
        weights = "pytorch_model-1.bin"
    (snapshot / weights).write_bytes(b"x")


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_a_name_is_found_in_the_hubs_cache_with_its_lists(weights: str, stand_ins: None, tmp_path: Path) -> None:
    on_the_hub(tmp_path, weights)
    model = load(NAME, "cpu")
    assert isinstance(model, Jukebox)
    assert model.config.name == NAME
    assert model.labels.artist("Ada Lovelace", ["v2"]) == {"v2": 2}
    shutil.rmtree(tmp_path / "hub")
    assert load_jukebox(NAME, "cpu").weights == model.weights  # it needs the download no more


def test_a_directory_of_transformers_is_known_by_its_configuration(stand_ins: None, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps({"model_type": "jukebox"}))
    assert identify(tmp_path / "mine") == ("transformers", "jukebox")
    write_jukebox(tmp_path / "mine", tmp_path / "ours")
    assert load_jukebox(tmp_path / "ours", "cpu").config.name == "mine"
    write_jukebox(tmp_path / "ours", tmp_path / "copy")
    assert load_jukebox(tmp_path / "copy").weights == load_jukebox(tmp_path / "ours").weights
    with pytest.raises(UserError, match="exists already"):
        write_jukebox(tmp_path / "ours", tmp_path / "copy")


def test_without_a_network_there_is_one_clear_line() -> None:
    assert JUKEBOXES == (NAME, "openai/jukebox-5b-lyrics")
    with pytest.raises(CadenzaError, match=f"cannot download {NAME}: .*check the network"):
        load(NAME)


def test_a_download_takes_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    there = {"config.json", "pytorch_model.bin.index.json", "pytorch_model-1.bin", "artists.json", "genres.json"}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model-1.bin"}}))
    asked = []

    def download(repository: str, file: str) -> str:
        asked.append(file)
        if file not in there:
            raise EntryNotFoundError(file)
        return str(tmp_path / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert hub.find_jukebox(NAME) == tmp_path
    assert there < set(asked)


# ---- a Jukebox where something else is wanted ------------------------------------------------------------------------


def test_it_is_no_musicgen_and_no_codec_and_they_are_no_jukebox(tmp_path: Path) -> None:
    tiny_jukebox().save_pretrained(tmp_path / "model")
    for name in (tmp_path / "model", NAME):
        with pytest.raises(CheckpointError, match="is a Jukebox, not a MusicGen: use `cadenza jukebox`"):
            find_model(name)
    with pytest.raises(CheckpointError, match="is a Jukebox, not a MusicGen"):
        read_model(tmp_path / "model")
    with pytest.raises(CheckpointError, match="is a Jukebox, whose VQ-VAE has a codec per level"):
        read_codec(tmp_path / "model")
    for name in (tmp_path / "model", NAME):
        with pytest.raises(CheckpointError, match="is a Jukebox, whose VQ-VAE has a codec per level"):
            load_codec(name)
    with pytest.raises(CheckpointError, match="holds a codec: give a Jukebox"):
        load_jukebox(PARITY / "encodec_32khz_tiny")
    with pytest.raises(UserError, match="did you mean openai/jukebox-1b-lyrics"):
        load_jukebox("jukebox-1b-lyric")
    with pytest.raises(UserError, match="did you mean openai/jukebox-1b-lyrics"):
        load("jukebox-1b-lyric")


def test_a_damaged_prior_is_found_when_its_level_is_made(tmp_path: Path) -> None:
    tiny_jukebox().save_pretrained(tmp_path / "model")
    weights = tmp_path / "model" / "prior_1" / "model.safetensors"
    state = load_file(weights)
    del state["positions"]
    save_file(state, weights)
    with pytest.raises(CheckpointError, match="missing: positions"):
        _ = load_jukebox(tmp_path / "model", "cpu").priors[1]
