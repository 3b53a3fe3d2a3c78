"""The long-form benchmark, with a model whose music fades, or turns to another note with every prompt."""

import importlib
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.evaluate.drift import Segment
from cadenza.lm.generate import GenerationConfig
from cadenza.testing import tone

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("longform")
    for name in ("longform", "takes", "hum"):
        sys.modules.pop(name, None)


class Fading:
    """A tone that loses 6 dB a minute; it remembers what it was asked."""

    weights = "fade" * 16
    precision = "fp32"

    def __init__(self, melody_condition: str | None = None) -> None:
        generation = GenerationConfig(extend_stride=5.0)
        self.config = SimpleNamespace(
            name="fading", generation=generation, melody_condition=melody_condition, max_duration_seconds=10.0
        )
        self.asked: list[Any] = []

    def generate(
        self, text: Any, duration: float, seed: int, *, config: GenerationConfig, melody: Audio | None = None
    ) -> Audio:
        self.asked.append((text, duration, seed, config.extend_stride, melody))
        sound = tone(440.0, duration, level=0.5)
        gain = 10 ** (-6 * np.arange(sound.num_samples) / sound.sample_rate / 60 / 20)
        return Audio(sound.samples * gain, sound.sample_rate)


class Ear:
    """Hears everything as probable as not."""

    def instrument_probabilities(self, audio: Audio) -> dict[str, float]:
        return dict.fromkeys(("electric piano", "acoustic guitar"), 0.5)


def test_the_whole_run(script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Loudness falls by 6 LU a minute and nothing else moves; what is there is not made again."""
    model = Fading()
    arguments = ["--minutes", "1", "--prompts", "1", "--seeds", "2", "--variant-minutes", "0.9"]
    arguments += [
        "--compare",
        "extend_stride=8",
        "--independent",
        "4",
        "--takes",
        str(tmp_path),
        "--output",
        str(tmp_path / "docs"),
        "--resume",
    ]
    script.main(arguments, model, Ear())
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["trends"]["loudness_lufs"] == pytest.approx([-6.0] * 3, abs=0.05)
    assert figures["trends"]["brightness"] == pytest.approx([0.0] * 3, abs=0.01)
    assert figures["kinds"]["usual"]["pieces"] == 2
    assert figures["kinds"]["extend_stride 8"]["minutes"] == pytest.approx(5 / 6, abs=1e-3)  # whole segments of 54 s
    prompt = script.PROMPTS[0].text
    assert [asked[:4] for asked in model.asked] == [
        *[(prompt, 10.0, 1000 + i, 5.0) for i in range(4)],
        (prompt, 60.0, 1, 5.0),
        (prompt, 60.0, 2, 5.0),
        (prompt, 54.0, 1, 8.0),
        ([[0.0, prompt]], 60.0, 1, 5.0),
    ]
    text = (tmp_path / "docs" / "longform.md").read_text()
    assert re.search(r"^\| loudness, LU .*-6\.\d\d\) \*\*down\*\* \|.*\*\*down\*\* \|$", text, re.MULTILINE)
    assert re.search(r"^\| silence: [^*]*$", text, re.MULTILINE)
    assert 1000 < (tmp_path / "docs" / "longform.png").stat().st_size < 300_000
    case = script.Case(script.USUAL, script.PROMPTS[0], 2, 60.0)
    for seed, made in ((2, 8), (3, 9)):  # what is there, and what is not
        script.make(model, case._replace(seed=seed), model.config.generation, tmp_path / model.weights[:12], True)
        assert len(model.asked) == made


def piece(script: Any, kind: str, levels: list[float], follows: list[float] | None = None) -> Any:
    spectrum = np.zeros(64, np.float32)
    segments = [
        Segment(10.0 * i, level, 500.0, 0.0, 0.0, spectrum, np.eye(12)[0], 0.0) for i, level in enumerate(levels)
    ]
    return script.Piece(kind, script.PROMPTS[0], segments, [0.5] * len(levels), follows or [], 1.0, 2.0)


def alone(script: Any, level: float) -> Any:
    return {script.PROMPTS[0].text: script.Takes(script.PROMPTS[0], piece(script, "", [level] * 4).segments, [0.5] * 4)}


def test_only_what_all_pieces_do_is_a_trend(script: Any) -> None:
    """One piece that falls and one that rises are no drift."""
    up, down = [-20.0 + i for i in range(6)], [-15.0 - i for i in range(6)]
    takes = alone(script, -16.0)
    both = script.table_of_trends([piece(script, script.USUAL, up), piece(script, script.USUAL, down)], takes)
    assert "**" not in both[2]
    rising = script.table_of_trends(
        [piece(script, script.USUAL, up), piece(script, script.USUAL, [*up[1:], -14.0])], takes
    )
    assert rising[2].count("**up**") == 1


def test_what_changed_early_is_away_from_takes(script: Any) -> None:
    """No slope to speak of, and 5 LU below what takes are."""
    pieces = [piece(script, script.USUAL, [-16.0, *([-21.0 - i / 100] * 23)]) for i in range(4)]
    found = script.away(pieces, alone(script, -16.0), "loudness_lufs")
    assert found.mean == pytest.approx(-5.0, abs=0.02)
    assert found.excludes_zero
    assert script.table_of_trends(pieces, alone(script, -16.0))[2].endswith("**down** |")


def test_first_and_last_minute(script: Any) -> None:
    whole = piece(script, script.USUAL, [-20.0] * 6 + [-10.0] * 12 + [-18.0] * 6)
    assert script.edges(whole, "loudness_lufs") == (-20.0, -18.0)


def test_a_tune_is_asked_for_only_where_it_is_heard(script: Any) -> None:
    options = SimpleNamespace(minutes=5.0, variant_minutes=1.0, seeds=1, compare=[])
    assert {case.kind for case in script.cases(options, script.PROMPTS[:1], False)} == {script.USUAL}
    case = script.cases(options, script.PROMPTS[:1], True)[-1]
    assert case.kind == script.TUNE
    assert case.tune.duration_seconds == 60.0
    rate = 10 * case.tune.sample_rate
    assert np.array_equal(case.tune.samples[:, :rate], case.tune.samples[:, rate : 2 * rate])


def test_the_page_shows_tunes_and_timelines(script: Any) -> None:
    takes = alone(script, -16.0)
    pieces = [piece(script, script.USUAL, [-16.0] * 6)] * 2 + [piece(script, script.TUNE, [-16.0] * 6, [0.4] * 6)]
    stretches = [script.Stretch(script.PROMPTS[0], (0.9, 0.1)), script.Stretch(script.PROMPTS[1], (0.2, 0.8))]
    text, figures = script.page(pieces, takes, stretches, {"model": "fake"})
    assert "chroma similarity 0.40" in text
    assert "| **0.90** | 0.10 |" in text
    assert figures["follows"] == [0.4]


@pytest.mark.parametrize(
    "arguments",
    [["--minutes", "0.5"], ["--prompts", "9"], ["--independent", "3"], ["--compare", "loudness=3"]],
    ids=" ".join,
)
def test_what_cannot_be_measured_is_refused(script: Any, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        script.main(arguments, Fading())
