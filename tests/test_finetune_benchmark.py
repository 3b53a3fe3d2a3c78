"""The benchmark of fine-tuning on a tiny model and tones: what it composes, judges and says."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.lm.adapter import AdapterConfig, adapter_of, attach
from cadenza.loading import find_model
from cadenza.pipelines.musicgen import MusicGen
from train.finetuning import write_model, write_tracks

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("finetune")
    for name in ("finetune", "styles", "machine"):
        sys.modules.pop(name, None)


def test_styles_are_played_by_their_own_line_up_within_its_ranges(script: Any) -> None:
    styles = sys.modules["styles"]
    style = styles.STYLES["bagpipe-waltz"]
    first, second = (score for score, _ in zip(styles.scores(style, 12.0), range(2), strict=False))
    assert first.seed != second.seed
    assert min(first.seed, second.seed) >= 60_000_000  # corpora are built from 0 to 11, a million pieces each
    for part in (*first.parts, *second.parts):
        assert first.genre == "waltz"
        assert part.instrument == style.players.get(part.role, part.instrument)
        if part.role in style.players:
            instrument = INSTRUMENTS[part.instrument]
            assert all(instrument.low <= note.pitch <= instrument.high for note in part.notes)
    assert styles.caption(style, first).startswith("a waltz for bagpipes and banjo, ")


def test_changes_by_hand(script: Any) -> None:
    found = script.compare([(4.0, 2.0), (4.0, 2.0)], [(3.0, 2.0), (2.0, 2.0)])
    assert (found["before"], found["after"]) == (3.0, 2.25)
    assert found["change"] == {"mean": -0.75, "low": -1.0, "high": -0.5}
    assert found["change_by_codebook"] == [-1.5, 0.0]


def test_from_tracks_to_a_table(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The adapter that the command would make is one that was drawn; composing writes tones."""
    model = write_model(tmp_path / "model")
    music = MusicGen.from_pretrained(find_model(model), "cpu", "fp32")
    branches = attach(music.lm, AdapterConfig(rank=2))
    with torch.no_grad():
        for branch in branches.by_name().values():
            branch.up.normal_(generator=torch.Generator().manual_seed(0))

    def write_style(style: Any, folder: Path, count: int, seconds: float, first: int = 0) -> None:
        write_tracks(folder, 2, seconds=1.5)
        for path in folder.glob("*.wav"):
            path.with_suffix(".txt").write_text("a tone\n")
            path.rename(path.with_suffix(".flac"))  # what reads it looks inside

    def command(tracks: Path, *_: object) -> tuple[float, dict[str, Any], Path]:
        adapter_of(branches, AdapterConfig(rank=2)).save(tmp_path / "adapter.safetensors")
        facts = {
            "plan": {},
            "step": 3,
            "steps_made": 4,
            "stopped": "",
            "peak_memory_bytes": 1,
            "seconds": {"training": 1},
        }
        facts |= {"before": {"memorization": None}, "after": {"memorization": None}}
        return 90.0, facts, tmp_path / "adapter.safetensors"

    monkeypatch.setattr(script, "write_tracks", write_style)
    monkeypatch.setattr(script, "run_command", command)
    assert script.main(["--model", str(model), "--styles", "synth-baroque", "--folder", str(tmp_path / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    record = json.loads(lines[-1])
    (row,) = record["styles"]
    assert row["name"] == "synth-baroque"
    assert row["style"] == row["control"]  # the same tones stand for both
    assert row["style"]["change"]["mean"] != 0
    assert row["reached"] is False  # what helps the one helps the other, or harms both
    assert lines[2].startswith("| synth-baroque | 3 of 4 | 1.5 min |")
    assert lines[2].endswith("| missed |")
