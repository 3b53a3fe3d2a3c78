"""Control scores by hand."""

import numpy as np
import pytest

from cadenza.evaluate.clips import Asked
from cadenza.evaluate.control import (
    MEASURES,
    control_scores,
    duration_error,
    tempo_verdict,
)
from cadenza.evaluate.key import Key, parse_key
from cadenza.evaluate.measurements import Heard
from cadenza.evaluate.prompts import load
from cadenza.evaluate.tempo import Tempo


def heard(
    bpm: float | None = 100.0,
    key: str | None = "C major",
    instruments: dict[str, float] | None = None,
    named: tuple[str, ...] = (),
    genres: dict[str, float] | None = None,
    seconds: float = 10.0,
) -> Heard:
    found = None if key is None else parse_key(key)
    return Heard(
        seconds, 32000, 1, -14.0, -1.0, 0.0, 0.0, Tempo(bpm, 1.0), found, instruments or {}, named, genres or {}
    )  # fmt: skip


def test_scores_by_hand() -> None:
    asked = Asked("", 120.0, "C major", ("piano", "drums/percussion", "theremin"), "jazz", 10.0)
    found = heard(60.0, "G major", {"piano": 0.9, "drums": 0.1, "percussion": 0.8}, ("percussion",),
                  {"rock": 0.5, "jazz": 0.3}, 10.1)  # fmt: skip
    assert control_scores(asked, found) == {
        "tempo": [0.0], "tempo or its octave": [1.0], "tempo, octave or triple": [1.0],
        "key": [0.0], "key, MIREX": [0.5], "mode": [1.0], "instruments": [0.0, 1.0],
        "genre": [0.0], "genre, one of three": [1.0], "duration": [1.0],
    }  # fmt: skip
    assert duration_error(asked, found) == pytest.approx(0.01)


def test_what_was_not_asked_or_never_taught_is_not_judged() -> None:
    assert control_scores(Asked("anything"), heard()) == {}
    assert control_scores(Asked(instruments=("theremin",), genre="polka"), heard(genres={"jazz": 1.0})) == {}


def test_a_range_is_a_word_and_knows_no_octaves() -> None:
    asked = Asked(tempo_bpm=(80.0, 100.0))
    for bpm, score in ((77.0, 1.0), (104.0, 1.0), (76.0, 0.0), (45.0, 0.0), (None, 0.0)):
        assert control_scores(asked, heard(bpm)) == {"tempo word": [score]}, bpm
    assert tempo_verdict((80.0, 100.0), Tempo(45.0, 1.0)) == "octave"


@pytest.mark.parametrize(("key", "score"), [("A minor", 1.0), ("A major", 0.0), (None, 0.0)])
def test_a_mode_alone(key: str | None, score: float) -> None:
    assert control_scores(Asked(key="minor"), heard(key=key)) == {"mode": [score]}


def test_music_that_does_what_the_prompts_say_scores_one() -> None:
    prompts = list(load("quick").values())
    every = sorted({name for asked in prompts for choice in asked.instruments for name in choice.split("/")})
    genres = sorted({asked.genre for asked in prompts if asked.genre})
    told: set[str] = set()
    for asked in prompts:
        named = tuple(choice.split("/")[-1] for choice in asked.instruments)
        mode = asked.key in ("major", "minor")
        found = heard(
            None if asked.tempo_bpm is None else float(np.mean(asked.tempo_bpm)),
            f"C {asked.key}" if mode else asked.key,
            {name: float(name in named) for name in every},
            named,
            dict(sorted(((name, float(name == asked.genre)) for name in genres), key=lambda item: -item[1])),
        )
        scores = control_scores(asked, found)
        assert all(score == 1.0 for values in scores.values() for score in values)
        told |= scores.keys()
    assert told == MEASURES.keys() - {"duration"}


def test_silence_fails_what_can_fail() -> None:
    found = heard(None, None, {"piano": 0.0})
    scores = control_scores(Asked("", 90.0, "C major", ("piano",)), found)
    assert {name: set(values) for name, values in scores.items()} == {name: {0.0} for name in scores}
    assert {"tempo", "key", "instruments"} <= scores.keys()
    assert Key(0, "major") == parse_key("C")
