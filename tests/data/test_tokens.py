"""The token cache: the codec's own codes, resumable, tied to the codec; windows with known content."""

from pathlib import Path

import pytest
import torch

from cadenza.checkpoint import read_json, write_json
from cadenza.codec.encodec import EnCodec
from cadenza.data.dataset import Recordings
from cadenza.data.manifest import read_manifest
from cadenza.data.tokens import CodedItem, FixedWindows, RandomWindows, TokenCache, encoder_hash, write_tokens
from cadenza.errors import UserError
from train.tiny import RATE, write_audio, write_codec


@pytest.fixture
def codec(tmp_path: Path) -> EnCodec:
    return EnCodec.from_pretrained(write_codec(tmp_path / "codec"))


def test_codes_are_those_of_the_codec(codec: EnCodec, tmp_path: Path):
    entries = read_manifest(write_audio(tmp_path / "audio"))
    write_tokens(codec, entries, tmp_path / "tokens", batch_size=3, shard_items=3)
    cache = TokenCache(tmp_path / "tokens")
    assert [item.id for item in cache.items] == [entry.id for entry in entries]
    assert [item.captions for item in cache.items] == [entry.captions for entry in entries]
    assert len(cache.split("train")) == 3
    recordings = Recordings(entries, RATE, 1)
    for i, item in enumerate(cache.items):
        expected = codec.encode(torch.from_numpy(recordings.whole(i))[None]).codes[0]
        # a batch's sums may differ in the last bit, which can move a code that lies between two entries
        assert float((item.codes == expected).float().mean()) > 0.95


def test_an_interrupted_cache_goes_on_where_it_stopped(codec: EnCodec, tmp_path: Path):
    entries = read_manifest(write_audio(tmp_path / "audio"))
    write_tokens(codec, entries, tmp_path / "tokens", shard_items=2)
    first = tmp_path / "tokens" / "codes_00000.safetensors"
    before = first.stat().st_mtime_ns
    (tmp_path / "tokens" / "codes_00001.safetensors").unlink()
    index = read_json(tmp_path / "tokens" / "index.json")
    write_json(tmp_path / "tokens" / "index.json", index | {"complete": False, "items": []})
    with pytest.raises(UserError, match="unfinished"):
        TokenCache(tmp_path / "tokens")
    write_tokens(codec, entries, tmp_path / "tokens", shard_items=2)
    assert first.stat().st_mtime_ns == before
    assert read_json(tmp_path / "tokens" / "index.json") == index


def test_codes_of_two_codecs_never_mix_but_the_decoder_may_go_on_learning(codec: EnCodec, tmp_path: Path):
    entries = read_manifest(write_audio(tmp_path / "audio"))
    write_tokens(codec, entries, tmp_path / "tokens")
    before = encoder_hash(codec)
    with torch.no_grad():
        next(codec.decoder.parameters()).add_(1)
    assert encoder_hash(codec) == before
    write_tokens(codec, entries, tmp_path / "tokens")
    with torch.no_grad():
        next(codec.encoder.parameters()).add_(1)
    with pytest.raises(UserError, match="another codec"):
        write_tokens(codec, entries, tmp_path / "tokens")


def test_ids_must_differ(codec: EnCodec, tmp_path: Path):
    entries = read_manifest(write_audio(tmp_path / "audio"))
    with pytest.raises(UserError, match="'tone0'"):
        write_tokens(codec, [entries[0], entries[0]], tmp_path / "tokens")


def item(name: str, frames: int, *captions: str) -> CodedItem:
    """Code of frame `t` is `t` in the first codebook and `t + 100` in the second."""
    line = torch.arange(frames, dtype=torch.int16)
    return CodedItem(name, "train", captions, torch.stack([line, line + 100]))


def test_windows_are_runs_of_frames_and_repeatable():
    source = RandomWindows([item("a", 50, "x", "y"), item("b", 4, "z")], 10, 64, seed=3)
    batch = source.batch(5)
    again = source.batch(5)
    assert torch.equal(batch["codes"], again["codes"])
    assert batch["captions"] == again["captions"]
    assert set(batch["captions"]) == {"x", "y", "z"}
    for codes, frames, caption in zip(batch["codes"], batch["frames"], batch["captions"], strict=True):
        assert int(frames) == (4 if caption == "z" else 10)
        start = int(codes[0, 0])
        assert codes[0, :frames].tolist() == list(range(start, start + int(frames)))
        assert torch.equal(codes[1, :frames], codes[0, :frames] + 100)
        assert not codes[:, frames:].any()


def test_batches_name_their_recordings_and_what_is_known_of_them(codec: EnCodec, tmp_path: Path):
    entries = read_manifest(write_audio(tmp_path / "audio"))
    info = {"genre": "jazz", "moods": ("calm", "warm"), "bpm": 70.0}
    write_tokens(codec, [entries[0].model_copy(update={"info": info}), *entries[1:]], tmp_path / "tokens")
    items = TokenCache(tmp_path / "tokens").items
    assert [one.info for one in items[:2]] == [info, {}]
    batch = FixedWindows(items, 4, 3).batch(0)
    assert batch["ids"] == [entry.id for entry in entries[:3]]
    assert batch["infos"] == [info, {}, {}]
    drawn = RandomWindows(items, 4, 16, seed=0).batch(0)
    infos = {one.id: one.info for one in items}
    assert drawn["infos"] == [infos[name] for name in drawn["ids"]]  # type: ignore[index]


def test_every_start_is_possible():
    source = RandomWindows([item("a", 12)], 10, 200, seed=0)
    assert set(source.batch(0)["codes"][:, 0, 0].tolist()) == {0, 1, 2}


def test_validation_takes_the_first_window_and_caption():
    source = FixedWindows([item("a", 50, "x", "y"), item("b", 4), item("c", 20, "z")], 10, 2)
    batches = [source.batch(i) for i in range(len(source))]
    assert [batch["captions"] for batch in batches] == [["x", ""], ["z"]]
    assert batches[0]["frames"].tolist() == [10, 4]
    assert batches[0]["codes"][0, 0].tolist() == list(range(10))
