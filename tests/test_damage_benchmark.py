"""The benchmark of damage: verdicts by hand."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

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
        name: (1.0, float(value), float(value) - (0.01 if one == "y" else 9), float(value) + 9)
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
