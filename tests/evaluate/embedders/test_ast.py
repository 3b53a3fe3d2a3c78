"""AST beside transformers' own pipeline of the same weights, its pieces, and what is refused."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from cadenza.audio import Audio
from cadenza.errors import CheckpointError, UserError
from cadenza.evaluate.embedders.ast import AstLabeller
from cadenza.evaluate.embedders.base import Labeller
from cadenza.evaluate.embedders.registry import AST
from cadenza.testing import noise

LABELS = ("Music", "Piano", "Speech")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    config = transformers.ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        frequency_stride=16,
        time_stride=16,
        id2label=dict(enumerate(LABELS)),
        label2id={name: index for index, name in enumerate(LABELS)},
    )
    network = transformers.ASTForAudioClassification(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(place)
    (place / "preprocessor_config.json").write_text(json.dumps({"feature_extractor_type": "AST", "mean": -4.0}))
    return place


def test_probabilities_are_those_of_transformers(folder: Path) -> None:
    ast, clip = AstLabeller.open(AST, folder), noise(3.0, 16000)
    assert isinstance(ast, Labeller)
    assert ast.labels == LABELS
    theirs = transformers.ASTForAudioClassification.from_pretrained(folder).eval()
    with warnings.catch_warnings(action="ignore"):  # without torchaudio it complains of its lowest band
        extract = transformers.ASTFeatureExtractor(mean=-4.0)
    features = extract(clip.samples[0], sampling_rate=16000, return_tensors="pt")["input_values"].float()
    # Its bands are exact ones in float64, those of its training were float32: measured 9e-5 for values of size 1.
    torch.testing.assert_close(ast.front_end.log_mel(torch.from_numpy(clip.samples[0])), features[0], atol=2e-4, rtol=0)
    with torch.no_grad():
        expected = theirs(features).logits.softmax(1)
    np.testing.assert_allclose(ast.probabilities(clip), expected, atol=1e-4)
    assert float(expected.max()) < 0.99  # no label is certain, or nothing was compared


def test_clips_are_heard_in_pieces_of_ten_seconds(folder: Path) -> None:
    ast, clip = AstLabeller.open(AST, folder), noise(11.5, 16000)
    found = ast.probabilities(clip)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found[1:], ast.probabilities(Audio(clip.samples[:, 160000:], 16000)), atol=1e-6)
    assert len(ast.probabilities(noise(10.5, 16000))) == 1
    assert ast.probabilities(noise(1.0, 44100).with_channels(2)).shape == (1, 3)
    with pytest.raises(UserError, match="ast hears 1 s or more"):
        ast.probabilities(noise(0.5, 16000))


def test_the_identity_names_the_front_end(folder: Path, tmp_path: Path) -> None:
    """Equal weights behind another spectrogram hear something else."""
    shutil.copytree(folder, tmp_path / "ast")
    assert AstLabeller.open(AST, tmp_path / "ast").identity == AstLabeller.open(AST, folder).identity
    (tmp_path / "ast" / "preprocessor_config.json").write_text('{"mean": -5.0}')
    assert AstLabeller.open(AST, tmp_path / "ast").identity != AstLabeller.open(AST, folder).identity


def test_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "ast")
    state = load_file(folder / "model.safetensors")
    del state["classifier.dense.bias"]
    save_file(state, tmp_path / "ast" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"model.safetensors lacks classifier.dense.bias: fetch it again"):
        AstLabeller.open(AST, tmp_path / "ast")
    (tmp_path / "ast" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"model.safetensors is truncated or not a safetensors file"):
        AstLabeller.open(AST, tmp_path / "ast")


def test_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "clap"}')
    with pytest.raises(CheckpointError, match=r"holds a model of type 'clap': expected an AST such as https://hugg"):
        AstLabeller.open(AST, tmp_path)
