"""The Jukebox inside: what plays where nothing is named, with a tiny one in its place and with itself."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cadenza import Audio, load, loading
from cadenza.errors import CheckpointError
from cadenza.loading import find_jukebox, find_model, find_pipeline, is_jukebox, load_codec, load_jukebox
from cadenza.testing import tiny_jukebox

REAL = loading.ASSETS / "jukebox"
MAIN = "from cadenza.cli import main; main()"


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny one where the real one would be."""
    monkeypatch.setattr(loading, "ASSETS", tmp_path / "assets")
    tiny_jukebox(context_length=16).save_pretrained(tmp_path / "assets" / "jukebox")
    return tmp_path / "assets" / "jukebox"


def test_it_has_a_name_and_is_the_default(inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_jukebox("embedded-jukebox")
    assert find_jukebox() == find_jukebox("embedded-jukebox") == find_pipeline("embedded-jukebox") == inside
    assert load("embedded-jukebox").config.name == load_jukebox().config.name == "tiny-jukebox"
    for find in (find_model, load_codec):
        with pytest.raises(CheckpointError, match="embedded-jukebox is a Jukebox"):
            find("embedded-jukebox")
    monkeypatch.chdir(tmp_path)
    tiny_jukebox().save_pretrained("embedded-jukebox")  # what is there comes first
    assert find_jukebox("embedded-jukebox") == Path("embedded-jukebox")


def test_without_it_a_name_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "ASSETS", tmp_path)
    with pytest.raises(CheckpointError, match="no Jukebox comes along: name one"):
        load("embedded-jukebox")


@pytest.mark.skipif(REAL.is_dir(), reason="this checkout holds a Jukebox")
def test_what_else_comes_along_is_no_jukebox(cadenza) -> None:
    """With the real assets, in which today are a MusicGen and an ear."""
    assert loading.embedded_jukebox() is None
    result = cadenza("jukebox", "generate", "--genre", "jazz", "--duration", 5)
    assert result.code == 2
    assert "say which Jukebox with --model" in result.err


def test_a_song_without_a_model(inside: Path, cadenza, tmp_path: Path) -> None:
    asked = ("--duration", 0.064, "--seed", 7, "--genre", "jazz")
    for arguments in ((*asked, "-o", "a.wav", "--down-to", 2), ("--resume", "a.song", "--down-to", 0)):
        result = cadenza("jukebox", "generate", *arguments)
        assert (result.code, result.err) == (0, "")
    result = cadenza("jukebox", "generate", "--from", "a.wav", "-o", "again.wav")
    assert result.code == 0, result.err
    assert Path("again.wav").read_bytes() == Path("a.wav").read_bytes()
    assert "ada" in cadenza("jukebox", "labels").out
    assert json.loads(cadenza("info", "embedded-jukebox", "--json").out)["name"] == "tiny-jukebox"


# ---- the real one ----------------------------------------------------------------------------------------------------

real = pytest.mark.skipif(not REAL.is_dir(), reason="this checkout holds no Jukebox")


@real
def test_it_is_small_and_says_what_it_is() -> None:
    assert sum(path.stat().st_size for path in REAL.rglob("*") if path.is_file()) <= 20e6
    assert (REAL / "README.md").is_file()
    model = load_jukebox(None, "cpu")
    assert list(model.priors) == [0, 1, 2]
    assert model.config.licence not in ("", "unknown")
    assert model.labels.artist("", ["v3"]) == {}
    assert "jazz" in model.labels.sets["v3"].genres


@real
def test_one_command_plays_at_once(tmp_path: Path) -> None:
    """In a process of its own, as people run it; short, for each second is thousands of steps."""
    words = ["jukebox", "generate", "--genre", "jazz", "--duration", "0.5", "--seed", "1", "-o", "a.wav"]
    done = subprocess.run([sys.executable, "-c", MAIN, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heard = Audio.read(tmp_path / "a.wav")
    other = load_jukebox(None, "cpu").generate(artist="cello", genre="folk", duration=0.5, seed=2, down_to=2)
    assert heard.num_samples == heard.sample_rate // 2
    assert heard.metadata["complete"]
    assert heard.loudness_lufs() > -40
    count = min(heard.num_samples, other.num_samples)
    assert np.corrcoef(heard.samples[0, :count], other.samples[0, :count])[0, 1] < 0.5
