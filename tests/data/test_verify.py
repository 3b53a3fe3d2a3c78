"""Verification names the shard that is wrong, and says what is wrong."""

from pathlib import Path

import pytest
import torch

from cadenza.checkpoint import read_json, read_weights, write_json, write_weights
from cadenza.codec.encodec import EnCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.data.coding import TokenConfig
from cadenza.data.manifest import read_manifest
from cadenza.data.shards import write_shard
from cadenza.data.texts import TextForm, Texts
from cadenza.data.verify import verify_tokens
from cadenza.data.writing import write_tokens
from cadenza.errors import UserError
from cadenza.testing import tiny_text_encoder
from train.tiny import write_audio, write_codec

MELODY = ChromaConfig(sample_rate=4000, n_fft=1024, hop=256, stems="none")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    codec = EnCodec.from_pretrained(write_codec(tmp_path / "codec"))
    entries = read_manifest(write_audio(tmp_path / "audio"))
    texts = Texts(tiny_text_encoder(), TextForm())
    write_tokens(codec, entries, tmp_path / "tokens", TokenConfig(shard_items=2), melody=MELODY, texts=texts)
    return tmp_path / "tokens"


def rewrite(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """A shard that is whole in itself, and its checksum into the index."""
    checksum = write_shard(path, tensors, "", {})
    layer, number = path.stem.split("_")
    index = read_json(path.parent / "index.json")
    index["layers"][layer]["checksums"][int(number)] = checksum
    write_json(path.parent / "index.json", index)


@pytest.mark.parametrize("layer", ["codes", "melody", "text"])
def test_each_damage_is_named(layer: str, folder: Path) -> None:
    assert verify_tokens(folder) == []
    path = folder / f"{layer}_00001.safetensors"
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(content)
        assert verify_tokens(folder) == [f"{path.name}: damaged (cut short, or its content does not have its checksum)"]
    path.unlink()
    assert verify_tokens(folder) == [f"{path.name}: missing"]
    path.write_bytes((folder / f"{layer}_00000.safetensors").read_bytes())
    assert verify_tokens(folder) == [f"{path.name}: another one than the index was written for"]


def test_values_and_shapes_are_looked_at(folder: Path) -> None:
    for layer, name, change, words in (
        ("codes", "tone0", lambda row: row.fill_(16), "values from 16 to 16, allowed are 0 to 15"),
        ("codes", "tone0", lambda row: row[:1], "codes of shape [1, 100], expected [2, T]"),
        ("melody", "tone0", lambda row: row.fill_(12), "values from 12 to 12, allowed are 0 to 11"),
        ("text", "0/tone0", lambda row: row.fill_(torch.nan), "a caption with values that are not numbers"),
        ("text", "0/tone0", lambda row: row[0], "a caption of shape [16]"),
    ):
        path = folder / f"{layer}_00000.safetensors"
        before, index = path.read_bytes(), read_json(folder / "index.json")
        tensors = {key: tensor.clone() for key, tensor in read_weights(path).items()}
        rewrite(path, tensors | {name: change(tensors[name])})
        assert verify_tokens(folder) == [f"{path.name}: {name}: {words}"]
        rewrite(path, {key: tensor for key, tensor in tensors.items() if key != name})
        assert verify_tokens(folder) == [f"{path.name}: 1 recordings are missing or too many (such as {name!r})"]
        path.write_bytes(before)
        write_json(folder / "index.json", index)


def test_caches_from_before_checksums_are_judged_by_their_content(folder: Path) -> None:
    index = read_json(folder / "index.json")
    write_json(folder / "index.json", {key: value for key, value in index.items() if key != "layers"})
    path = folder / "codes_00001.safetensors"
    tensors = {name: tensor.clone() for name, tensor in read_weights(path).items()}
    write_weights(path, tensors)
    assert verify_tokens(folder) == []
    write_weights(path, {name: tensor - 1 for name, tensor in tensors.items()})
    assert "allowed are 0 to 15" in verify_tokens(folder)[0]
    write_json(folder / "index.json", index | {"complete": False})
    with pytest.raises(UserError, match="unfinished"):
        verify_tokens(folder)
