"""From a name to a model: directories, foreign files, the Hub's cache, and everything that is none of these."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cadenza
from cadenza import checkpoint, loading
from cadenza.codec.stereo import StereoCodec
from cadenza.convert import hub
from cadenza.convert.formats import FORMATS, identify, read_codec, read_model, write_codec, write_model
from cadenza.convert.official import MODELS
from cadenza.errors import CadenzaError, CheckpointError, UserError
from cadenza.loading import cache_directory, find_model, load, load_codec
from cadenza.pipelines.musicgen import MusicGen

PARITY = Path(__file__).parent / "parity"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of ours, and an empty one of the Hub's, which is out of reach."""
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def cached(tmp_path: Path, repository: str, *files: Path, revision: str = "0" * 40) -> Path:
    """Put files into the Hub's cache, as a download leaves them."""
    place = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    snapshot = place / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(revision)
    for file in files:
        shutil.copy(file, snapshot)
    return snapshot


@pytest.fixture
def audiocraft(tmp_path: Path) -> Path:
    target = tmp_path / "downloads" / "my-music"
    target.mkdir(parents=True)
    shutil.copy(PARITY / "musicgen_text_tiny" / "state_dict.bin", target)
    shutil.copy(PARITY / "encodec_32khz_tiny" / "compression_state_dict.bin", target)
    return target


@pytest.fixture
def t5(tmp_path: Path) -> None:
    cached(tmp_path, "google-t5/t5-base", *(PARITY / "t5_tiny").iterdir())


@pytest.fixture
def ours(audiocraft: Path, tmp_path: Path) -> Path:
    read_model(audiocraft, PARITY / "t5_tiny", "tiny").save_pretrained(tmp_path / "ours")
    return tmp_path / "ours"


def play(model: MusicGen) -> np.ndarray:
    model.pack()  # as loading does: packed and plain sums differ by rounding
    return model.generate("slow piano", duration=0.2, seed=3).samples


# ---- what loads ------------------------------------------------------------------------------------------------------


def test_a_directory_of_ours_loads_where_it_is(ours: Path, cache: Path) -> None:
    for name in (ours, str(ours)):
        model = load(name, "cpu", "fp32")
        assert (model.config.name, model.precision, model.device.type) == ("tiny", "fp32", "cpu")
    assert not cache.exists()


@pytest.mark.usefixtures("t5")
def test_a_foreign_directory_is_converted_once(audiocraft: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(str(audiocraft))
    assert first.config.name == "my-music"
    assert "not for commercial use" in first.config.licence
    (made,) = (cache / "models" / "local").iterdir()
    assert "Delete this directory" in (made / "README.md").read_text()

    monkeypatch.setattr(loading, "read_model", lambda *_, **__: pytest.fail("converted twice"))
    assert find_model(audiocraft) == find_model(audiocraft / "state_dict.bin") == made
    assert np.array_equal(play(load(audiocraft)), play(first))


@pytest.mark.usefixtures("t5")
def test_a_changed_file_is_converted_anew(audiocraft: Path) -> None:
    first = find_model(audiocraft)
    content = torch.load(audiocraft / "state_dict.bin")
    content["best_state"]["out_norm.bias"] += 1
    torch.save(content, audiocraft / "state_dict.bin")
    os.utime(audiocraft / "state_dict.bin", (1, 1))
    second = find_model(audiocraft)
    assert second != first
    assert not np.array_equal(play(load(second)), play(load(first)))


@pytest.mark.usefixtures("t5")
def test_a_name_is_found_in_the_hubs_cache_and_then_needs_it_no_more(audiocraft: Path, tmp_path: Path) -> None:
    cached(tmp_path, "facebook/musicgen-small", *audiocraft.iterdir())
    model = load("facebook/musicgen-small")
    assert model.config.name == "facebook/musicgen-small"
    assert model.config.licence.startswith("CC-BY-NC 4.0")
    shutil.rmtree(tmp_path / "hub")
    assert np.array_equal(play(load("facebook/musicgen-small")), play(model))


def test_a_name_in_the_format_of_transformers_is_found_too(ours: Path, tmp_path: Path) -> None:
    write_model(load(ours), tmp_path / "theirs", "transformers")
    cached(tmp_path, "someone/fine-tuned", *(tmp_path / "theirs").iterdir())
    model = load("someone/fine-tuned")
    assert model.conditioning.config.fuser.mask_padding
    assert np.array_equal(play(model), play(load(ours)))  # a single text has no padding, so both formats agree


def test_a_pointer_to_a_codec_is_followed_through_the_cache(ours: Path, audiocraft: Path, tmp_path: Path) -> None:
    shutil.copy(PARITY / "compression_pointer.bin", audiocraft / "compression_state_dict.bin")
    write_codec(load_codec(ours), tmp_path / "codec", "transformers")
    cached(tmp_path, "facebook/encodec_32khz", *(tmp_path / "codec").iterdir())
    model = read_model(audiocraft, PARITY / "t5_tiny")
    assert np.array_equal(play(model), play(load(ours)))
    assert load_codec("facebook/encodec_32khz").codebook_size == 64


def test_the_embedded_model_is_the_default(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "ASSETS", tmp_path / "assets")
    with pytest.raises(CheckpointError, match="no embedded model"):
        load()
    shutil.copytree(ours, tmp_path / "assets" / "music")
    assert cadenza.load().config.name == "tiny"
    shutil.copytree(ours, tmp_path / "assets", dirs_exist_ok=True)
    assert find_model() == find_model("embedded") == tmp_path / "assets"
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ours, "embedded")  # what is there comes first
    assert find_model("embedded") == Path("embedded")


def test_codecs_load_alone(ours: Path, audiocraft: Path, tmp_path: Path) -> None:
    expected = load(ours).codec
    codes = torch.randint(0, 64, (1, 4, 5))
    places: list[Any] = [ours, ours / "codec", audiocraft, audiocraft / "compression_state_dict.bin"]
    for form in FORMATS:
        write_codec(expected, tmp_path / form, form)
        places.append(tmp_path / form)
    write_model(load(ours), tmp_path / "whole", "transformers")
    places.append(tmp_path / "whole")
    for place in places:
        assert torch.equal(load_codec(place).decode(codes), expected.decode(codes)), place


def test_a_stereo_models_codec_is_stereo(tmp_path: Path) -> None:
    source = tmp_path / "stereo"
    source.mkdir()
    shutil.copy(PARITY / "musicgen_stereo_tiny" / "state_dict.bin", source)
    shutil.copy(PARITY / "encodec_32khz_tiny" / "compression_state_dict.bin", source)
    read_model(source, PARITY / "t5_tiny").save_pretrained(tmp_path / "ours")
    assert isinstance(read_codec(tmp_path / "ours"), StereoCodec)
    assert load(tmp_path / "ours").generate("waltz", duration=0.1, seed=1).channels == 2


# ---- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_goes_there_and_back(form: Any, ours: Path, tmp_path: Path) -> None:
    write_model(load(ours), tmp_path / "out", form)
    assert identify(tmp_path / "out") == (form, "model")
    assert np.array_equal(play(read_model(tmp_path / "out", PARITY / "t5_tiny")), play(load(ours)))


def test_nothing_is_overwritten(ours: Path, tmp_path: Path) -> None:
    model = load(ours)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    for form in FORMATS:
        with pytest.raises(UserError, match="full exists already"):
            write_model(model, tmp_path / "full", form)
        with pytest.raises(UserError, match="full exists already"):
            write_codec(model.codec, tmp_path / "full", form)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(UserError, match="unknown format 'onnx': use cadenza, audiocraft, transformers"):
        write_model(model, tmp_path / "x", "onnx")


# ---- what does not load ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("musicgen-small", "did you mean facebook/musicgen-small"),
        ("small", "facebook/musicgen-small"),
        ("facebook/musicgen-smal", "did you mean facebook/musicgen-small"),
        ("facebok/musicgen-stereo-melody", "facebook/musicgen-stereo-melody"),
        ("./nowhere/model", "give a directory"),
        ("", "give a directory"),
        ("x" * 5000, "give a directory"),
        ("a/../b", "give a directory"),
        ("二胡", "give a directory"),
    ],
)
def test_unknown_names_come_with_near_ones(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint) as caught:
        load(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    with pytest.raises(UserError, match="no model"):
        load_codec(name)


@pytest.mark.parametrize("name", ["facebook/musicgen-small", "someone/musicgen-small-tuned"])
def test_without_a_network_there_is_one_clear_line(name: str) -> None:
    with pytest.raises(CadenzaError, match=f"cannot download {name}: .*check the network.*local copy") as caught:
        load(name)
    assert "\n" not in str(caught.value)


def test_a_text_encoder_that_cannot_be_had_is_named(audiocraft: Path) -> None:
    with pytest.raises(CadenzaError, match="cannot download google-t5/t5-base"):
        load(audiocraft)


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [("gpu", None, "device 'gpu'"), ("cpu", "fp23", "precision 'fp23'.*fp32"), ("cuda:99", None, "cuda")],
)
def test_devices_and_precisions_are_checked_before_anything_is_fetched(
    device: str, precision: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "find_model", lambda _: pytest.fail("fetched"))
    with pytest.raises(UserError, match=message):
        load("facebook/musicgen-small", device, precision)


def test_other_places_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="empty holds no model"):
        load(tmp_path / "empty")
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    with pytest.raises(CheckpointError, match=r"song\.mp3 is no checkpoint"):
        load(tmp_path / "song.mp3")
    with pytest.raises(CheckpointError, match="type 't5': expected a MusicGen, a Jukebox or an EnCodec"):
        load(PARITY / "t5_tiny")
    with pytest.raises(CheckpointError, match="holds a codec, which makes no music"):
        load(PARITY / "encodec_32khz_tiny")
    with pytest.raises(CheckpointError, match="holds a codec, which makes no music"):
        read_model(PARITY / "encodec_32khz_tiny" / "compression_state_dict.bin")


def test_a_failed_conversion_leaves_nothing_in_the_cache(audiocraft: Path, cache: Path) -> None:
    path = audiocraft / "state_dict.bin"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="truncated"):
        load(audiocraft)
    assert not list(cache.rglob("*.safetensors"))


# ---- the Hub ---------------------------------------------------------------------------------------------------------


def test_downloads_take_the_smaller_format_first(
    audiocraft: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    asked = []
    stores = {"facebook/musicgen-small": audiocraft, "google-t5/t5-base": PARITY / "t5_tiny"}

    def download(repository: str, file: str) -> str:
        asked.append(f"{repository}/{file}")
        if not (stores[repository] / file).is_file():
            raise EntryNotFoundError(file)
        return str(stores[repository] / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert load("facebook/musicgen-small").config.name == "facebook/musicgen-small"
    assert asked[:2] == [f"facebook/musicgen-small/{file}" for file in ("state_dict.bin", "compression_state_dict.bin")]
    assert not any("pytorch_model" in file for file in asked)

    asked.clear()
    stores["someone/else"] = tmp_path
    with pytest.raises(CheckpointError, match=r"someone/else on the Hugging Face Hub holds no model that can be read"):
        load("someone/else")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (ConnectionError("timed out\nsecond line"), "timed out; check network"),
    ],
)
def test_failed_downloads_are_one_line(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: str) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(CadenzaError, match=message) as caught:
        load("facebook/musicgen-small")
    assert "\n" not in str(caught.value)


def test_a_sharded_model_is_cached_only_with_all_its_shards(tmp_path: Path) -> None:
    files = []
    for name, text in (
        ("config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}'),
        ("one.safetensors", ""),
    ):
        (tmp_path / name).write_text(text)
        files.append(tmp_path / name)
    snapshot = cached(tmp_path, "someone/large", *files)
    with pytest.raises(CadenzaError, match="cannot download"):
        hub.find_musicgen("someone/large")
    (snapshot / "two.safetensors").write_text("")
    assert hub.find_musicgen("someone/large") == snapshot


def test_checkpoints_cannot_name_strange_places() -> None:
    for name in ("../../etc/passwd-not-here", "a b/c", "https://example.org/x"):
        with pytest.raises(CheckpointError, match="neither a path nor a repository's name"):
            hub.find_part(name, "codec")


# ---- small things ----------------------------------------------------------------------------------------------------


def test_the_cache_is_where_the_platform_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_directory() == Path(os.environ["CADENZA_CACHE"])
    monkeypatch.delenv("CADENZA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setattr(checkpoint.platform, "system", lambda: "Linux")
    assert cache_directory() == Path("/x/cadenza")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == Path.home() / ".cache" / "cadenza"
    monkeypatch.setattr(checkpoint.platform, "system", lambda: "Darwin")
    assert cache_directory() == Path.home() / "Library" / "Caches" / "cadenza"
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    monkeypatch.setattr(checkpoint.platform, "system", lambda: "Windows")
    assert cache_directory() == Path("/local/cadenza/Cache")


def test_the_published_models_are_all_there() -> None:
    sizes = {"small", "medium", "large", "melody", "melody-large", "style"}
    stereo = {"stereo-small", "stereo-medium", "stereo-large", "stereo-melody", "stereo-melody-large"}
    assert MODELS.keys() == {f"facebook/musicgen-{name}" for name in sizes | stereo} | {"facebook/audiogen-medium"}
    assert all((model.channels == 2) == ("stereo" in name) for name, model in MODELS.items())
    assert all("NC" in model.licence for model in MODELS.values())
