"""CLAP as an embedder: its windows, unit length, and both towers against the encoder that they come from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.errors import CheckpointError, UserError
from cadenza.evaluate.embedders.base import Embedder, JointEmbedder
from cadenza.evaluate.embedders.clap import ClapEmbedder
from cadenza.evaluate.embedders.registry import CLAP
from cadenza.testing import noise
from tiny_clap import DIM, write_tiny_clap


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clap(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def clap(folder: Path) -> ClapEmbedder:
    return ClapEmbedder.open(CLAP, folder)


def test_windows_reach_to_the_end_of_the_clip(clap: ClapEmbedder, folder: Path) -> None:
    assert isinstance(clap, Embedder)
    assert isinstance(clap, JointEmbedder)
    clip = noise(12.0, 48000)
    found = clap.embed(clip)
    assert found.shape == (2, DIM)
    wave = torch.from_numpy(clip.samples[0])
    windows = torch.stack([wave[:480000], wave[96000:]])
    expected = torch.nn.functional.normalize(ClapEncoder.from_pretrained(folder).encode_windows(windows), dim=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    whole = expected.mean(0)
    np.testing.assert_allclose(clap.embed_audio(clip), whole / whole.norm(), atol=1e-6)
    assert len(clap.embed(Audio(clip.samples[:, :480000], 48000))) == 1
    assert np.array_equal(clap.embed(clip), found)


def test_short_stereo_and_silent_clips(clap: ClapEmbedder) -> None:
    short = noise(0.5, 44100)
    assert clap.embed(short).shape == (1, DIM)
    assert np.array_equal(clap.embed(short.with_channels(2)), clap.embed(short))
    silence = clap.embed_audio(Audio(np.zeros((1, 24000), np.float32), 48000))
    assert np.linalg.norm(silence) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(UserError, match=r"clap hears 0.1 s or more"):
        clap.embed_audio(noise(0.05, 48000))


def test_sentences_of_any_length(clap: ClapEmbedder) -> None:
    texts = ["a slow waltz", "x" * 500, "techno"]
    found = clap.embed_text(texts)
    assert found.shape == (3, DIM)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(clap.embed_text(["techno"])[0], found[2], atol=1e-5)  # alone as among others
    assert clap.embed_text([]).shape == (0, DIM)


def test_the_identity_names_checkpoint_fusion_and_windows(clap: ClapEmbedder, folder: Path) -> None:
    settings = clap.identity.settings
    assert settings["fusion"] is False
    assert settings["window_seconds"] == 10
    assert folder.name in clap.identity.source
    assert str(folder.parent) not in str(clap.identity.record())
    assert len(clap.identity.weights) == 64
    assert '"frequency_max":14000' in str(settings["front_end"])  # equal weights hear something else behind another


def test_a_checkpoint_of_laion_is_to_be_converted(tmp_path: Path) -> None:
    (tmp_path / "music.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"cadenza.convert.laion_clap"):
        ClapEmbedder.open(CLAP, tmp_path / "music.pt")
