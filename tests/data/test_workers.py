"""Any number of workers writes the same bytes, and a process that is killed leaves nothing but work undone."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from cadenza.codec.encodec import EnCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.data.coding import TokenConfig
from cadenza.data.manifest import Entry, read_manifest
from cadenza.data.texts import TextForm, Texts
from cadenza.data.writing import write_tokens
from cadenza.errors import CadenzaError
from cadenza.testing import tiny_text_encoder
from data.folders import files
from train.tiny import write_audio, write_codec

ONE_EACH = TokenConfig(shard_items=1)
WRITE = """
import sys
from cadenza.codec.encodec import EnCodec
from cadenza.data.coding import TokenConfig
from cadenza.data.manifest import read_manifest
from cadenza.data.writing import write_tokens

if __name__ == "__main__":
    codec, data, out, workers = sys.argv[1:]
    entries = read_manifest(data)
    write_tokens(EnCodec.from_pretrained(codec), entries, out, TokenConfig(shard_items=1), workers=int(workers))
"""


@pytest.fixture
def codec(tmp_path: Path) -> EnCodec:
    return EnCodec.from_pretrained(write_codec(tmp_path / "codec"))


def killed_halfway(tmp_path: Path, workers: int) -> list[Entry]:
    """Begin to write a cache in another program, and end it so that it cannot do anything about it."""
    entries = read_manifest(write_audio(tmp_path / "audio", count=60, seconds=0.4))
    (tmp_path / "write.py").write_text(WRITE)
    arguments = [tmp_path / "codec", tmp_path / "audio", tmp_path / "tokens", str(workers)]
    process = subprocess.Popen([sys.executable, tmp_path / "write.py", *arguments])
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "tokens").glob("codes_*"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.wait()
    return entries


def test_kill_9_and_again(codec: EnCodec, tmp_path: Path) -> None:
    entries = killed_halfway(tmp_path, 1)
    assert 3 <= len(list((tmp_path / "tokens").glob("codes_*"))) < 60
    seen: list[int] = []
    write_tokens(codec, entries, tmp_path / "tokens", ONE_EACH, on_progress=lambda done, total: seen.append(done))
    assert 3 <= seen[0] < 60
    write_tokens(codec, entries, tmp_path / "whole", ONE_EACH)
    assert files(tmp_path / "tokens") == files(tmp_path / "whole")


@pytest.mark.slow
def test_workers_end_with_their_parent(codec: EnCodec, tmp_path: Path) -> None:
    entries = killed_halfway(tmp_path, 2)
    before, deadline = -1, time.monotonic() + 30
    while (now := len(list((tmp_path / "tokens").iterdir()))) != before:
        assert time.monotonic() < deadline
        before = now
        time.sleep(2)
    assert before < 60
    write_tokens(codec, entries, tmp_path / "tokens", ONE_EACH)
    write_tokens(codec, entries, tmp_path / "whole", ONE_EACH)
    assert files(tmp_path / "tokens") == files(tmp_path / "whole")


@pytest.mark.slow
def test_a_pool_writes_the_same_bytes(codec: EnCodec, tmp_path: Path) -> None:
    entries = read_manifest(write_audio(tmp_path / "audio", count=7))
    (tmp_path / "audio" / "tone3.wav").write_bytes(b"RIFF")
    layers = {
        "melody": ChromaConfig(sample_rate=4000, n_fft=1024, hop=256, stems="none"),
        "texts": Texts(tiny_text_encoder(), TextForm(word_dropout=0.3)),
    }
    seen: list[int] = []
    for workers in (1, 2):
        written = write_tokens(
            codec,
            entries,
            tmp_path / str(workers),
            TokenConfig(shard_items=3),
            workers=workers,
            on_progress=lambda done, total: seen.append(done),
            **layers,  # type: ignore[arg-type]
        )
        assert list(written.skipped) == ["tone3"]
        assert seen[-1] == 7
    assert files(tmp_path / "1") == files(tmp_path / "2")


@pytest.mark.slow
def test_a_worker_that_dies_is_one_line(codec: EnCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = read_manifest(write_audio(tmp_path / "audio"))
    monkeypatch.setattr("cadenza.data.workers._make", _die)
    with pytest.raises(CadenzaError, match="a worker was ended by the system"):
        write_tokens(codec, entries, tmp_path / "tokens", ONE_EACH, workers=2)


def _die(part: object) -> None:
    import os

    os._exit(9)
