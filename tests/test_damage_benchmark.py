"""The benchmark of damage: verdicts by hand, and the whole of it in small."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("damage")
    for name in ("damage", "damage_sets", "damage_sounds"):
        sys.modules.pop(name, None)


def rights(script: Any, worse: str, expected: str, sure: str = "yyyyy") -> str:
    """Verdicts of five damages, in `y` and `n`."""
    changes = {
        name: script.Change(1.0, float(value), float(value) - (0.01 if one == "y" else 9), 9.0, value == "0")
        for name, value, one in zip(script.FIVE, worse.split(), sure, strict=True)
    }
    cells = script.judge(changes, dict(zip(script.FIVE, expected.split(), strict=True)))
    return "".join("y" if cell.right else "n" for cell in cells.values())


def test_verdicts_by_hand(script: Any) -> None:
    assert rights(script, "5 4 1 0 2", "+ + · 0 ·") == "yyyyy"
    assert rights(script, "5 2 1 0 3", "+ + · 0 ·") == "ynyyn"  # a bar that hurts more than a low-pass
    assert rights(script, "5 4 1 0 2", "+ + · 0 ·", "ynyyy") == "ynyyy"  # it may be chance
    assert rights(script, "5 4 1 1e-9 2", "+ + · 0 ·") == "yyyny"  # not a digit
    assert rights(script, "9 9 1 3 2", "_ _ · + ·") == "yyyyy"  # whatever noise does to labels
    assert rights(script, "-5 -4 -3 -1 -2", "+ + · 0 ·") == "nnnnn"  # nothing is noticed


def test_every_expectation_is_complete(script: Any) -> None:
    for metric in script.EXPECTED:
        marks = script.expected(metric)
        assert set(marks.values()) <= {script.WORSE, script.LESS, script.NOTHING, script.EITHER}
        assert script.WORSE in marks.values()
    worse = [{m for m in script.EXPECTED if script.expected(m)[name] == script.WORSE} for name in script.FIVE]
    assert all(worse), "every damage has to be noticed by something"
    assert script.is_rising([1.0, 2.0, 2.5])
    assert not script.is_rising([1.0, 2.0, 2.0])


# ------------------------------------------------------------------------------------------------------------ in small

RATE, COUNT, SECONDS = 22050, 5, 4.0
SCALE = (0, 2, 4, 5, 7, 9, 11)
NAMES = ("C", "D", "E", "F", "G", "A")


def piece(number: int, tempo_bpm: float, seconds: float = SECONDS) -> Audio:
    """A drum on every beat, a hat between, and a tune of drawn notes over the tonic's chord; no bar comes again."""
    rng = np.random.default_rng([number, 1])
    eighth = 30 / tempo_bpm
    samples = np.zeros(round(seconds * RATE))
    tonic = 48 + SCALE[number % 6]
    for step in range(int(seconds / eighth)):
        start = round(step * eighth * RATE)
        time = np.arange(min(round(0.4 * RATE), samples.size - start)) / RATE
        pitches = [tonic + 12 + SCALE[int(rng.integers(7))], *((tonic, tonic + 4, tonic + 7) if step % 4 == 0 else ())]
        for pitch in pitches:
            phases = np.outer(440 * 2 ** ((pitch - 69) / 12) * np.arange(1, 9), 2 * np.pi * time)
            samples[start : start + time.size] += 0.04 * (np.sin(phases) * 0.8 ** np.arange(8)[:, None]).sum(0)
        hit = rng.standard_normal(time.size) * 0.05 if step % 2 else 0.6 * np.sin(2 * np.pi * 70 * time)
        samples[start : start + time.size] += hit * np.exp(-time / 0.02)
    return Audio((0.5 * samples).astype(np.float32), RATE)


def write_corpus(folder: Path) -> None:
    rows = []
    for number in range(2 * COUNT):
        tempo = 96.0 + 8 * (number % 7)
        row = {
            "id": f"{number:03d}", "path": f"audio/{number:03d}.flac", "duration": SECONDS, "sample_rate": RATE,
            "seed": number, "start_seconds": 0.0, "captions": [f"tune {number}"], "genre": "folk",
            "instruments": ["piano"], "tempo_bpm": tempo, "key": f"{NAMES[number % 6]} major", "meter": "4/4",
        }  # fmt: skip
        (folder / "audio").mkdir(parents=True, exist_ok=True)
        piece(number, tempo).write(folder / row["path"], loudness_lufs=None)
        rows.append(row)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_five_damages_stand_where_they_belong(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few short pieces in place of a corpus, one dose of each damage, and the ear that ships: it has never heard such
    instruments and such words, so that figures of those say nothing here."""
    sets = sys.modules["damage_sets"]
    monkeypatch.setattr(sets, "NOISE_DB", (20,))
    monkeypatch.setattr(sets, "CUTOFF_HZ", (4000,))
    monkeypatch.setattr(script, "DOSES", ((script.NOISE,), (script.LOW_PASS,)))
    monkeypatch.setattr(sets, "at_tempo", lambda seed, bpm, start, seconds: piece(seed, bpm))
    write_corpus(tmp_path / "corpus")
    script.main([str(tmp_path / "corpus"), "--out", str(tmp_path / "out"), "--clips", str(COUNT)])
    cells = json.loads(capsys.readouterr().out.splitlines()[-1])["cells"]

    assert set(cells) == set(script.EXPECTED)
    for metric in ("fad", "kad", "tempo or its octave", "key, MIREX", "repetition"):
        wrong = [name for name, cell in cells[metric].items() if not cell["right"]]
        assert not wrong, (metric, cells[metric])
    # So few clips are two clusters for MAD: its interval holds almost anything.
    assert all(cells["mad"][name]["worse"] > 0 for name in (script.NOISE, script.LOW_PASS))
    assert cells["tempo or its octave"][script.TEMPO]["value"] == 0.0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["title"] == "Damaged music"
    true, shuffled = (
        [json.loads(line) for line in (tmp_path / "out" / name / "manifest.jsonl").read_text().splitlines()]
        for name in ("true_renders", "shuffled_captions")
    )
    assert [row["path"] for row in true] == [row["path"] for row in shuffled]
    assert {row["id"]: row["key"] for row in true} == {row["id"]: row["key"] for row in shuffled}
    assert all(one["id"] != other["id"] for one, other in zip(true, shuffled, strict=True))


def test_what_is_no_corpus_is_refused(script: Any, tmp_path: Path) -> None:
    sets = sys.modules["damage_sets"]
    with pytest.raises(UserError, match="cadenza corpus build"):
        sets.make_sets(tmp_path, tmp_path, 2, print)
    row = dict.fromkeys(sets.FACTS, 0)
    (tmp_path / "manifest.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(row)}\n")
    with pytest.raises(UserError, match="1 pieces: 2 clips and a reference need 4"):
        sets.make_sets(tmp_path, tmp_path, 2, print)
    (tmp_path / "manifest.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(UserError, match="how its music was composed"):
        sets.make_sets(tmp_path, tmp_path, 2, print)
