"""Our use of CLAP's towers against transformers' own, and what stands before them."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.errors import CheckpointError, UserError
from cadenza.testing import noise, tone
from tiny_clap import DIM, write_tiny_clap

RATE = 48000
TEXTS = ["slow sad piano", "rock", "an old man hums a tune he heard as a child"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clap(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    from transformers import ClapModel

    return ClapModel.from_pretrained(folder).eval()


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


@torch.no_grad()
def test_text_equals_transformers(folder: Path, theirs: Any) -> None:
    encoder = ClapEncoder.from_pretrained(folder)
    made = encoder.encode_text(TEXTS, 77)
    assert made.shape == (3, DIM)
    for text, vector in zip(TEXTS, made, strict=True):
        ids = torch.tensor([encoder.tokenizer([text])[0]])
        expected = theirs.get_text_features(input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output[0]
        # Float32 sums over a padded batch, in another order.
        torch.testing.assert_close(vector, expected, atol=1e-5, rtol=1e-5)
    assert float((made[0] - made[1]).abs().max()) > 0.05, "the towers hear no difference: the comparison says nothing"


@torch.no_grad()
@pytest.mark.parametrize("seconds", [10.0, 3.3, 0.03])
def test_sound_equals_transformers(folder: Path, theirs: Any, seconds: float) -> None:
    """At their own length, and repeated to it when shorter."""
    from transformers import ClapFeatureExtractor

    waves = np.stack([noise(seconds, RATE).samples[0], tone(440, seconds, RATE).samples[0]])
    extractor = ClapFeatureExtractor.from_pretrained(folder)
    features = extractor([*waves], sampling_rate=RATE, return_tensors="pt")["input_features"]
    encoder = ClapEncoder.from_pretrained(folder)
    # Theirs rounds the spectrum to 32 bits before it is squared.
    torch.testing.assert_close(encoder.log_mel(torch.from_numpy(waves))[:, None], features, atol=1e-3, rtol=0)
    expected = theirs.get_audio_features(input_features=features).pooler_output
    made = encoder.encode_windows(torch.from_numpy(waves))
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)
    assert float((made[0] - made[1]).abs().max()) > 0.05


def test_many_windows_are_one_by_one_the_same(folder: Path) -> None:
    encoder = ClapEncoder.from_pretrained(folder)
    windows = torch.from_numpy(noise(0.1, RATE, channels=11).samples)
    alone = torch.cat([encoder.encode_windows(window[None]) for window in windows])
    # Batches of eight: float32 sums in another order.
    torch.testing.assert_close(encoder.encode_windows(windows), alone, atol=1e-5, rtol=1e-5)


def test_long_sentences_keep_their_end(folder: Path) -> None:
    encoder = ClapEncoder.from_pretrained(folder)
    ids = encoder.tokens(["abcdef" * 30, "a"], 77)
    assert [len(row) for row in ids] == [77, 3]
    assert ids[0][-1] == ids[1][-1] == 2
    assert ids[0][1:7] == encoder.tokenizer(["abcdef"])[0][1:-1]


def test_saved_and_loaded_it_is_the_same_to_the_bit(folder: Path, tmp_path: Path) -> None:
    encoder = ClapEncoder.from_pretrained(folder)
    encoder.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
    ]
    again = ClapEncoder.from_pretrained(tmp_path)
    wave = torch.from_numpy(noise(1.0, RATE).samples)
    assert torch.equal(again.encode_text(TEXTS, 77), encoder.encode_text(TEXTS, 77))
    assert torch.equal(again.encode_windows(wave), encoder.encode_windows(wave))
    encoder.rest()
    assert torch.equal(again.encode_windows(wave), encoder.encode_windows(wave))
    encoder.save_pretrained(tmp_path / "half", torch.bfloat16)
    half = ClapEncoder.from_pretrained(tmp_path / "half")
    assert half.encode_text(TEXTS, 77).dtype == torch.float32
    assert load_file(tmp_path / "half" / "model.safetensors")["text_projection.linear1.weight"].dtype == torch.bfloat16


def test_tables_that_old_files_leave_out_are_made(folder: Path, tmp_path: Path) -> None:
    other = copy(folder, tmp_path)
    state = load_file(other / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if not name.endswith(("_ids", "_index", "_tracked"))}
    assert len(kept) < len(state)
    save_file(kept, other / "model.safetensors")
    expected = ClapEncoder.from_pretrained(folder).encode_text(TEXTS, 77)
    assert torch.equal(ClapEncoder.from_pretrained(other).encode_text(TEXTS, 77), expected)


def test_what_is_no_clap_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "clap.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="as transformers keeps it, such as laion/larger_clap_music"):
        ClapEncoder.from_pretrained(tmp_path / "clap.pt")
    with pytest.raises(CheckpointError, match="type 't5': expected a CLAP"):
        ClapEncoder.from_pretrained(Path(__file__).parents[1] / "parity" / "t5_tiny")
    with pytest.raises(CheckpointError, match="no file"):
        ClapEncoder.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("config.json", {"audio_config": {"enable_fusion": True}}, "fused"),
        ("config.json", {"text_config": {"vocab_size": 20}}, "its tokenizer has 31 words, its model 20"),
        ("preprocessor_config.json", {"hop_length": 0}, "hop_length"),
        ("preprocessor_config.json", None, "no file"),
        ("tokenizer.json", None, r"no tokenizer\.json"),
        ("model.safetensors", None, "no weights"),
    ],
)
def test_broken_folders_are_named(
    folder: Path, tmp_path: Path, file: str, change: dict[str, Any] | None, words: str
) -> None:
    other = copy(folder, tmp_path)
    if change is None:
        (other / file).unlink()
    else:
        content = json.loads((other / file).read_text())
        for key, value in change.items():
            content[key] = content[key] | value if isinstance(value, dict) else value
        (other / file).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=words):
        ClapEncoder.from_pretrained(other)


def test_weights_that_do_not_fit_are_named(folder: Path, tmp_path: Path) -> None:
    other = copy(folder, tmp_path)
    state = load_file(other / "model.safetensors")
    bias = state.pop("text_projection.linear1.bias")
    save_file(state, other / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks text_projection\.linear1\.bias: fetch"):
        ClapEncoder.from_pretrained(other).encode_text(TEXTS, 77)
    state["text_projection.linear1.bias"] = bias[:-1].clone()
    save_file(state, other / "model.safetensors")
    with pytest.raises(CheckpointError, match="holds no CLAP that can be built"):
        ClapEncoder.from_pretrained(other).encode_text(TEXTS, 77)


def test_without_transformers_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ClapEncoder.from_pretrained(folder)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r'pip install "transformers>=5\.0"'):
        encoder.encode_text(TEXTS, 77)
