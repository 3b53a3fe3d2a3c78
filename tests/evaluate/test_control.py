"""Control scores by hand, and what sets of clips make of them."""

import numpy as np
import pytest

from cadenza.evaluate.clips import Asked
from cadenza.evaluate.control import (
    MEASURES,
    control_figures,
    control_scores,
    duration_error,
    satisfied,
    separation,
    shuffled_pairs,
    tempo_verdict,
)
from cadenza.evaluate.intervals import share_interval
from cadenza.evaluate.key import Key, parse_key
from cadenza.evaluate.measurements import Heard, MeasuredClip
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


def clip(name: str, asked: Asked, found: Heard, piece: str | None = None) -> MeasuredClip:
    return MeasuredClip(name, piece or name, asked, found, name, {}, np.zeros(0, np.uint8))


def test_scores_by_hand() -> None:
    asked = Asked("", 120.0, "C major", ("piano", "drums/percussion", "theremin"), "jazz", 10.0)
    found = heard(60.0, "G major", {"piano": 0.9, "drums": 0.1, "percussion": 0.8}, ("percussion",),
                  {"rock": 0.5, "jazz": 0.3}, 10.1)  # fmt: skip
    assert control_scores(asked, found) == {
        "tempo": [0.0], "tempo or its octave": [1.0], "tempo, octave or triple": [1.0],
        "key": [0.0], "key, MIREX": [0.5], "mode": [1.0], "instruments": [0.0, 1.0],
        "genre": [0.0], "genre, one of three": [1.0], "duration": [1.0],
    }  # fmt: skip
    assert satisfied(asked, found) == pytest.approx((1 + 0.5 + 0 + 1 + 0) / 5)
    assert duration_error(asked, found) == pytest.approx(0.01)


def test_what_was_not_asked_or_never_taught_is_not_judged() -> None:
    assert control_scores(Asked("anything"), heard()) == {}
    assert satisfied(Asked("anything"), heard()) == 1.0
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
    clips = []
    for number, asked in enumerate(prompts):
        named = tuple(choice.split("/")[-1] for choice in asked.instruments)
        mode = asked.key in ("major", "minor")
        found = heard(
            None if asked.tempo_bpm is None else float(np.mean(asked.tempo_bpm)),
            f"C {asked.key}" if mode else asked.key,
            {name: float(name in named) for name in every},
            named,
            dict(sorted(((name, float(name == asked.genre)) for name in genres), key=lambda item: -item[1])),
        )
        clips.append(clip(str(number), asked, found))
        assert satisfied(asked, found) == 1.0
    figures = control_figures(clips)
    assert figures.keys() == MEASURES.keys() - {"duration"}
    for figure in figures.values():
        assert figure.interval.mean == 1.0
        assert figure.floor is not None
        assert figure.floor < 0.9
    assert separation([(c.asked, c.heard) for c in clips]) == 1.0


def test_figures_by_hand() -> None:
    """Three clips of two pieces: the interval counts the pieces, the floor leaves a piece's own clips out."""
    right, wrong = heard(key="D minor"), heard(key="F# major")
    clips = [
        clip("a1", Asked(key="D minor"), right, "a"),
        clip("a2", Asked(key="D minor"), wrong, "a"),
        clip("b", Asked(key="F# major"), wrong, "b"),
    ]
    figure = control_figures(clips)["key"]
    assert figure.facts == 3
    assert figure.interval == share_interval(2 / 3 * 2, 2)
    assert list(shuffled_pairs(clips)) == [
        (clips[2].asked, right), (clips[2].asked, wrong), (clips[0].asked, wrong), (clips[1].asked, wrong)
    ]  # fmt: skip
    assert figure.floor == 1 / 4
    assert control_figures(clips[:1])["key"].floor is None


def test_separation_by_hand() -> None:
    """The piano is asked for in two clips and less probable in the second than in the third, which asks for none."""
    pairs = [
        (Asked(instruments=("piano",)), heard(instruments={"piano": 0.9})),
        (Asked(instruments=("piano",)), heard(instruments={"piano": 0.2})),
        (Asked(), heard(instruments={"piano": 0.5})),
        (Asked(instruments=("piano/organ",)), heard(instruments={"piano": 0.99})),
    ]
    assert separation(pairs) == 0.5
    assert separation(pairs[:2]) is None


def test_silence_fails_what_can_fail() -> None:
    found = heard(None, None, {"piano": 0.0})
    assert satisfied(Asked("", 90.0, "C major", ("piano",)), found) == 0.0
    assert Key(0, "major") == parse_key("C")
