"""The page of the first model, made with a fake whose music is known."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.evaluate.instruments import InstrumentClassifier
from cadenza.evaluate.key import Key, parse_key
from cadenza.evaluate.tempo import Tempo
from cadenza.testing import noise

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("first_model", ROOT / "benchmarks" / "first_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["first_model"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


class Noise:
    """A model that knows only noise."""

    def generate(self, text: str, duration: float, seed: int) -> Audio:
        return noise(duration, level=0.05, seed=seed)


def perfect(script: ModuleType, prompt: object) -> object:
    """What would be measured in music that does all a prompt says."""
    tempo, key, instruments = prompt.tempo, prompt.key, prompt.instruments  # type: ignore[attr-defined]
    bpm = np.mean(tempo) if tempo is not None else 100.0
    heard_key = Key(0, key) if key in ("major", "minor") else None if key is None else parse_key(key)
    named = frozenset(choice.split("/")[-1] for choice in instruments)
    every = {name for p in script.PROMPTS for choice in p.instruments for name in choice.split("/")}
    probabilities = {name: float(name in named) for name in sorted(every)}
    return script.Heard(Tempo(float(bpm), 1.0), heard_key, probabilities, named, 10.0, -14.0, 1.0)


def test_prompts_ask_for_facts_that_can_be_measured(script: ModuleType) -> None:
    classifier = InstrumentClassifier.from_pretrained(ROOT / "benchmarks" / "instrument_classifier")
    assert len({prompt.text for prompt in script.PROMPTS}) == 24
    for prompt in script.PROMPTS:
        assert prompt.tempo or prompt.key or prompt.instruments
        assert prompt.key in (None, "major", "minor") or parse_key(prompt.key)
        for choice in prompt.instruments:
            assert set(choice.split("/")) & set(classifier.config.instruments), choice


def test_music_that_does_what_the_words_say_scores_one(script: ModuleType) -> None:
    pairs = [(prompt, perfect(script, prompt)) for prompt in script.PROMPTS]
    assert all(value == 1.0 for value in script.means(script.collect(pairs)).values())
    assert script.separation(script.PROMPTS, [heard for _, heard in pairs]) == 1.0
    assert all(script.is_good(*pair) == 1.0 for pair in pairs)


def test_scores_by_hand(script: ModuleType) -> None:
    prompt = script.Prompt("", 120.0, "C major", ("piano", "drums/percussion", "theremin"))
    heard = script.Heard(Tempo(60.0, 1.0), Key(7, "major"), {"piano": 0.9, "drums": 0.1, "percussion": 0.8},
                         frozenset({"percussion"}), 10.0, -14.0)  # fmt: skip
    found = {name: values for name, values in script.scores(prompt, heard).items() if values}
    assert found == {
        "tempo": [0.0], "tempo or its octave": [1.0], "tempo, octave or triple": [1.0], "key": [0.0],
        "key, MIREX": [0.5], "mode": [1.0], "instruments": [0.0, 1.0],
    }  # fmt: skip
    assert script.is_good(prompt, heard) == pytest.approx((1 + 0.5 + 0 + 1) / 4)


def test_page_lists_every_prompt_and_says_when_nothing_is_right(script: ModuleType, tmp_path: Path) -> None:
    classifier = InstrumentClassifier.from_pretrained(ROOT / "benchmarks" / "instrument_classifier").float()
    takes, heard = script.make(Noise(), classifier, 1.0, None)
    text, figures = script.page(heard, {}, {"model": "", "date": "2026-01-01"})
    assert all(f"| {number} | {prompt.text} |" in text for number, prompt in enumerate(script.PROMPTS, 1))
    assert figures["instruments"]["n"] == sum(len(prompt.instruments) for prompt in script.PROMPTS)
    assert figures["tempo"]["mean"] < 0.5
    script.draw(takes, tmp_path / "page.png")
    assert 10_000 < (tmp_path / "page.png").stat().st_size < 400_000


def test_interval_by_hand(script: ModuleType) -> None:
    assert script.interval([1.0] * 10) == pytest.approx((1 / (1 + 1.96**2 / 10), 1.0))  # Wilson 1927 where all succeed
    assert script.interval([1.0, 0.0]) == pytest.approx((0.0945, 0.9055), abs=1e-4)
