"""The model inside, through the front door: what the README promises of it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cadenza import Audio, load
from cadenza.loading import ASSETS

pytestmark = pytest.mark.skipif(not list(ASSETS.rglob("config.json")), reason="this checkout holds no model")

MAIN = "from cadenza.cli import main; main()"


def cadenza(folder: Path, *arguments: str) -> str:
    """The command in a process of its own, as people run it."""
    done = subprocess.run([sys.executable, "-c", MAIN, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_words_to_a_file_and_back(tmp_path):
    words = "a slow sad piano piece in D minor"
    cadenza(tmp_path, "generate", words, "-o", "a.flac", "--duration", "1.5", "--seed", "1")
    cadenza(tmp_path, "generate", "--from", "a.flac", "-o", "again.flac")
    audio, other = Audio.read(tmp_path / "a.flac"), load().generate("fast techno with heavy drums", 1.5, 1)
    assert (audio.num_samples, audio.sample_rate) == (48000, 32000)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "again.flac").read_bytes()
    assert np.corrcoef(audio.samples[0], other.samples[0])[0, 1] < 0.5
    assert audio.loudness_lufs() > -30


def test_it_names_its_licence(tmp_path):
    facts = json.loads(cadenza(tmp_path, "info", "--json"))
    assert facts["licence"] not in ("", "unknown")
    assert facts["name"] not in ("", "unnamed")
    assert list(ASSETS.rglob("README.md")), "a model comes with its card"
