"""A codec as an embedder: means of latents per second, and where the codec comes from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.codec.stereo import StereoCodec
from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Embedder
from cadenza.evaluate.embedders.encodec import EncodecEmbedder
from cadenza.testing import noise, tiny_codec


def test_a_vector_is_the_mean_latent_of_a_second() -> None:
    codec, clip = tiny_codec(), noise(3.5, 32000)
    hears = EncodecEmbedder(codec)
    assert isinstance(hears, Embedder)
    latent = codec.decode_latent(codec.encode(torch.from_numpy(clip.samples[None, :, :96000])).codes)[0]
    frames = int(codec.frame_rate)
    expected = latent.unflatten(1, (3, frames)).mean(2).T
    np.testing.assert_allclose(hears.embed(clip), expected, atol=1e-6)
    assert hears.dim == latent.shape[0]
    assert hears.identity.settings["independent_of_models_of_this_codec"] is False


def test_long_short_stereo_and_silent_clips() -> None:
    hears = EncodecEmbedder(tiny_codec())
    assert len(hears.embed(noise(31.0, 32000))) == 31
    assert len(hears.embed(noise(1.0, 44100).with_channels(2))) == 1
    assert np.isfinite(hears.embed(Audio(np.zeros((1, 32000), np.float32), 32000))).all()
    with pytest.raises(UserError, match="encodec hears 1 s or more"):
        hears.embed(noise(0.9, 32000))
    stereo = EncodecEmbedder(StereoCodec(tiny_codec()))
    assert stereo.embed(noise(1.0, 32000)).shape == (1, stereo.dim)


def test_the_codec_of_a_directory_or_of_a_model(tmp_path: Path) -> None:
    codec = tiny_codec()
    codec.save_pretrained(tmp_path / "model" / "codec")
    alone, within = EncodecEmbedder.open(tmp_path / "model" / "codec"), EncodecEmbedder.open(tmp_path / "model")
    assert alone.identity == within.identity
    assert np.array_equal(alone.embed(noise(1.0, 32000)), EncodecEmbedder(codec).embed(noise(1.0, 32000)))
    assert EncodecEmbedder(codec).identity.weights != EncodecEmbedder(tiny_codec(seed=1)).identity.weights
    with pytest.raises(UserError, match="no codec at nowhere"):
        EncodecEmbedder.open("nowhere")
