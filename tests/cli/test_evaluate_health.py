"""`cadenza evaluate health`: clips that are there, clips that a model makes, and mistakes in one line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile

from cadenza.audio import Audio
from measured_sets import tone


def test_a_folder(cadenza, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(4 * 16000) / 16000
    folder = tmp_path / "clips"
    folder.mkdir()
    tune = 0.1 * np.sin(2 * np.pi * 220 * np.round(t * 4 % 7 + 1) * t) + 0.001 * rng.standard_normal(t.size)
    Audio(tune.astype(np.float32), 16000).write(folder / "good.wav")
    Audio((0.1 * rng.standard_normal(t.size)).astype(np.float32), 16000).write(folder / "noise.wav")
    soundfile.write(folder / "nan.wav", np.where(t > 1, np.nan, tune), 16000, subtype="FLOAT")
    (folder / "broken.wav").write_bytes(b"RIFF")
    result = cadenza("evaluate", "health", folder)
    assert result.code == 0, result.err
    *lines, last = result.out.splitlines()
    facts = json.loads(last)
    assert (facts["clips"], facts["faulty"]) == (3, 2)
    assert facts["faults"]["nan"] == ["not a number"]
    assert "noise" in facts["faults"]["noise"]
    assert [one["name"] for one in facts["refused"]] == ["broken.wav"]
    assert lines[-1].startswith("2 of 3 clips have a fault (66.7%")
    assert facts["loudness_drift_db"] is None


def test_a_minute_has_a_trend(cadenza, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rising = 0.01 * 10 ** (np.arange(60 * 8000) / 8000 / 60 * 3 / 20)  # three decibels a minute
    (tmp_path / "long").mkdir()
    for number in range(2):
        noise = (rising * rng.standard_normal(rising.size)).astype(np.float32)
        Audio(noise, 8000).write(tmp_path / "long" / f"{number}.wav", loudness_lufs=None)
    *lines, last = cadenza("evaluate", "health", "long").out.splitlines()
    found = json.loads(last)["loudness_drift_db"]
    assert found["value"] == pytest.approx(15.0, abs=0.5) and found["pieces"] == 2
    assert lines[-2].startswith("loudness drift over 5 minutes: 15.0 (") and lines[-2].endswith("at most 2 dB: no")


class Model:
    """A tone per seed, several at once."""

    made: ClassVar[list[int]] = []

    def generate(self, text: Any, duration: float, seed: Any, **_: Any) -> Any:
        if isinstance(text, list):
            return [self.generate(one, duration, number) for one, number in zip(text, seed, strict=True)]
        self.made.append(seed)
        record = {"weights": "w", "text": text, "seed": seed, "generation": {"duration": duration}}
        return replace(tone(200.0 + seed % 100, duration, seed), metadata=record)


def test_what_a_model_makes_and_going_on(cadenza, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cadenza.loading.load_musicgen", lambda *_: Model())
    monkeypatch.setattr("cadenza.loading.find_model", lambda name: tmp_path)
    monkeypatch.setattr("cadenza.checkpoint.weights_hash", lambda place: "w")
    Path("mine.jsonl").write_text('{"id": "a", "text": "rain", "duration": 9}\n{"id": "b", "text": "snow"}\n')
    arguments = (
        "evaluate",
        "health",
        "--model",
        "embedded",
        "--prompts",
        "mine.jsonl",
        "--seconds",
        "3",
        "--seed",
        "2",
    )
    first = cadenza(*arguments, "--count", "2", "--together", "2", "--out", "h", "--json")
    assert first.code == 0, first.err
    facts = json.loads(first.out)
    assert facts == json.loads(Path("h/health.json").read_text())
    assert (facts["clips"], facts["faulty"], facts["faults"]) == (2, 0, {})
    again = cadenza(*arguments, "--count", "3", "--out", "h")
    assert json.loads(again.out.splitlines()[-1])["clips"] == 3
    assert sorted(path.name for path in Path("h/takes").glob("*.flac")) == ["a.flac", "a__2.flac", "b.flac"]
    assert len(set(Model.made)) == len(Model.made) == 3  # two were there, and one prompt has a second take


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give CLIPS to judge or --model"),
        (("clips", "--model", "embedded"), "one of the two"),
        (("--model", "embedded", "--count", "0"), "--count 0"),
        (("--model", "embedded", "--seconds", "1"), "--seconds 1: choose 3 to 3600"),
        (("--model", "embedded", "--prompts", "friends"), "no prompts 'friends'"),
    ],
)
def test_mistakes(cadenza, arguments: tuple[str, ...], message: str) -> None:
    result = cadenza("evaluate", "health", *arguments)
    assert result.code == 2 and message in result.err and len(result.err.splitlines()) == 1
