"""Curves of a run: what stands in which panel, and a picture of it."""

import json
import sys
from pathlib import Path

import pytest

from cadenza.errors import UserError
from cadenza.train.curves import curve_panels, draw_curves

ROWS = [
    {"step": 2, "kind": "train", "seconds": 1.0, "ce": 3.0, "ce_q0": 2.0, "ce_q1": 4.0, "gradient_norm/lm": 0.5}
    | {"steps_per_second": 9.0, "learning_rate/lm": 1e-4},
    {"step": 2, "kind": "valid", "seconds": 2.0, "ce": 3.1, "ce_null": 3.2, "ppl": 20.0, "ce_q0": 2.1, "ce_q1": 4.1},
    {"step": 4, "kind": "train", "seconds": 3.0, "ce": 2.5, "ce_q0": 1.5, "ce_q1": 3.5, "learning_rate/lm": 2e-4},
]


def test_panels_of_a_language_model():
    panels = curve_panels(ROWS)
    assert list(panels) == ["ce", "ce per codebook", "gradient norm", "learning rate"]
    assert panels["ce"] == {"train": [(2, 3.0), (4, 2.5)], "valid": [(2, 3.1)], "valid, null": [(2, 3.2)]}
    assert list(panels["ce per codebook"]) == ["train 0", "train 1", "valid 0", "valid 1"]
    assert panels["learning rate"] == {"lm": [(2, 1e-4), (4, 2e-4)]}


def test_a_picture_is_drawn_over_the_last_one(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:1]) + '{"step": 4, "ki')
    first = draw_curves(tmp_path).read_bytes()
    assert first.startswith(b"\x89PNG")
    log.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert draw_curves(tmp_path).read_bytes() != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "log.jsonl"]


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match=r"no log\.jsonl in"):
        draw_curves(tmp_path)
    (tmp_path / "log.jsonl").write_text("")
    with pytest.raises(UserError, match="has no lines yet"):
        draw_curves(tmp_path)
    (tmp_path / "log.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"pip install cadenza\[train\]"):
        draw_curves(tmp_path)
