"""`benchmarks/variety.py` finds the same music in other keys and other hands, and finds none where there is none."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cadenza.corpus.clips import cut
from cadenza.corpus.compose import compose
from cadenza.corpus.score import Part, Score

SEED = 47_000_003


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))


def otherwise(score: Score, semitones: int, louder: int) -> Score:
    """The same notes for other singers: pitched parts moved, all struck harder and a hair later."""
    from variety import pitched

    def part(one: Part) -> Part:
        up = semitones if pitched(one.instrument) else 0
        notes = (
            replace(note, pitch=note.pitch + up, velocity=min(127, note.velocity + louder), start=note.start + 0.001)
            for note in one.notes
        )
        return replace(one, notes=tuple(notes))

    return replace(score, parts=tuple(part(one) for one in score.parts))


def test_the_same_piece_in_another_key_is_the_same() -> None:
    from variety import measure

    score = compose(SEED, 30.0)
    clips = cut(score)
    moved = otherwise(score, 3, 9)
    found = measure([(score, clips), (moved, clips)])
    assert found["equal_pieces"] == 1
    assert found["pieces_in_two_splits"] == 0
    assert found["phrases_of_two_pieces"] > 0.9
    other = measure([(score, clips), (compose(SEED + 1, 30.0), cut(compose(SEED + 1, 30.0)))])
    assert other["equal_pieces"] == 0
    assert other["phrases_of_two_pieces"] < 0.1


def test_equal_pieces_in_two_splits_are_told() -> None:
    from cadenza.corpus.clips import split_of
    from variety import measure

    held_out = next(seed for seed in range(SEED, SEED + 1000) if split_of(seed) != split_of(SEED))
    score = compose(SEED, 30.0)
    clips = cut(score)
    assert measure([(score, clips), (replace(score, seed=held_out), clips)])["pieces_in_two_splits"] == 1


def test_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    import variety

    record = variety.main(["--hours", "0.1", "--seed", "3"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == record
    assert 0.1 <= record["hours"] < 0.2
    assert record["equal_pieces"] == 0
    assert sum(record["genres"].values()) == record["pieces"]
