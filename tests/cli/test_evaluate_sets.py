"""What all `cadenza evaluate` shares: opening what listens."""

import io
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from cadenza.cli.evaluate_sets import open_ears
from cadenza.errors import UserError


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
