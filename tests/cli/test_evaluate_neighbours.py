"""`cadenza evaluate neighbours`: a copy is named first, and how it was judged stands in the JSON."""

import json

import pytest

from cadenza.audio import Audio
from cadenza.evaluate.embedders import registry
from cadenza.testing import tiny_listener
from data.recordings import save, tune


def test_a_copy_is_named_first(cadenza, tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "open_embedder", lambda *given, **named: tiny_listener())
    for i in range(4):
        save(tune(i, 1.5), tmp_path / "training" / f"{i}.wav")
        save(tune(10 + i, 1.5), tmp_path / "unseen" / f"{i}.wav")
    save(tune(20, 1.5), tmp_path / "takes" / "own.wav")
    softer = Audio(tune(2, 1.5).samples / 4, 16000)
    save(softer, tmp_path / "takes" / "copy.wav")
    found = cadenza("evaluate", "neighbours", "takes", "training", "--held-out", "unseen", "--nearest", "2")
    assert found.code == 0, found.err
    first, *_, last = found.out.splitlines()
    assert first.startswith("copy: 2, distance whole 0.000")
    assert "COPY of 2 (0% of bits differ)" in first
    facts = json.loads(last)
    assert facts["neighbours"]["suspicious"][0] == "copy"
    assert facts["neighbours"]["floor_count"] == 4
    assert facts["neighbours"]["fingerprints"]
    assert len(facts["neighbours"]["found"][0]["nearest"]) == 2
    assert facts["embedder"]["name"] == "mel"
    assert facts["sets"]["training"]["clips"] == 4
    wrong = cadenza("evaluate", "neighbours", "takes", "training", "--nearest", "0")
    assert (wrong.code, "choose 1 to 100" in wrong.err) == (2, True)
