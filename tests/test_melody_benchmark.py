"""The melody benchmark, with models whose answer is known: they play the tune, or whatever they like."""

import importlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.testing import tiny_musicgen, tone

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = ("melody", "hum", "takes")


@pytest.fixture(scope="module")
def script() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("melody")
    for name in NAMES:
        sys.modules.pop(name, None)


class Fake:
    """Plays the tune for seeds up to `obedient`; for later ones, and without a tune, a held A."""

    weights = "fake" * 16

    def __init__(self, obedient: int) -> None:
        self.obedient, self.calls = obedient, 0

    def generate(self, text: str, duration: float, seed: int, *, melody: Audio | None = None) -> Audio:
        self.calls += 1
        return tone(440.0, duration) if melody is None or seed > self.obedient else melody


@pytest.fixture(scope="module")
def rows(script: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three tunes of which the first two are played."""
    return script.make(Fake(2), 3, 10.0, lambda audio: audio, tmp_path_factory.mktemp("takes"), resume=False)


def test_tunes_are_hummed_as_written(script: Any) -> None:
    """The strongest class in the middle of every long note is that of the note; no two tunes are alike."""
    from cadenza.evaluate.chroma import measure_chroma

    found = script.tunes(3)
    assert found == script.tunes(4)[:3]
    assert len({tune.seed for tune in found}) == 3
    assert min(tune.seed for tune in found) >= 90_000_000  # corpora are built from 0 to 11, a million pieces each
    long = 0
    for tune in found:
        sound = script.hum(tune)
        assert np.abs(sound.samples).max() < 1.0
        assert 8.0 <= sound.duration_seconds <= 10.0
        assert sound.duration_seconds == pytest.approx(tune.seconds)
        assert all(a.end <= b.start + 1e-9 for a, b in zip(tune.notes, tune.notes[1:], strict=False))
        strongest = measure_chroma(sound).frames.argmax(axis=1)
        for note in tune.notes:
            if note.end - note.start > 0.35:  # shorter ones share their window with others
                long += 1
                assert strongest[round((note.start + note.end) / 2 * 32000 / 4096)] == note.pitch % 12
    assert long > 10


def test_pieces_without_a_tune_are_passed_over(script: Any) -> None:
    from cadenza.corpus.compose import compose

    scores = [compose(90_000_000 + index, 22.0) for index in range(6)]
    without = [score for score in scores if not any(part.role == "melody" for part in score.parts)]
    assert without
    assert all(sys.modules["hum"].lead_line(score) is None for score in without)


@pytest.mark.parametrize("one_hot", [True, False])
def test_who_plays_the_tune_gains_and_who_does_not_does_not(script: Any, rows: Any, one_hot: bool) -> None:
    with_tune = [row.similarity("with_tune", one_hot) for row in rows]
    assert min(with_tune[:2]) > 0.98  # once through a 16-bit file
    assert with_tune[2] == rows[2].similarity("without", one_hot) < 0.6
    found = script.figures(rows, one_hot)
    assert found.followed == pytest.approx(2 / 3)
    assert found.gain.mean == pytest.approx(found.with_tune.mean - found.without.mean)
    assert found.ceiling.mean == pytest.approx(1.0)
    assert found.floor < 0.4  # other tunes agree by chance


def test_page_and_picture(script: Any, rows: Any, tmp_path: Path) -> None:
    found = script.report(rows, {"model": "fake"}, 10.0, tmp_path)
    hard = script.figures(rows, True)
    json.dumps(found)
    assert found["tunes"] == 3
    assert found["strongest"]["gain"][0] == pytest.approx(hard.gain.mean, abs=1e-3)
    text = (tmp_path / "melody.md").read_text()
    table = re.findall(r"^\| \d+ \|.*$", text, re.MULTILINE)
    assert len(table) == 3
    assert table[2].count("+0.00") == 2
    assert f"**{hard.gain:.2f}**" in text
    assert 1000 < (tmp_path / "melody.png").stat().st_size < 300_000


def test_the_verdict_takes_both_the_mean_and_the_interval(script: Any, rows: Any) -> None:
    deaf = [replace(row, with_tune=row.without) for row in rows]
    obedient = [replace(row, with_tune=row.heard) for row in rows]
    unsure = [*obedient[:2], deaf[2]]  # a large mean, and an interval that holds zero
    assert script.figures(unsure, True).gain.mean > script.LEAST_GAIN
    for group, reached in ((deaf, False), (obedient, True), (unsure, False)):
        text, found = script.page(group, {}, 10.0)
        assert found["reached"] is reached
        assert ("**reached**" in text) is reached


def test_takes_that_are_there_are_kept(script: Any, tmp_path: Path) -> None:
    model = Fake(2)

    def make(duration: float, resume: bool) -> Any:
        return script.make(model, 1, duration, lambda audio: audio, tmp_path, resume)[0]

    first = make(10.0, True)
    assert model.calls == 2
    again = make(10.0, True)
    assert model.calls == 2
    assert again.seconds == first.seconds
    assert again.similarity("with_tune", True) == first.similarity("with_tune", True)
    make(9.0, True)  # another question, other takes
    assert model.calls == 4
    make(9.0, False)
    assert model.calls == 6


def test_there_is_a_prompt_for_every_tune(script: Any) -> None:
    assert len(script.PROMPTS) == len(set(script.PROMPTS)) == 50


def test_a_model_that_hears_no_melody_is_refused(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deaf = SimpleNamespace(config=SimpleNamespace(name="deaf", melody_condition=None))
    monkeypatch.setattr(script.cadenza, "load", lambda name: deaf)
    monkeypatch.setattr(sys, "argv", ["melody.py", "--model", "deaf"])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    assert "deaf cannot follow a melody" in capsys.readouterr().err


def test_the_whole_run_on_a_tiny_model(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Random weights know no tune; that nothing is in the way is what is tested."""
    tiny_musicgen(melody=True).save_pretrained(tmp_path / "model")
    arguments = ["melody.py", "--model", str(tmp_path / "model"), "--limit", "2", "--duration", "1"]
    arguments += ["--takes", str(tmp_path / "takes"), "--output", str(tmp_path / "docs")]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    script.main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["tunes"] == 2
    assert 0.0 <= found["strongest"]["with_tune"][0] <= 1.0
    assert len(list((tmp_path / "takes").glob("*/*.flac"))) == 4
