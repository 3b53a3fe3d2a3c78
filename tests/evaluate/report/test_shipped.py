"""True music to ship: halves that share no piece, clips that nobody picked, files that stay small."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cadenza.errors import UserError
from cadenza.evaluate.clips import Clip, ClipSet
from cadenza.evaluate.measurements import Measurements
from cadenza.evaluate.report import shipped
from cadenza.evaluate.report.shipped import at_most, compact, half_of, load_shipped
from measured_sets import measured_set


@pytest.fixture
def clips() -> ClipSet:
    names = [(f"{piece}-{part}", str(piece)) for piece in range(40) for part in range(3)]
    return ClipSet("set", tuple(Clip(name, Path(f"{name}.flac"), piece) for name, piece in names))


def test_halves_are_whole_and_share_no_piece(clips: ClipSet) -> None:
    a, b = half_of(clips, "a"), half_of(clips, "b")
    assert len(a) + len(b) == len(clips) and min(len(a), len(b)) > len(clips) / 4
    assert not {clip.piece for clip in a.clips} & {clip.piece for clip in b.clips}
    assert half_of(clips, "a") == a


def test_an_empty_half_is_refused(clips: ClipSet) -> None:
    one = replace(clips, clips=clips.clips[:3])
    with pytest.raises(UserError, match="give more than one piece"):
        (half_of(one, "a"), half_of(one, "b"))


def test_pieces_come_before_second_clips(clips: ClipSet) -> None:
    kept = at_most(clips, 40)
    assert len({clip.piece for clip in kept.clips}) == len(kept) == 40
    assert [clip for clip in clips.clips if clip in kept.clips] == list(kept.clips)  # in their order
    assert len(at_most(clips, 50)) == 50 and at_most(clips, 1000) == clips
    shuffled = replace(clips, clips=clips.clips[::-1])
    assert {clip.id for clip in at_most(shuffled, 40).clips} == {clip.id for clip in kept.clips}


def test_compact_sets_are_half_as_large_and_hardly_other(tmp_path: Path) -> None:
    whole = measured_set("set", 30)
    whole.save(tmp_path / "whole.safetensors")
    small = compact(whole)
    small.save(tmp_path / "small.safetensors", half=True)
    assert (tmp_path / "small.safetensors").stat().st_size < (tmp_path / "whole.safetensors").stat().st_size
    again = Measurements.load(tmp_path / "small.safetensors")
    assert not again.clips[0].record and again.clips[0].heard.tempo == whole.clips[0].heard.tempo
    for a, b in zip(again.embeddings["mel"].windows, whole.embeddings["mel"].windows, strict=True):
        assert a.dtype == np.float32 and np.allclose(a, b, rtol=1e-3)  # 11 bits of mantissa


def test_what_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "ASSETS", tmp_path)
    with pytest.raises(UserError, match=r"no measured true music \(truth\.safetensors\)"):
        load_shipped("truth")
    measured_set("t").save(tmp_path / "truth.safetensors")
    assert load_shipped("truth").name == "t"
