"""The melody cache: the classes of the condition itself, beside the codes, and windows that know where they are."""

import json
from pathlib import Path

import pytest
import torch

from cadenza.audio import Audio
from cadenza.checkpoint import write_weights
from cadenza.codec.encodec import EnCodec
from cadenza.conditioning.chroma import ChromaConditioner, ChromaConfig
from cadenza.data.coding import TokenConfig
from cadenza.data.manifest import read_manifest
from cadenza.data.melodies import NOTHING, MelodyAnalysis, chroma_of, read_melodies
from cadenza.data.tokens import FixedWindows, RandomWindows, TokenCache
from cadenza.data.writing import write_tokens
from cadenza.errors import UserError
from train.tiny import write_audio, write_codec

CONFIG = ChromaConfig(sample_rate=4000, n_fft=1024, hop=256, quiet_db=40.0, stems="none")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    codec = EnCodec.from_pretrained(write_codec(tmp_path / "codec"))
    entries = read_manifest(write_audio(tmp_path / "audio"))
    write_tokens(codec, entries, tmp_path / "tokens", TokenConfig(shard_items=2), melody=CONFIG)
    return tmp_path


def test_classes_are_those_of_the_condition(folder: Path) -> None:
    part = ChromaConditioner(CONFIG, 4)
    entries = {entry.id: entry for entry in read_manifest(folder / "audio")}
    items = TokenCache(folder / "tokens").items
    assert len(items) == len(entries) > 2
    for item in items:
        assert item.melody is not None
        expected = part.prepare([Audio.read(entries[item.id].path)])[0]
        assert expected is not None
        assert torch.equal(chroma_of(item.melody, 12), expected)


def test_stems_are_separated_as_for_playing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model is trained with is what it hears later."""

    def halve_the_rate_of(wave: torch.Tensor, rate: int) -> torch.Tensor:
        return wave.mean(0, keepdim=True).repeat_interleave(2, 1)[:, : wave.shape[1]]

    monkeypatch.setattr("cadenza.conditioning.chroma.find_separator", lambda choice: halve_the_rate_of)
    config = CONFIG.model_copy(update={"stems": "demucs"})
    entry = read_manifest(folder / "audio")[0]
    before = read_melodies(folder / "tokens")[entry.id]
    found = chroma_of(MelodyAnalysis(config).classes([entry])[entry.id], 12)
    heard = ChromaConditioner(config, 4).prepare([Audio.read(entry.path)])[0]
    assert heard is not None
    assert torch.equal(found, heard)
    assert not torch.equal(found, chroma_of(before, 12))


def test_caches_from_before_a_setting_was_there_are_read(folder: Path) -> None:
    index = folder / "tokens" / "melody.json"
    settings = json.loads(index.read_text())
    del settings["tuning"]
    index.write_text(json.dumps(settings))
    assert read_melodies(folder / "tokens", CONFIG)
    with pytest.raises(UserError, match="other settings"):
        read_melodies(folder / "tokens", CONFIG.model_copy(update={"tuning": "recording"}))


def test_a_frame_without_pitch_is_zeros() -> None:
    chroma = chroma_of(torch.tensor([3, NOTHING, 0], dtype=torch.uint8), 12)
    assert chroma.sum(1).tolist() == [1, 0, 1]
    assert chroma[0, 3] == chroma[2, 0] == 1


def test_windows_carry_the_whole_melody_and_their_place_in_it(folder: Path) -> None:
    items = TokenCache(folder / "tokens").items
    batch = RandomWindows(items, 4, 32, seed=1, frame_rate=20.0).batch(0)
    starts = batch["start_seconds"]
    assert isinstance(starts, torch.Tensor)
    assert len(set(starts.tolist())) > 3
    for row in range(32):
        start = round(float(starts[row]) * 20)
        length = int(batch["melody_frames"][row])  # type: ignore[arg-type, call-overload]
        codes, melody = batch["codes"][row], batch["melody"][row]
        item = next(i for i in items if torch.equal(i.codes[:, start : start + 4].long(), codes))  # type: ignore[arg-type]
        assert item.melody is not None
        assert torch.equal(melody[:length], item.melody)  # type: ignore[call-overload, arg-type]
    assert FixedWindows(items, 4, 2).batch(0)["start_seconds"].tolist() == [0, 0]  # type: ignore[union-attr]


def test_a_cache_without_melodies_has_none(folder: Path) -> None:
    (folder / "tokens" / "melody.json").unlink()
    items = TokenCache(folder / "tokens").items
    assert all(item.melody is None for item in items)
    assert "melody" not in FixedWindows(items, 4, 2).batch(0)


def test_melodies_of_other_settings_are_refused(folder: Path) -> None:
    assert read_melodies(folder / "tokens", CONFIG)
    with pytest.raises(UserError, match="analysed with other settings"):
        read_melodies(folder / "tokens", ChromaConfig())
    with pytest.raises(UserError, match="only the strongest class"):
        MelodyAnalysis(ChromaConfig(only_strongest=False))


def test_melodies_can_be_added_replaced_and_are_kept(folder: Path) -> None:
    codec = EnCodec.from_pretrained(folder / "codec")
    entries, tokens, pairs = read_manifest(folder / "audio"), folder / "tokens", TokenConfig(shard_items=2)
    before = read_melodies(tokens, CONFIG)
    assert set(before) == {entry.id for entry in entries}
    codes = (tokens / "codes_00000.safetensors").stat().st_mtime_ns
    write_tokens(codec, entries, tokens, pairs)  # asks for no melodies: those that are there still fit
    assert all(torch.equal(read_melodies(tokens, CONFIG)[name], row) for name, row in before.items())
    other = CONFIG.model_copy(update={"quiet_db": 20.0})
    write_tokens(codec, entries, tokens, pairs, melody=other)
    assert set(read_melodies(tokens, other)) == set(before)
    assert (tokens / "codes_00000.safetensors").stat().st_mtime_ns == codes
    write_tokens(codec, entries[1:], tokens, pairs)  # other shards: melodies of the old ones fit no longer
    assert read_melodies(tokens) == {}
    assert not list(tokens.glob("melody*"))


def test_melodies_in_one_file_are_read(folder: Path) -> None:
    """As caches of 0.1 have them."""
    tokens = folder / "tokens"
    before = {name: row.clone() for name, row in read_melodies(tokens).items()}
    for path in tokens.glob("melody_*"):
        path.unlink()
    write_weights(tokens / "melody.safetensors", before)
    found = read_melodies(tokens, CONFIG)
    assert all(torch.equal(found[name], row) for name, row in before.items())
