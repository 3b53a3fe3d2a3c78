"""Figures per clip: right for known sets, and what chance reaches beside them."""

from dataclasses import replace

import numpy as np
import pytest

from cadenza.evaluate.measurements import Measurements
from cadenza.evaluate.report.clipwise import SHUFFLES, Column, columns, next_prompts
from cadenza.evaluate.report.metrics import METRICS, metric
from measured_sets import GENRES, measured_set


def named(found: list[Column]) -> dict[str, Column]:
    return {column.name: column for column in found}


@pytest.fixture(scope="module")
def good() -> Measurements:
    return measured_set("good", 15)


def test_words_that_fit_score_one_and_others_chance(good: Measurements) -> None:
    column = named(columns(good))["text_alignment (mel)"]
    pieces = [clip.piece for clip in good.clips]
    interval, floor = column.interval(pieces, 0), column.floor_interval(pieces, 0)
    assert interval is not None and floor is not None
    assert interval.mean == pytest.approx(1.0, abs=1e-6)  # float32 vectors of unit length
    assert abs(floor.mean) < 0.3 and floor.high < interval.low  # random directions in four dimensions


def test_alignment_is_the_cosine(good: Measurements) -> None:
    bad = measured_set("bad", 15, fit=0.0, seed=3)
    column = named(columns(bad))["text_alignment (mel)"]
    joint = bad.joint["mel"]
    for place in (0, 7):
        a, b = joint.audio[place].astype(float), joint.text[place].astype(float)
        assert column.values[place] == [pytest.approx(a @ b)]


def test_chance_is_what_other_words_reach(good: Measurements) -> None:
    """Two prompts of the same words are no chance for each other."""
    clips = tuple(replace(c, asked=replace(c.asked, text=f"text {n // 5}")) for n, c in enumerate(good.clips))
    column = named(columns(replace(good, clips=clips)))["text_alignment (mel)"]
    assert [len(values) for values in column.floor] == [10] * 15
    alike = tuple(replace(c, asked=replace(c.asked, text="the same")) for c in good.clips)
    column = named(columns(replace(good, clips=alike)))["text_alignment (mel)"]
    assert column.count() == 15 and column.floor_interval([clip.piece for clip in clips], 0) is None


def test_clips_without_words_have_no_alignment(good: Measurements) -> None:
    text = good.joint["mel"].text.copy()
    text[3] = 0
    silent = replace(good, joint={"mel": replace(good.joint["mel"], text=text)})
    column = named(columns(silent))["text_alignment (mel)"]
    assert column.values[3] == [] and column.count() == len(good) - 1


def test_control_scores_count_facts(good: Measurements) -> None:
    half = measured_set("half", 10, fit=0.5)
    found = named(columns(half))
    assert [v for values in found["tempo"].values for v in values] == [1.0] * 5 + [0.0] * 5
    interval = found["tempo"].interval([clip.piece for clip in half.clips], 0)
    assert interval is not None and (interval.mean, interval.count) == (0.5, 10)
    assert 0 < interval.low < 0.5 < interval.high < 1


def test_a_share_that_never_varied_is_not_sure(good: Measurements) -> None:
    interval = named(columns(good))["key"].interval([clip.piece for clip in good.clips], 0)
    assert interval is not None and interval.mean == 1.0 and interval.low < 0.9


def test_what_nobody_asked_for_is_left_out(good: Measurements) -> None:
    found = named(columns(good))
    assert "chroma" not in found and "loudness_drift" not in found and "kl (mel)" not in found


def test_a_tune_is_followed_or_not(good: Measurements) -> None:
    tunes = [np.full(70, n % 12, np.uint8) for n in range(len(good))]
    clips = tuple(replace(c, pitches=tune, tune=tune) for c, tune in zip(good.clips, tunes, strict=True))
    column = named(columns(replace(good, clips=clips)))["chroma"]
    assert all(values == [1.0] for values in column.values)
    floor = column.floor_interval([clip.piece for clip in good.clips], 0)
    assert floor is not None and floor.mean < 0.1  # only a tune twelve prompts away is on the same pitch


def test_pairs_of_one_name_are_compared(good: Measurements) -> None:
    # Half of the clips sound like the next genre: KL of (.8 .1 .1) from (.1 .8 .1) is .7 ln 8.
    half = measured_set("half", 10, fit=0.5)
    column = named(columns(half, originals=[good]))["kl (mel)"]
    expected = [0.0] * 5 + [0.7 * np.log(8)] * 5
    assert [values[0] for values in column.values] == pytest.approx(expected, abs=1e-4)  # 1e-6 within the logarithm


def test_other_weights_are_not_compared(good: Measurements) -> None:
    other = measured_set("other", 15, weights="ef" * 32)
    assert "kl (mel)" not in named(columns(good, originals=[other]))
    assert "kl_genre (mel)" not in named(columns(good, other))


def test_genres_are_compared_with_their_mean(good: Measurements) -> None:
    column = named(columns(good, measured_set("true", 15, seed=9)))["kl_genre (mel)"]
    assert column.count() == 15  # five of each genre are enough for a mean
    assert all(abs(values[0]) < 1e-4 for values in column.values)
    few = measured_set("few", 3 * len(GENRES) + 3)  # four of each are not
    assert "kl_genre (mel)" not in named(columns(good, few))


def test_song_distance_finds_the_odd_one(good: Measurements) -> None:
    windows = list(good.embeddings["mel"].windows)
    windows[4] = windows[4] + np.float32(10)
    odd = replace(good, embeddings={"mel": replace(good.embeddings["mel"], windows=tuple(windows))})
    values = [v[0] for v in named(columns(odd, measured_set("true", 30, seed=1)))["song_distance (mel)"].values]
    assert int(np.argmax(values)) == 4 and values[4] > 300  # 4 values off by 10


def test_long_clips_have_a_drift(good: Measurements) -> None:
    heard = replace(good.clips[0].heard, duration_seconds=60.0, loudness_segments=(-20.0, -19.0, -18.0),
                    brightness_segments=(900.0, 900.0, 900.0))  # fmt: skip
    long = replace(good, clips=(replace(good.clips[0], heard=heard), *good.clips[1:]))
    found = named(columns(long))
    assert found["loudness_drift"].values[0] == [pytest.approx(6.0)]  # 1 LU per 10 s
    assert found["brightness_drift"].values[0] == [pytest.approx(0.0, abs=1e-9)]
    assert found["loudness_drift"].count() == 1


def test_next_prompts_are_others_each_once() -> None:
    pieces = ["a", "a", "b", "b", "c"]
    assert next_prompts(pieces, 0) == [2, 4] and next_prompts(pieces, 3) == [4, 0]
    assert next_prompts(["a"], 0) == []
    many = [str(number) for number in range(100)]
    assert next_prompts(many, 99) == list(range(SHUFFLES))


def test_every_metric_is_told_apart_and_explained() -> None:
    assert all(one.what for one in METRICS.values())
    assert metric("key, MIREX").what.startswith("1 right")
