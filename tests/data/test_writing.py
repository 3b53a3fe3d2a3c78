"""Writing a token cache: the codec's own codes, tied to it, complete after any interruption, and bad input listed."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cadenza.audio import Audio
from cadenza.checkpoint import read_json, write_json
from cadenza.codec.encodec import EnCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.data import shards, workers
from cadenza.data.coding import TokenConfig
from cadenza.data.manifest import Entry, read_manifest
from cadenza.data.tokens import TokenCache, encoder_hash
from cadenza.data.writing import write_tokens
from cadenza.errors import CadenzaError, UserError
from data.folders import files
from train.tiny import RATE, write_audio, write_codec

PAIRS = TokenConfig(shard_items=2)


@pytest.fixture
def codec(tmp_path: Path) -> EnCodec:
    return EnCodec.from_pretrained(write_codec(tmp_path / "codec"))


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    return read_manifest(write_audio(tmp_path / "audio"))


def test_codes_are_those_of_the_codec(codec: EnCodec, entries: list[Entry], tmp_path: Path) -> None:
    write_tokens(codec, entries, tmp_path / "tokens", TokenConfig(shard_items=3))
    cache = TokenCache(tmp_path / "tokens")
    assert [item.id for item in cache.items] == [entry.id for entry in entries]
    assert [item.captions for item in cache.items] == [entry.captions for entry in entries]
    assert len(cache.split("train")) == 3
    for entry, item in zip(entries, cache.items, strict=True):
        expected = codec.encode(torch.from_numpy(Audio.read(entry.path).samples)[None]).codes[0]
        # a batch's sums may differ in the last bit, which can move a code that lies between two entries
        assert float((item.codes == expected).float().mean()) > 0.95


def test_an_interrupted_cache_goes_on_where_it_stopped(codec: EnCodec, entries: list[Entry], tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    write_tokens(codec, entries, folder, PAIRS)
    before, first = files(folder), folder / "codes_00000.safetensors"
    written = first.stat().st_mtime_ns
    (folder / "codes_00001.safetensors").unlink()
    (folder / ".codes_00001.safetensors.0123456789ab").write_bytes(b"half")
    index = read_json(folder / "index.json")
    write_json(folder / "index.json", index | {"complete": False, "items": []})
    with pytest.raises(UserError, match="unfinished"):
        TokenCache(folder)
    seen: list[tuple[int, int]] = []
    write_tokens(codec, entries, folder, PAIRS, on_progress=lambda done, total: seen.append((done, total)))
    assert first.stat().st_mtime_ns == written
    assert files(folder) == before
    assert seen[0] == (2, 4)
    assert seen[-1] == (4, 4)


def test_a_damaged_shard_is_made_anew_and_only_that(codec: EnCodec, entries: list[Entry], tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    write_tokens(codec, entries, folder, PAIRS)
    before, other = files(folder), folder / "codes_00000.safetensors"
    written = other.stat().st_mtime_ns
    damaged = folder / "codes_00001.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    write_tokens(codec, entries, folder, PAIRS)
    assert files(folder) == before
    assert other.stat().st_mtime_ns == written


def test_codes_of_two_codecs_never_mix_but_the_decoder_may_go_on_learning(
    codec: EnCodec, entries: list[Entry], tmp_path: Path
) -> None:
    write_tokens(codec, entries, tmp_path / "tokens")
    before = encoder_hash(codec)
    with torch.no_grad():
        next(codec.decoder.parameters()).add_(1)
    assert encoder_hash(codec) == before
    halved = copy.deepcopy(codec).bfloat16()
    assert encoder_hash(halved) == encoder_hash(copy.deepcopy(halved).float()) != before  # 16 bits code in float32
    write_tokens(codec, entries, tmp_path / "tokens")
    with pytest.raises(UserError, match=r"begun with coding .*same options"):
        write_tokens(codec, entries, tmp_path / "tokens", TokenConfig(first_seconds=0.2))
    with torch.no_grad():
        next(codec.encoder.parameters()).add_(1)
    with pytest.raises(UserError, match="another codec"):
        write_tokens(codec, entries, tmp_path / "tokens")


def test_a_cache_from_before_checksums_is_read_and_finished(
    codec: EnCodec, entries: list[Entry], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "tokens"
    write_tokens(codec, entries, folder, PAIRS)
    codes = [item.codes.clone() for item in TokenCache(folder).items]
    index = read_json(folder / "index.json")
    for path in folder.glob("codes_*"):
        save_file({name: tensor.clone() for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    old = {name: index[name] for name in ("format", "codec", "shard_items", "complete", "items")}
    old["items"] = [{k: v for k, v in item.items() if k != "info"} for item in old["items"]]
    write_json(folder / "index.json", old)
    (folder / "skipped.jsonl").unlink()
    assert all(torch.equal(item.codes, row) for item, row in zip(TokenCache(folder).items, codes, strict=True))
    kept = folder / "codes_00000.safetensors"
    written = kept.stat().st_mtime_ns
    (folder / "codes_00001.safetensors").unlink()
    write_tokens(codec, entries, folder, PAIRS)
    assert kept.stat().st_mtime_ns == written
    assert read_json(folder / "index.json")["items"] == index["items"]


def test_only_the_first_seconds(codec: EnCodec, entries: list[Entry], tmp_path: Path) -> None:
    short = tmp_path / "short.wav"
    soundfile.write(short, 0.5 * np.sin(np.arange(RATE // 5)), RATE)
    more = [*entries[:2], Entry(path=str(short), duration=0.2, sample_rate=RATE, id="short")]
    write_tokens(codec, more, tmp_path / "tokens", TokenConfig(first_seconds=0.3))
    # 0.3 s at 200 frames a second; what is shorter stays as it is
    assert [item.codes.shape[1] for item in TokenCache(tmp_path / "tokens").items] == [60, 60, 40]


def test_what_cannot_be_used_is_listed_and_stays_listed(codec: EnCodec, entries: list[Entry], tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "click.wav", np.ones(8) / 2, RATE)
    bad = [
        Entry(path=str(tmp_path / f"{name}.wav"), duration=1.0, sample_rate=RATE, id=name)
        for name in ("bad", "silent", "click", "moved")
    ]
    written = write_tokens(codec, [bad[0], *entries, *bad[1:]], folder, PAIRS)
    assert written.recordings == 4
    reasons = {"bad": "not audio", "silent": "silent", "click": "too short", "moved": "no such file"}
    assert list(written.skipped) == list(reasons)
    assert all(reasons[name] in reason for name, reason in written.skipped.items())
    assert [item.id for item in TokenCache(folder).items] == [entry.id for entry in entries]
    before = files(folder)
    rows = [json.loads(line) for line in (folder / "skipped.jsonl").read_text().splitlines()]
    assert {row["id"]: row["reason"] for row in rows} == written.skipped
    (folder / "codes_00001.safetensors").unlink()
    (folder / "skipped.jsonl").unlink()
    assert write_tokens(codec, [bad[0], *entries, *bad[1:]], folder, PAIRS) == written
    assert files(folder) == before


def test_what_has_come_back_or_changed_is_coded(codec: EnCodec, entries: list[Entry], tmp_path: Path) -> None:
    folder, away = tmp_path / "tokens", Path(entries[2].path)
    content = away.read_bytes()
    away.write_bytes(b"RIFF")
    assert list(write_tokens(codec, entries, folder, PAIRS).skipped) == ["tone2"]
    first, second = folder / "codes_00000.safetensors", folder / "codes_00001.safetensors"
    written = first.stat().st_mtime_ns, second.stat().st_mtime_ns
    assert list(write_tokens(codec, entries, folder, PAIRS).skipped) == ["tone2"]
    assert (first.stat().st_mtime_ns, second.stat().st_mtime_ns) == written
    away.write_bytes(content)
    assert write_tokens(codec, entries, folder, PAIRS).skipped == {}
    write_tokens(codec, entries, tmp_path / "fresh", PAIRS)
    assert files(folder) == files(tmp_path / "fresh")
    assert first.stat().st_mtime_ns == written[0]
    # The same name and length, another sound: scanning tells it by its hash.
    rescanned = [Entry.model_validate(entry.model_dump() | {"sound": f"of {entry.id}"}) for entry in entries]
    write_tokens(codec, rescanned, folder, PAIRS)
    before = [item.codes.clone() for item in TokenCache(folder).items]
    soundfile.write(away, 0.5 * np.random.default_rng(0).standard_normal(RATE // 2), RATE, subtype="FLOAT")
    rescanned[2] = Entry.model_validate(rescanned[2].model_dump() | {"sound": "noise"})
    write_tokens(codec, rescanned, folder, PAIRS)
    same = [torch.equal(item.codes, codes) for item, codes in zip(TokenCache(folder).items, before, strict=True)]
    assert same == [True, True, False, True]


def test_a_layer_outlives_an_interruption_of_what_does_not_ask_for_it(
    codec: EnCodec,
    entries: list[Entry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "tokens"
    chroma = ChromaConfig(stems="none")
    write_tokens(codec, entries, folder, PAIRS, melody=chroma)
    before = files(folder)
    (folder / "codes_00001.safetensors").unlink()

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workers, "encode_recordings", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_tokens(codec, entries, folder, PAIRS)
    write_tokens(codec, entries, folder, PAIRS)
    assert files(folder) == before
    assert not caplog.records
    write_tokens(codec, entries[:3], folder, PAIRS)
    assert "its melody layer does not fit this manifest" in caplog.text
    assert not list(folder.glob("melody*"))


def test_a_manifest_of_nothing_usable_is_refused(codec: EnCodec, entries: list[Entry], tmp_path: Path) -> None:
    moved = [entry.model_copy(update={"path": f"/elsewhere/{entry.id}.wav"}) for entry in entries]
    with pytest.raises(UserError, match=r"none of the 4 recordings is there .*/elsewhere/tone0\.wav"):
        write_tokens(codec, moved, tmp_path / "tokens")
    with pytest.raises(UserError, match="no recording of 4 could be used"):
        write_tokens(codec, entries, tmp_path / "tokens", TokenConfig(min_seconds=10))
    with pytest.raises(UserError, match="2 manifest entries have the id 'tone0'"):
        write_tokens(codec, [entries[0], entries[0]], tmp_path / "tokens")


def test_a_full_disk_leaves_a_cache_that_goes_on(
    codec: EnCodec, entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, save = tmp_path / "tokens", shards.save_file

    def full(tensors: object, path: Path, metadata: object) -> None:
        if "00001" in path.name:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(tensors, path, metadata=metadata)  # type: ignore[arg-type]

    monkeypatch.setattr(shards, "save_file", full)
    with pytest.raises(CadenzaError, match=r"codes_00001\.safetensors: No space left"):
        write_tokens(codec, entries, folder, PAIRS)
    assert {path.name for path in folder.iterdir()} == {"codes_00000.safetensors", "index.json"}
    monkeypatch.undo()
    write_tokens(codec, entries, folder, PAIRS)
    write_tokens(codec, entries, tmp_path / "whole", PAIRS)
    assert files(folder) == files(tmp_path / "whole")


def test_recordings_that_the_manifest_no_longer_has_are_gone(
    codec: EnCodec, entries: list[Entry], tmp_path: Path
) -> None:
    folder = tmp_path / "tokens"
    write_tokens(codec, entries, folder, PAIRS)
    write_tokens(codec, entries[:2], folder, PAIRS)
    write_tokens(codec, entries[:2], tmp_path / "fresh", PAIRS)
    assert files(folder) == files(tmp_path / "fresh")
