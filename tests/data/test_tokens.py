"""Windows of a token cache: known content, known chances, the same at every call."""

from pathlib import Path

import pytest
import torch

from cadenza.codec.encodec import EnCodec
from cadenza.data.manifest import read_manifest
from cadenza.data.tokens import CodedItem, FixedWindows, RandomWindows, TokenCache
from cadenza.data.writing import write_tokens
from cadenza.errors import UserError
from train.tiny import write_audio, write_codec


@pytest.fixture
def codec(tmp_path: Path) -> EnCodec:
    return EnCodec.from_pretrained(write_codec(tmp_path / "codec"))


def item(name: str, frames: int, *captions: str, **fields: object) -> CodedItem:
    """Code of frame `t` is `t` in the first codebook and `t + 100` in the second."""
    line = torch.arange(frames, dtype=torch.int16)
    return CodedItem(name, "train", captions, torch.stack([line, line + 100]), **fields)  # type: ignore[arg-type]


def shares(source: RandomWindows) -> list[float]:
    """How often each of the items a, b, c is drawn."""
    ids = source.batch(0)["ids"]
    return [sum(name == wanted for name in ids) / len(ids) for wanted in "abc"]


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


def test_recordings_are_drawn_by_length_or_evenly_and_by_weight():
    items = [item("a", 10), item("b", 30), item("c", 60)]
    heavy = [item("a", 10, weight=6.0), item("b", 30), item("c", 60, weight=0.0)]
    # 1000 draws: one standard deviation is 0.016 at most
    assert shares(RandomWindows(items, 5, 1000, 0)) == pytest.approx([0.1, 0.3, 0.6], abs=0.07)
    assert shares(RandomWindows(items, 5, 1000, 0, sampling="file")) == pytest.approx([1 / 3] * 3, abs=0.07)
    assert shares(RandomWindows(heavy, 5, 1000, 0)) == pytest.approx([2 / 3, 1 / 3, 0], abs=0.07)
    assert shares(RandomWindows(heavy, 5, 1000, 0, sampling="file")) == pytest.approx([6 / 7, 1 / 7, 0], abs=0.07)
    with pytest.raises(UserError, match="all 0"):
        RandomWindows([item("a", 10, weight=0.0)], 5, 1, 0)


def test_windows_may_reach_beyond_the_end_as_far_as_they_are_told():
    batch = RandomWindows([item("a", 12)], 10, 300, seed=0, min_segment_ratio=0.5).batch(0)
    starts, frames = batch["codes"][:, 0, 0], batch["frames"]
    assert set(starts.tolist()) == set(range(8))  # type: ignore[union-attr]
    assert frames.tolist() == [min(10, 12 - start) for start in starts.tolist()]  # type: ignore[union-attr]
    assert int(frames.min()) == 5  # type: ignore[union-attr, arg-type]
    with pytest.raises(UserError, match="min_segment_ratio is 0"):
        RandomWindows([item("a", 12)], 10, 1, 0, min_segment_ratio=0)


def test_states_follow_the_drawn_caption():
    texts = {"x": torch.full((3, 4), 1.0, dtype=torch.float16), "y": torch.full((1, 4), 2.0, dtype=torch.float16)}
    items = [item("a", 50, "x", "y", text=tuple(texts.values())), item("b", 50, text=(torch.zeros(0, 4).half(),))]
    batch = RandomWindows(items, 10, 64, seed=3).batch(0)
    text, lengths = batch["text"], batch["text_length"]
    assert isinstance(text, torch.Tensor)
    assert text.shape == (64, 3, 4)
    assert text.dtype == torch.float32
    assert set(batch["captions"]) == {"x", "y", ""}
    for row, length, caption in zip(text, lengths, batch["captions"], strict=True):
        expected = texts[caption].float() if caption else torch.zeros(0, 4)
        assert torch.equal(row[: int(length)], expected)
        assert not row[int(length) :].any()
    ids = item("a", 50, "x", text=(torch.tensor([7, 1], dtype=torch.int32),))
    assert FixedWindows([ids], 10, 1).batch(0)["text_ids"].tolist() == [[7, 1]]  # type: ignore[union-attr]
