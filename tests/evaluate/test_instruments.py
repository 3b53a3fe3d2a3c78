"""The instrument classifier: its file, its metrics, and what does not change its verdict."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.instruments import InstrumentClassifier, InstrumentClassifierConfig
from cadenza.testing import noise, tone

DIRECTORY = Path(__file__).parents[2] / "benchmarks" / "instrument_classifier"


@pytest.fixture(scope="module")
def classifier() -> InstrumentClassifier:
    return InstrumentClassifier.from_pretrained(DIRECTORY).float()


def test_shipped_file_agrees_with_its_metrics(classifier: InstrumentClassifier) -> None:
    metrics = json.loads((DIRECTORY / "metrics.json").read_text())
    names = classifier.config.instruments
    assert tuple(metrics["per_instrument"]) == names
    assert len(set(names)) == len(names) == metrics["instruments"]
    assert metrics["parameters"] == sum(p.numel() for p in classifier.parameters()) <= 100_000
    measured = [entry for entry in metrics["per_instrument"].values() if entry["clips"]]
    assert len(measured) == metrics["instruments_measured"]
    mean = np.mean([entry["average_precision"] for entry in measured])
    assert mean == pytest.approx(metrics["mean_average_precision"], abs=1e-3)  # rounded to three digits
    assert metrics["mean_average_precision"] > 5 * metrics["chance_average_precision"]
    assert (DIRECTORY / "model.safetensors").stat().st_size < 300_000


def test_probabilities_are_ordered_and_repeatable(classifier: InstrumentClassifier) -> None:
    audio = tone(440.0, 2.0)
    found = classifier.probabilities(audio)
    assert set(found) == set(classifier.config.instruments)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert found == classifier.probabilities(audio)
    thresholds = dict(zip(classifier.config.instruments, classifier.config.thresholds, strict=True))
    heard = classifier.heard(found)
    assert all((name in heard) == (value >= thresholds[name]) for name, value in found.items())


def test_level_does_not_matter(classifier: InstrumentClassifier) -> None:
    audio = noise(2.0, level=0.1)
    softer = Audio(audio.samples * 0.1, audio.sample_rate)
    first, second = classifier.probabilities(audio), classifier.probabilities(softer)
    assert second == pytest.approx(first, abs=1e-3)  # rounding of decibels in float32


@pytest.mark.parametrize("num_samples", [1, 1000, 32000])
def test_short_and_silent_clips_are_scored(classifier: InstrumentClassifier, num_samples: int) -> None:
    found = classifier.probabilities(Audio(np.zeros((1, num_samples), dtype=np.float32), 32000))
    assert all(0.0 <= value <= 1.0 for value in found.values())


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    config = InstrumentClassifierConfig(instruments=("piano", "drums"), thresholds=(0.5, 0.4), bands=16)
    torch.manual_seed(0)
    model = InstrumentClassifier(config).eval()
    model.save_pretrained(tmp_path)
    again = InstrumentClassifier.from_pretrained(tmp_path)
    levels = torch.randn(2, 16, 64, generator=torch.Generator().manual_seed(1)) * 10 - 40
    assert again.config == config
    assert torch.equal(again(levels), model(levels))


def test_training_mode_is_refused() -> None:
    model = InstrumentClassifier(InstrumentClassifierConfig(instruments=("piano",), thresholds=(0.5,), bands=16))
    with pytest.raises(UserError, match="eval"):
        model.probabilities(tone(440.0, 1.0))


def test_config_must_be_consistent() -> None:
    with pytest.raises(ValueError, match="1 thresholds for 2 instruments"):
        InstrumentClassifierConfig(instruments=("piano", "drums"), thresholds=(0.5,))
    with pytest.raises(ValueError, match="bands=30"):
        InstrumentClassifierConfig(instruments=("piano",), thresholds=(0.5,), bands=30)
