"""Batches of equal length within bounds, read in time, the same whoever asks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cadenza.codec.base import Codes
from cadenza.codec.encodec import EnCodec
from cadenza.data.coding import TokenConfig, encode_recordings, plan_batches
from cadenza.data.manifest import Entry
from train.tiny import CODEC, RATE


def entry(name: str, seconds: float, folder: str = "") -> Entry:
    return Entry(path=f"{folder}{name}.wav", duration=seconds, sample_rate=RATE, id=name)


def test_equal_lengths_together_and_never_more_sound_than_allowed() -> None:
    entries = [entry("a", 10), entry("b", 4), entry("c", 10), entry("d", 10), entry("e", 60), entry("f", 10)]

    def ids(config: TokenConfig) -> list[str]:
        return ["".join(one.id for one in batch) for batch in plan_batches(entries, config)]

    assert ids(TokenConfig(batch_seconds=30)) == ["acd", "f", "b", "e"]
    assert ids(TokenConfig(batch_seconds=1)) == ["a", "c", "d", "f", "b", "e"]
    assert ids(TokenConfig(batch_seconds=30, first_seconds=5)) == ["acdef", "b"]


def test_lengths_that_the_manifest_tells_wrong_are_coded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    codec = EnCodec(CODEC).eval()
    shapes = []

    def encode(audio: torch.Tensor) -> Codes:
        shapes.append(tuple(audio.shape))
        return EnCodec.encode(codec, audio)

    monkeypatch.setattr(codec, "encode", encode)
    for name, count in (("a", 2000), ("b", 1000), ("c", 2000)):
        soundfile.write(tmp_path / f"{name}.wav", np.sin(np.arange(count) / 9) / 2, RATE)
    done: list[int] = []
    entries = [entry(name, 0.5, f"{tmp_path}/") for name in "abc"]
    codes, skipped = encode_recordings(codec, entries, TokenConfig(), done.append)
    assert not skipped
    assert {name: row.shape[1] for name, row in codes.items()} == {"a": 100, "b": 50, "c": 100}
    assert shapes == [(2, 1, 2000), (1, 1, 1000)]
    assert done == [3]


@pytest.mark.parametrize(("size", "kind"), [(2**15, torch.int16), (2**15 + 1, torch.int32)])
def test_every_code_has_room(size: int, kind: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = EnCodec(CODEC.model_copy(update={"codebook_size": size})).eval()
    highest = torch.full((1, 2, 50), size - 1)
    monkeypatch.setattr(codec, "encode", lambda audio: Codes(highest))
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(1000) / 9) / 2, RATE)
    codes, _ = encode_recordings(codec, [entry("a", 0.25, f"{tmp_path}/")], TokenConfig())
    assert codes["a"].dtype == kind
    assert int(codes["a"].min()) == size - 1
