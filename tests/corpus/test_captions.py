"""Captions say only what is true, say it in many ways, and say the same twice for one seed."""

import re

import numpy as np
import pytest

from cadenza.corpus.build import cut, describe, facts_of
from cadenza.corpus.captions import HELD_OUT_STYLES, STYLES, Facts, caption, captions
from cadenza.corpus.compose import compose
from cadenza.corpus.genres import GENRES
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.vocabulary import GENRE_NAMES, INSTRUMENT_NAMES, MOOD_WORDS, USES

# Words that name an instrument wherever they stand, and the instruments for which they are true.
_TELLING = {
    "piano": {"piano", "electric piano", "kalimba"},
    "violin": {"violin", "strings"},
    "cello": {"cello"},
    "flute": {"flute", "pan flute", "piccolo"},
    "trumpet": {"trumpet", "muted trumpet"},
    "saxophone": {"saxophone"},
    "banjo": {"banjo"},
    "harp": {"harp", "harmonica"},
    "accordion": {"accordion"},
    "clarinet": {"clarinet"},
    "sitar": {"sitar"},
    "choir": {"choir"},
}


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_vocabulary_covers_the_corpus() -> None:
    assert set(INSTRUMENTS) == set(INSTRUMENT_NAMES)
    genres = {g.name for g in GENRES} | {"solo"}
    assert genres == set(GENRE_NAMES) == set(USES)
    assert {mood for g in GENRES for mood in g.moods} <= set(MOOD_WORDS)
    assert {mood for seed in range(80) for mood in compose(seed, 8.0).moods} <= set(MOOD_WORDS)


def test_only_true_facts() -> None:
    for seed in range(60):
        score = compose(seed, 24.0)
        for clip in cut(score)[:1]:
            facts = facts_of(score, clip)
            for text in captions(facts, _rng(seed), 12):
                _check(text.lower(), facts)


def _check(text: str, facts: Facts) -> None:
    for word, instruments in _TELLING.items():
        if re.search(rf"\b{word}s?\b", text):
            assert instruments & set(facts.instruments), (text, facts)
    for number in re.findall(r"(\d+) (?:bpm|beats)", text):
        assert int(number) == facts.tempo_bpm, (text, facts)
    for mode in re.findall(r"\b(?:major|minor)\b", text):
        assert facts.key.endswith(mode), (text, facts)
    if re.search(r"no drums|without drums|drumless|no percussion", text):
        assert not any(INSTRUMENTS[i].family == "drums" for i in facts.instruments), (text, facts)
    for meter in re.findall(r"\b\d/\d\b", text):
        assert meter == facts.meter, (text, facts)


def test_tempo_words_follow_the_tempo() -> None:
    slow = [caption(Facts(tempo_bpm=60.0), _rng(i), s) for i in range(60) for s in STYLES]
    fast = [caption(Facts(tempo_bpm=170.0), _rng(i), s) for i in range(60) for s in STYLES]
    assert any("slow" in c.lower() for c in slow)
    assert not any(re.search(r"\b(fast|brisk|rapid|presto|allegro)\b", c.lower()) for c in slow)
    assert any("fast" in c.lower() for c in fast)
    assert not any(re.search(r"\b(slow|adagio|largo)\b", c.lower()) for c in fast)


def test_same_generator_same_captions_and_styles_differ() -> None:
    facts = Facts("jazz", ("piano", "upright bass", "brushed drums"), ("happy", "smooth"), 140.0, "Bb major", "4/4")
    first = captions(facts, _rng(3), 6)
    assert first == captions(facts, _rng(3), 6)
    assert len(set(first)) >= 5


@pytest.mark.parametrize("style", [*STYLES, *HELD_OUT_STYLES])
@pytest.mark.parametrize(
    "facts",
    [
        Facts(),
        Facts(genre="polka"),
        Facts(instruments=("theremin",)),
        Facts(moods=("sad",), tempo_bpm=60.0),
        Facts(key="F# minor", meter="7/8"),
        Facts("solo", ("piano",), ("sad",), 60.0, "D minor", "4/4"),
        Facts("solo", (), ("sad",)),
    ],
)
def test_any_facts_in_any_style_give_a_tidy_caption(style: str, facts: Facts) -> None:
    for seed in range(25):
        text = caption(facts, _rng(seed), style)
        assert text.strip() == text
        assert text
        assert "  " not in text
        assert not re.search(r"\bNone\b|,,|\(\)|\bwith$|\bin$|\bat$|[,;|]$| ,", text), text


def test_held_out_style_is_never_drawn() -> None:
    facts = Facts("jazz", ("piano",), ("happy",), 140.0)
    texts = [c.lower() for seed in range(200) for c in captions(facts, _rng(seed))]
    assert not any(c.startswith(("imagine", "think of", "something like")) for c in texts)


def test_manifest_line_is_a_function_of_the_seed() -> None:
    score = compose(42, 24.0)
    rows = [describe(score, clip) for clip in cut(score)]
    assert rows == [describe(compose(42, 24.0), clip) for clip in cut(compose(42, 24.0))]
    assert all(len(row["captions"]) == 6 for row in rows)
