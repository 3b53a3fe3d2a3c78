"""What all `cadenza evaluate` shares: opening what listens."""

import io
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from cadenza.cli.evaluate_sets import lines_of, open_ears
from cadenza.errors import UserError
from cadenza.evaluate.report.setwise import kad
from measured_sets import measured_set


def test_how_far_a_fetch_is_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer(io.BytesIO):
        headers = {"Content-Length": "289000000"}  # noqa: RUF012

    def counter(unit: str) -> Callable[[int, int], None]:
        return lambda done, total: seen.append((unit, done, total))

    seen: list[tuple[str, int, int]] = []
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Answer(b"x" * 3_000_000))
    monkeypatch.setattr("cadenza.cli.evaluate_sets.counter", counter)
    with pytest.raises(UserError, match="only 3000000 of 289000000 bytes came"):
        open_ears(["vggish"])
    assert seen == [("MB of weights", done, 289) for done in (1, 2, 3)]


def test_a_distance_says_what_its_interval_is_of() -> None:
    """The plain value may lie outside of it."""
    figure = kad(measured_set("made", place=0.5), measured_set("true", seed=1), "mel")
    (line,) = lines_of([figure])
    assert f", without bias {figure.details['without_bias']:.3g} (" in line
