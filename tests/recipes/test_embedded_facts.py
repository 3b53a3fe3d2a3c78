"""The card of a model says what its run shows, all of it, and nothing else."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from embedded_facts import facts
from filemap import ROOT

CARD = (ROOT / "recipes" / "embedded_card.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ship() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ship_embedded", ROOT / "recipes" / "ship_embedded.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write(path: Path, *rows: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    row = {"duration": 1800.0, "seed": 20_000_003, "genre": "folk", "instruments": ["banjo"], "composer": 2}
    _write(tmp_path / "corpus" / "manifest.jsonl", row, row | {"genre": "solo", "instruments": ["harp", "banjo"]})
    _write(tmp_path / "heldout" / "manifest.jsonl", row)
    for name, objective, minutes in (("reader", {}, 0.2), ("lm-whole", {"window_seconds": 10.0}, 35.6)):
        config = {"steps": 1300, "batch_size": 6, "accumulation": 1, "objective": objective}
        _write(tmp_path / name / "config.json", config)
        _write(tmp_path / "stages" / f"{name}.json", {"minutes": minutes, "done": True})
    valid = {"kind": "valid", "ce": 4.0, "ce_text": 4.1, "ce_null": 4.2}
    _write(tmp_path / "lm-whole" / "log.jsonl", valid | {"ce": 5.0}, {"kind": "train", "ce": 3.0}, valid)
    return tmp_path


def test_what_the_folder_shows(run: Path) -> None:
    found = facts(run, ["reader", "codec-begin", "lm-whole"], "cpu", None)
    assert (found["hours"], found["heldout_hours"], found["clips"], found["pieces"]) == ("1.0", "0.5", "2", "1")
    assert (found["genres"], found["instruments"], found["composer"], found["seeds"]) == ("1", "2", "2", "20")
    assert found["training"].splitlines() == [
        "| reader | 1,300 updates of 6 captions | less than 1 |",
        "| lm-whole | 1,300 updates of 6 x 10 s | 36 |",
    ]
    assert found["validation"].startswith("4.00 with all that it can be told, 4.10 with the text alone")
    assert facts(run, ["reader"], "cpu", "embedded")["validation"] == "not measured"


def test_the_card_is_full_with_them(run: Path, ship: ModuleType) -> None:
    found = facts(run, ["reader", "lm-whole"], "cpu", "embedded")
    (run / "facts.json").write_text(json.dumps(found))
    card = ship.filled(CARD, run / "facts.json", needed=True)
    assert set(re.findall(r"\{(\w+)\}", CARD)) == set(found)
    assert not re.search(r"\{\w+\}", card)
    assert "1.0 hours of music: 2 clips" in card


def test_nothing_is_shipped_with_gaps_in_its_card(ship: ModuleType) -> None:
    assert ship.filled(CARD, None, needed=False) == CARD
    with pytest.raises(SystemExit, match="does not say yet: begun, clips"):
        ship.filled(CARD, None, needed=True)
