"""`cadenza data tokens`: options arrive, damage is named and repaired, mistakes are one line."""

from pathlib import Path

import pytest

from cadenza.cli import run
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.data import writing
from cadenza.data.melodies import read_melodies
from cadenza.data.tokens import TokenCache
from cadenza.data.workers import PartMaker
from cadenza.testing import tiny_musicgen
from train.tiny import write_audio, write_codec
from train.tiny_prior import write_vqvae


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_codec(tmp_path / "codec")
    write_audio(tmp_path / "audio")
    return tmp_path


def call(folder: Path, *options: str) -> int:
    arguments = ["data", "tokens", str(folder / "audio"), str(folder / "tokens"), "--workers", "1", *options]
    return run(arguments if "--codec" in options else [*arguments, "--codec", str(folder / "codec")])


def test_options_arrive_and_damage_is_named_and_repaired(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--melody", "--quiet-db", "40", "--own-tuning", "--stereo", "--first-seconds", "0.3"]
    options += ["--shard-items", "3"]
    assert call(folder, *options) == 0
    assert "4 recordings, 0.00 h, 4 codebooks\n" in capsys.readouterr().out
    cache = TokenCache(folder / "tokens")
    assert [tuple(item.codes.shape) for item in cache.items] == [(4, 60)] * 4
    assert read_melodies(folder / "tokens", ChromaConfig(quiet_db=40.0, tuning="recording", stems="none"))
    assert call(folder, "--verify") == 0
    shard = folder / "tokens" / "codes_00001.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-2])
    assert call(folder, "--verify") == 2
    said = capsys.readouterr()
    assert "codes_00001.safetensors: damaged" in said.out
    assert "1 damaged" in said.err
    assert call(folder, *options) == 0
    assert shard.read_bytes() == whole


def test_states_come_from_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_musicgen()
    model.save_pretrained(folder / "model")
    words = ["--text", "states", "--word-dropout", "0.5"]
    assert call(folder, "--codec", str(folder / "model"), *words) == 0
    cache = TokenCache(folder / "tokens")
    assert cache.codebook_size == model.codec.codebook_size
    assert cache.text_settings is not None
    assert cache.text_settings["word_dropout"] == 0.5
    first = cache.items[0].text
    assert first is not None
    assert first[0].shape[1] == cache.text_settings["dim"]
    assert call(folder, "--codec", str(folder / "model"), *words, "--max-tokens", "0") == 2
    assert "max_tokens" in capsys.readouterr().err
    assert call(folder, *words) == 2
    assert "holds no text encoder: name one, or a model, with --text-encoder" in capsys.readouterr().err


def test_mistakes_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, words in (
        (["--first-seconds", "0"], "first_seconds"),
        (["--workers", "0"], "0 workers: choose 1 to 1024"),
        (["--verify"], "no token cache in"),
        (["--word-dropout", "0.2"], "need --text"),
        (["--max-tokens", "0"], "need --text"),
        (["--own-tuning"], "need --melody"),
    ):
        assert call(folder, *options) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert run(["data", "tokens", str(folder / "audio"), str(folder / "audio"), "--codec", str(folder / "codec")]) == 2
    assert "holds the manifest" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "write_tokens", interrupted)
    assert call(folder) == 130
    assert "give the same command to go on" in capsys.readouterr().err


def test_a_level_of_a_vqvae_is_a_codec(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codes of all its levels cover the same time, whoever makes them."""
    vqvae = write_vqvae(folder / "vqvae")
    assert call(folder, "--codec", str(vqvae), "--level", "1") == 0
    assert "4 recordings, 0.00 h, 1 codebooks\n" in capsys.readouterr().out
    upper = TokenCache(folder / "tokens").items[0].codes
    (folder / "tokens").rename(folder / "upper")
    # What a worker does, without its process.
    monkeypatch.setattr(writing, "make_in_pool", lambda plan, parts, *_: map(PartMaker.load(plan).make, parts))
    assert call(folder, "--codec", str(vqvae), "--level", "0", "--workers", "2", "--shard-items", "2") == 0
    item = TokenCache(folder / "tokens").items[0]
    assert (tuple(upper.shape), tuple(item.codes.shape)) == ((1, 250), (1, 500))
    assert call(folder, "--codec", str(vqvae), "--level", "2") == 2
    assert "no level 2: use 0 (the finest) to 1" in capsys.readouterr().err
    assert run(["data", "tokens", str(folder / "audio"), str(folder / "tokens"), "--level", "0"]) == 2
