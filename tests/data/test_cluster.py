"""A Ray cluster writes the bytes that one process writes."""

import sys
from pathlib import Path

import pytest

from cadenza.codec.encodec import EnCodec
from cadenza.data import cluster
from cadenza.data.cluster import LOCAL
from cadenza.data.coding import TokenConfig
from cadenza.data.manifest import read_manifest
from cadenza.data.shards import Part
from cadenza.data.texts import TextForm, Texts
from cadenza.data.workers import Made
from cadenza.data.writing import write_tokens
from cadenza.errors import CadenzaError, UserError
from cadenza.testing import tiny_text_encoder
from data.folders import files
from train.tiny import write_audio, write_codec


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    codec = EnCodec.from_pretrained(write_codec(tmp_path / "codec"))
    entries = read_manifest(write_audio(tmp_path / "audio"))
    with pytest.raises(UserError, match=r"pip install cadenza\[cluster\]"):
        write_tokens(codec, entries, tmp_path / "tokens", cluster=LOCAL)


def test_what_goes_wrong_on_a_worker_is_the_same_one_line_here(tmp_path: Path) -> None:
    entries = tuple(read_manifest(write_audio(tmp_path / "audio")))
    actor = object.__new__(cluster.PartActor)  # without the models
    for error in (UserError("use --text ids"), CadenzaError("cannot write x: No space left on device")):

        class Failing:
            def make(self, part: Part, error: CadenzaError = error) -> Made:
                assert part.entries == entries
                raise error

        actor._maker = Failing()  # type: ignore[assignment]
        (answer,) = actor({"part": [cluster._to_text(Part(0, entries))]})["answer"]
        with pytest.raises(CadenzaError) as caught:
            cluster._made(answer)
        assert type(caught.value) is type(error) and str(caught.value) == str(error)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")  # Ray sets its own old names
def test_a_cluster_writes_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    codec = EnCodec.from_pretrained(write_codec(tmp_path / "codec"))
    entries = read_manifest(write_audio(tmp_path / "audio", count=7))
    (tmp_path / "audio" / "tone3.wav").write_bytes(b"RIFF")
    texts, config = Texts(tiny_text_encoder(), TextForm(word_dropout=0.3)), TokenConfig(shard_items=3)
    seen: list[int] = []
    for address in (None, LOCAL):
        written = write_tokens(
            codec,
            entries,
            tmp_path / str(address),
            config,
            texts=texts,
            cluster=address,
            on_progress=lambda done, total: seen.append(done),
        )
        assert list(written.skipped) == ["tone3"]
        assert seen[-1] == 7
    assert files(tmp_path / "None") == files(tmp_path / LOCAL)
