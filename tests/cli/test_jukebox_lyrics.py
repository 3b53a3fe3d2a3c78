"""Weights to times: known answers."""

import numpy as np
import pytest

from cadenza.cli.jukebox_lyrics import Sung, as_lrc, as_record, path, sung_lines


def attending(characters: list[int], count: int, blur: float = 0.0) -> np.ndarray:
    """Weights of codes that attend to these characters, and a little to all others."""
    weights = np.full((len(characters), count), blur / count)
    weights[np.arange(len(characters)), characters] += 1 - blur
    return weights


def test_a_clear_path_is_found() -> None:
    wanted = [0, 0, 1, 1, 1, 2, 3, 3]
    assert path(attending(wanted, 5, blur=0.3)).tolist() == wanted


def test_it_never_goes_back_nor_jumps() -> None:
    rng = np.random.default_rng(0)
    found = path(rng.dirichlet(np.ones(30), size=200))
    assert set(np.diff(found).tolist()) == {0, 1}


def test_it_is_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.ones(4), size=6)

    def product(way: list[int]) -> float:
        return float(np.prod([weights[time, place] for time, place in enumerate(way)]))

    ways = [[start] for start in range(4)]
    for _ in range(5):
        ways = [[*way, way[-1] + move] for way in ways for move in (0, 1) if way[-1] + move < 4]
    best = max(ways, key=product)
    assert path(weights).tolist() == best


def test_one_code_that_looks_elsewhere_does_not_lead_astray() -> None:
    characters = [0] * 10 + [1] * 10 + [2] * 10
    astray = list(characters)
    astray[5] = 2
    assert path(attending(astray, 3, blur=0.2)).tolist() == characters


def test_lines_and_words_have_their_times() -> None:
    text = "la la\n\n  oh no "
    at = {"la": (0, 2), "la2": (3, 5), "oh": (9, 11), "no": (12, 14)}
    characters = [place for place in range(len(text)) for _ in range(2)]  # two codes each, ten codes a second
    lines = sung_lines(attending(characters, len(text), blur=0.1), text, 10.0)
    assert [line.text for line in lines] == ["la la", "oh no"]
    assert [(word.text, word.start, word.end) for word in lines[0].words] == [
        ("la", at["la"][0] / 5, at["la"][1] / 5),
        ("la", at["la2"][0] / 5, at["la2"][1] / 5),
    ]
    assert (lines[1].start, lines[1].end) == (at["oh"][0] / 5, at["no"][1] / 5)
    assert as_lrc(lines, "a song") == "[ti:a song]\n[00:00.00]la la\n[00:01.80]oh no\n"
    assert as_record(lines)[1] == {
        "text": "oh no",
        "start": 1.8,
        "end": 2.8,
        "words": [{"text": "oh", "start": 1.8, "end": 2.2}, {"text": "no", "start": 2.4, "end": 2.8}],
    }


def test_what_is_not_reached_has_no_time() -> None:
    lines = sung_lines(attending([0, 1, 2], 5, blur=0.1), "abc\nd", 1.0)
    assert lines[1] == Sung("d", None, None, [Sung("d", None, None)])
    assert as_lrc(lines, "x").count("\n") == 2
    assert sung_lines(np.zeros((4, 0)), "", 1.0) == []
    assert sung_lines(np.zeros((0, 2)), "ab", 1.0)[0].start is None


@pytest.mark.parametrize(("start", "shown"), [(59.999, "[01:00.00]"), (61.234, "[01:01.23]"), (754.0, "[12:34.00]")])
def test_minutes_and_hundredths(start: float, shown: str) -> None:
    assert shown in as_lrc([Sung("x", start, start + 1)], "t")
