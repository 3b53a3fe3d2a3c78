"""Windows: those of the reference, and every code once."""

import json
from typing import Any

import pytest

from cadenza.errors import UserError
from cadenza.jukebox.lyrics import lyric_window
from cadenza.jukebox.windows import hop_of, plan_windows
from jukebox_priors import PARITY

FOUND = json.loads((PARITY / "jukebox_windows.json").read_text())


@pytest.mark.parametrize("entry", FOUND["starts"], ids=lambda entry: f"{entry['total_tokens']}-{entry['hop']}")
def test_starts_are_those_of_the_reference(entry: dict[str, Any]) -> None:
    windows = plan_windows(entry["total_tokens"], entry["n_ctx"], entry["hop"], skip_written=False)
    assert [window.start for window in windows] == entry["starts"]


@pytest.mark.parametrize("entry", FOUND["windows"], ids=lambda entry: entry["name"])
def test_windows_are_those_of_the_reference(entry: dict[str, Any]) -> None:
    total, context, given = entry["total_tokens"], entry["n_ctx"], entry["prompt_tokens"]
    hop = hop_of(entry["hop_fraction"], context)
    assert hop == entry["hop"]
    is_upsampler = entry["level"] < 2
    stride = 4 if is_upsampler else 1
    if entry.get("refused"):
        with pytest.raises(UserError, match="a window at code 819 does not begin with a code of the level above"):
            plan_windows(total, context, hop, given, stride)
        return
    if entry["tokens_at_end"] != total:  # the original writes more than was asked for; here the length is kept
        assert plan_windows(total, context, hop, given, stride) == [(0, given, total)]
        return
    windows = plan_windows(total, context, hop, given, stride, skip_written=False)
    duration = context * entry["raw_to_tokens"]
    assert len(windows) == len(entry["windows"])
    for window, expected in zip(windows, entry["windows"], strict=True):
        assert (window.start, window.end) == (expected["start"], expected["end"])
        assert (window.begin - window.start, window.num_new) == (expected["context"], expected["new"])
        if expected.get("skipped"):
            continue
        offset = entry["label_offset"] + window.start * entry["raw_to_tokens"]
        assert (offset, duration) == (expected["y_offset"], expected["y_sample_length"])
        if "upper" in expected:
            assert [window.start // 4, window.start // 4 + context // 4] == expected["upper"]
        if entry["n_lyric_tokens"]:
            heard = lyric_window(
                entry["lyric_characters"],
                entry["n_lyric_tokens"],
                entry["label_total_length"],
                offset,
                duration,
            )
            assert heard == (expected["lyric_pads"], expected["lyric_from"], expected["lyric_to"])
    written = plan_windows(total, context, hop, given, stride)
    assert written == [window for window in windows if window.num_new]


@pytest.mark.parametrize("given", [0, 1, 30, 64, 99, 100])
@pytest.mark.parametrize("hop", [1, 8, 63, 64])
def test_every_code_is_written_once(given: int, hop: int) -> None:
    done = given
    for window in plan_windows(100, 64, hop, given):
        assert (window.begin, window.end - window.start) == (done, 64)
        done = window.end
    assert done == 100


def test_hops_that_do_not_fit_are_refused() -> None:
    for hop in (0, 65):
        with pytest.raises(UserError, match=f"a hop of {hop} codes does not fit a context of 64"):
            plan_windows(100, 64, hop)
