"""`recipes/listen_page.py`: held-out prompts with true clips beside them, one page that needs nothing else."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.clips import Asked
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.report.page import STYLE
from cadenza.serve.listening_config import read_config
from cadenza.testing import tiny_codec, tiny_listener
from filemap import ROOT
from measured_sets import tone


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("listen_page", ROOT / "recipes" / "listen_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(number: int, **facts: Any) -> dict[str, Any]:
    clip = {
        "id": f"{number}-00", "path": f"audio/{number}.flac", "duration": 3.0, "split": "test", "seed": number,
        "genre": ("jazz", "techno")[number % 2], "instruments": ["piano", "upright bass"], "moods": ["calm"],
        "tempo_bpm": 120.0, "key": "D minor", "meter": "4/4",
    }  # fmt: skip
    return clip | facts


def test_prompts_are_drawn_of_all_pieces_and_genres(recipe: ModuleType) -> None:
    rows = [row(number // 2) for number in range(40)]
    items = recipe.choose(rows, 9, 1)
    assert len({item.row["seed"] for item in items}) == 9
    assert [item.row["genre"] for item in items[:6]] in (["jazz", "techno"] * 3, ["techno", "jazz"] * 3)
    assert ["held-out" in item.source for item in items] == [True] * 6 + [False] * 3
    assert len({item.asked.text for item in items}) == 9
    assert items == recipe.choose(rows, 9, 1) != recipe.choose(rows, 9, 2)
    with pytest.raises(UserError, match="20 pieces for 30 prompts"):
        recipe.choose(rows, 30, 1)


def test_a_caption_asks_only_for_what_it_says(recipe: ModuleType) -> None:
    for seed in range(20):
        asked = recipe.told(row(1), np.random.default_rng(seed), "review").asked
        assert asked.tempo_bpm in (None, 120.0) and (asked.tempo_bpm is None or "120" in asked.text)
        assert asked.key in (None, "minor", "D minor") and asked.genre in (None, "techno")
        assert set(asked.instruments) <= {"piano", "upright bass"}


def test_the_nearest_true_piece(recipe: ModuleType) -> None:
    asked = Asked("", (100.0, 130.0), "minor", ("piano/organ", "harp"), "jazz")
    assert recipe.nearness(asked, row(2)) == 3 + 2 + 1 + 1
    assert recipe.nearness(asked, row(1, instruments=["tuba"], tempo_bpm=80.0, key="C major")) == 0
    assert recipe.nearness(Asked("", 118.0), row(2)) == 2


class Model:
    """A tone per seed."""

    def generate(self, text: list[str], duration: float, seed: list[int], **_: Any) -> list[Audio]:
        return [tone(200.0 + one % 50, duration, one, 32000) for one in seed]


def test_the_page_the_clips_and_the_listening_test(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, work, out = tmp_path / "corpus", tmp_path / "work", tmp_path / "docs"
    rows = [row(number) for number in range(5)]
    for one in rows:
        (corpus / "audio").mkdir(parents=True, exist_ok=True)
        tone(300.0 + one["seed"], 3.0, one["seed"]).write(corpus / one["path"])
    (corpus / "manifest.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    monkeypatch.setattr(recipe, "find_model", lambda name: tmp_path)
    monkeypatch.setattr(recipe, "weights_hash", lambda place: "w" * 64)
    monkeypatch.setattr(recipe, "load", lambda place: Model())
    monkeypatch.setattr(recipe, "load_codec", lambda name: tiny_codec())
    ear: Listener = tiny_listener()
    recipe.main([str(corpus), "--count", "3", "--seconds", "2", "--work", str(work), "--out", str(out)], ear)
    told = json.loads(capsys.readouterr().out)
    page = (out / "listen.html").read_text(encoding="utf-8")
    files = re.findall(r'src="(listen/[^"]+)"', page)
    assert len(files) == 3 * 3 * 2 and all((out / name).is_file() for name in files)
    assert told["bytes"] == sum(path.stat().st_size for path in (out / "listen").iterdir())
    assert "http" not in page.replace(STYLE.read_text(encoding="utf-8"), "") and page.count("<article") == 3
    for folder in ("takes", "truth", "codec"):
        assert sorted(path.stem for path in (work / folder).glob("*.flac")) == ["01", "02", "03"]
        assert (work / folder / "prompts.jsonl").read_bytes() == (work / "takes" / "prompts.jsonl").read_bytes()
    assert Audio.read(work / "truth" / "01.flac").duration_seconds == 2.0


def test_the_pairs_are_of_the_folders_that_the_page_leaves(recipe: ModuleType) -> None:
    config = read_config(ROOT / "recipes" / "listen_embedded.yaml")
    assert config.protocols == ("pairs",)
    folders = [folder for named in config.systems.values() for folder in named]
    assert [folder.name for folder in folders] == ["takes", "codec"]
    assert {folder.parent.resolve() for folder in folders} == {ROOT / "runs" / "listen"}
