"""MERT as an embedder: layers, pooling and windows against the network that it runs, and its files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Embedder
from cadenza.evaluate.embedders.mert import MertEmbedder
from cadenza.evaluate.embedders.registry import MERT, MERT_330
from cadenza.testing import noise
from tiny_style import MERT_CONFIG, tiny_mert, write_published_mert


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_mert().save_pretrained(tmp_path)
    return tmp_path


def test_a_vector_is_the_maximum_of_a_layer_over_time(folder: Path) -> None:
    clip = noise(2.0, 24000)
    last, first = MertEmbedder.open(MERT, folder), MertEmbedder.open(MERT, folder, layer=1)
    assert isinstance(last, Embedder)
    hidden = tiny_mert().extract(clip, torch.device("cpu"))
    np.testing.assert_allclose(last.embed(clip), hidden.amax(0)[None], atol=1e-6)
    np.testing.assert_allclose(first.embed(clip), entering(first, 1, clip).amax(1), atol=1e-6)
    assert last.identity.settings["layer"] == 2
    assert last.identity != first.identity
    with pytest.raises(UserError, match="layer 3 of mert: it has 0 to 2"):
        MertEmbedder.open(MERT, folder, layer=3)


def test_a_model_with_its_norms_first(tmp_path: Path) -> None:
    """As MERT-v1-330M: what comes out of it is what MAD compares."""
    large = tiny_mert(config=MERT_CONFIG.model_copy(update={"norm_first": True}))
    large.save_pretrained(tmp_path)
    clip = noise(1.0, 24000)
    last, before = MertEmbedder.open(MERT_330, tmp_path), MertEmbedder.open(MERT_330, tmp_path, layer=1)
    hidden = large.extract(clip, torch.device("cpu"))
    np.testing.assert_allclose(last.embed(clip), hidden.amax(0)[None], atol=1e-6)
    np.testing.assert_allclose(before.embed(clip), entering(before, 1, clip).amax(1), atol=1e-6)


def entering(mert: MertEmbedder, layer: int, clip: Audio) -> torch.Tensor:
    """What goes into a layer of the transformer: the hidden states that carry its number."""
    seen: list[torch.Tensor] = []
    network: Any = mert.mert.model
    hook = network.encoder.layers[layer].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        network(torch.from_numpy(clip.samples))
    hook.remove()
    return seen[0]


def test_long_clips_are_heard_in_pieces(folder: Path) -> None:
    mert, clip = MertEmbedder.open(MERT, folder), noise(31.5, 24000)
    found = mert.embed(clip)
    assert found.shape == (2, 16)
    np.testing.assert_allclose(found[1:], mert.embed(Audio(clip.samples[:, 30 * 24000 :], 24000)), atol=1e-6)
    assert len(mert.embed(noise(30.5, 24000))) == 1
    assert np.array_equal(mert.embed(clip), found)
    assert mert.embed(noise(1.0, 44100).with_channels(2)).shape == (1, 16)
    assert np.isfinite(mert.embed(Audio(np.zeros((1, 24000), np.float32), 24000))).all()
    with pytest.raises(UserError, match="mert hears 1 s or more"):
        mert.embed(noise(0.5, 24000))


def test_the_front_end_says_whether_the_level_counts(folder: Path) -> None:
    clip = noise(1.0, 24000)
    samples = clip.samples.astype(np.float64)
    normalized = Audio(((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)).astype(np.float32), 24000)
    plain = MertEmbedder.open(MERT, folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    normal = MertEmbedder.open(MERT, folder)
    np.testing.assert_allclose(normal.embed(clip), plain.embed(normalized), atol=1e-5)
    assert not np.array_equal(normal.embed(clip), plain.embed(clip))
    assert normal.identity != plain.identity


def test_the_published_form_is_read_without_its_program(tmp_path: Path) -> None:
    write_published_mert(tmp_path / "mert")
    mert = MertEmbedder.open(MERT, tmp_path / "mert")
    assert mert.dim == 768
    assert mert.embed(noise(1.0, 24000)).shape == (1, 768)
