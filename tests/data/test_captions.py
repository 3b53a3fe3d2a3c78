"""Captions for training: cleaning, merging, dropout; probabilities by exact enumeration of all draws."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from statistics import NormalDist

import pytest

from cadenza.conditioning.normalize import normalize_text
from cadenza.data.captions import CaptionConfig, Info, clean_info, drop_words, merge_conditions, training_caption
from cadenza.errors import UserError

RAW = {
    "title": " Blue ",
    "artist": "None",
    "description": "  A slow piano piece... ",
    "key": "A Minor",
    "bpm": "70",
    "genre": "Jazz",
    "moods": "Sad, calm\tWarm",
    "keywords": ["Lo fi", "", "TAPE"],
    "instrument": "",
    "name": None,
    "sample_rate": 44100,
}
INFO: Info = {
    "title": "Blue",
    "description": "A slow piano piece...",
    "key": "a minor",
    "bpm": 70.0,
    "genre": "jazz",
    "moods": ("sad", "calm", "warm"),
    "keywords": ("lo fi", "tape"),
}
PAIRS = {"key: a minor", "bpm: 70.0", "genre: jazz", "moods: sad, calm, warm", "keywords: lo fi, tape"}
ALWAYS = CaptionConfig(merge=1, drop_description=0, keep_field=1, word_dropout=0)


class Given(random.Random):
    """Uniform draws as given, then zeros."""

    def __init__(self, draws: Sequence[float]) -> None:
        super().__init__(0)
        self.draws = list(draws)

    def random(self) -> float:
        return self.draws.pop(0) if self.draws else 0.0


# ---- cleaning --------------------------------------------------------------------------------------------------------


def test_fields_are_cleaned() -> None:
    assert clean_info(RAW) == INFO
    assert clean_info(clean_info(RAW)) == INFO
    assert clean_info({}) == {}
    assert clean_info({"key": "C major, A minor", "moods": [], "keywords": " , ", "genre": " None "}) == {}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bpm", "fast", "bpm is 'fast': give it as a number of beats per minute"),
        ("bpm", float("nan"), "bpm is nan"),
        ("bpm", -3, "bpm is -3"),
        ("bpm", True, "bpm is True"),
        ("bpm", 10**400, "bpm is 1000"),
        ("bpm", [120], "bpm is"),
        ("key", 3, "key is 3: give it as text"),
        ("genre", ["jazz"], r"genre is \['jazz'\]: give it as text"),
        ("moods", 3, "moods is 3: give it as a list of texts"),
        ("keywords", ["tape", 3], "keywords is .*: give it as a list of texts"),
    ],
)
def test_what_is_no_field_is_named(field: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        clean_info({field: value})
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


# ---- merging ---------------------------------------------------------------------------------------------------------


def test_known_captions() -> None:
    info: Info = {"description": "Slow piano..", "key": "c major"}
    # Draws: whether to merge, whether to keep the key, whether to drop the description.
    for draws, expected in (
        ([0.24, 0.4, 0.6], "Slow piano. key: c major"),
        ([0.24, 0.4, 0.4], "key: c major"),
        ([0.24, 0.6, 0.6], "Slow piano."),
        ([0.24, 0.6, 0.4], None),
        ([0.25], "Slow piano."),
    ):
        assert merge_conditions(info, CaptionConfig(), Given(draws)) == expected
    assert merge_conditions({"key": "c major"}, CaptionConfig(), Given([0.25])) is None
    assert merge_conditions({"description": "No dot"}, ALWAYS, random.Random(0)) == "No dot."
    assert merge_conditions({}, ALWAYS, random.Random(0)) is None


def test_probabilities_by_enumeration() -> None:
    """Every draw takes each quarter of [0, 1) once: each outcome's share of all draws is its probability exactly."""
    info: Info = {"description": "Slow", "key": "c", "genre": "jazz", "title": "Blue"}
    config = CaptionConfig(merge=0.25, drop_description=0.5, keep_field=0.75)
    quarters = [0.125, 0.375, 0.625, 0.875]
    outcomes: Counter[tuple[bool, frozenset[str]]] = Counter()
    for draws in itertools.product(quarters, repeat=4):
        text = merge_conditions(info, config, Given(draws)) or ""
        described = text.startswith("Slow.")
        pairs = frozenset(text.removeprefix("Slow.").strip().split(". ")) - {""}
        outcomes[described, pairs] += 1
    key, genre = "key: c", "genre: jazz"
    kept = {frozenset[str](): 1, frozenset({key}): 3, frozenset({genre}): 3, frozenset({key, genre}): 9}
    expected = {
        (described, pairs): Fraction(1, 4) * Fraction(ways, 16) * Fraction(1, 2)
        for pairs, ways in kept.items()
        for described in (True, False)
    }
    expected[True, frozenset()] += Fraction(3, 4)
    assert {outcome: Fraction(count, 256) for outcome, count in outcomes.items()} == expected


def test_fields_come_in_any_order() -> None:
    draw, count = random.Random(0), 24_000
    info: Info = {"key": "c", "bpm": 70.0, "genre": "jazz", "moods": ("sad",)}
    orders = Counter(merge_conditions(info, ALWAYS, draw) for _ in range(count))
    assert len(orders) == 24
    # Each of 24 orders has 1000 on average and a deviation of 31; beyond six of them once in 2e7 runs.
    assert 24 * 2 * NormalDist().cdf(-6) < 1e-7
    assert all(abs(seen - 1000) < 6 * 31 for seen in orders.values())


def test_a_seed_decides_and_nothing_else() -> None:
    captions = []
    for everything_else in (1, 2):
        random.seed(everything_else)
        captions.append([training_caption(INFO, CaptionConfig(), random.Random(seed)) for seed in range(50)])
    assert captions[0] == captions[1]
    assert len(set(captions[0])) > 10


def test_all_there_is() -> None:
    for seed in range(20):
        text = merge_conditions(INFO, ALWAYS, random.Random(seed))
        assert text is not None
        description, *pairs = text.split(". ")
        assert description == "A slow piano piece"
        assert set(pairs) == PAIRS


# ---- the whole way ---------------------------------------------------------------------------------------------------


def test_without_merging_the_description_keeps_its_dots() -> None:
    as_is = CaptionConfig(merge=0, word_dropout=0)
    assert training_caption(INFO, as_is, random.Random(0)) == "A slow piano piece..."
    assert training_caption({"key": "c"}, as_is, random.Random(0)) is None


def test_normalised_after_merging_and_before_words_are_dropped() -> None:
    normalized = ALWAYS.model_copy(update={"normalize": True})
    text = training_caption(INFO, normalized, random.Random(0))
    assert text is not None
    assert text.startswith("slow piano piece ")
    assert set(text.split()) == set(normalize_text("A slow piano piece. " + ". ".join(PAIRS)).split())
    assert training_caption({"description": "The"}, normalized, random.Random(0)) is None
    nothing = CaptionConfig(merge=0, word_dropout=1)
    assert training_caption(INFO, nothing, random.Random(0)) is None


def test_the_reference_values_are_the_defaults() -> None:
    assert CaptionConfig().model_dump() == {
        "merge": 0.25,
        "drop_description": 0.5,
        "keep_field": 0.5,
        "normalize": False,
        "word_dropout": 0.3,
    }


def test_words_are_dropped_one_by_one() -> None:
    words = " ".join(map(str, range(2000)))
    kept = drop_words(words, 0.3, random.Random(1)).split(" ")
    assert 1300 < len(kept) < 1500  # five standard deviations around 1400
    assert [word for word in words.split(" ") if word in set(kept)] == kept
    assert drop_words(words, 0.0, random.Random(1)) == words
    assert drop_words(words, 1.0, random.Random(1)) == ""
    assert drop_words(words, 0.3, random.Random(1)) == drop_words(words, 0.3, random.Random(1))
    shares = Counter(
        drop_words("a b", 0.25, Given(draws)) for draws in itertools.product([0.1, 0.3, 0.6, 0.8], repeat=2)
    )
    assert shares == {"a b": 9, "a": 3, "b": 3, "": 1}
