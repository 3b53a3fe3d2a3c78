"""The prompts that come along: facts that can be measured, in words that no caption of the corpora has."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from cadenza.corpus.captions import HELD_OUT_STYLES, STYLES, Facts, caption
from cadenza.corpus.genres import GENRES
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.vocabulary import MOOD_WORDS
from cadenza.errors import UserError
from cadenza.evaluate import prompts
from cadenza.evaluate.clips import Asked
from cadenza.evaluate.key import parse_key
from cadenza.evaluate.words import facts_in


def words(text: str) -> str:
    """Without capitals and signs, by which nobody would call two prompts different."""
    return " ".join(re.findall(r"[a-z0-9#]+", text.lower()))


def test_a_hundred_prompts_and_the_first_of_them() -> None:
    everything, quick = prompts.load(), prompts.load("quick")
    assert list(everything) == [f"{number:03d}" for number in range(1, 101)]
    assert list(quick.items()) == list(everything.items())[:24]
    assert len({words(asked.text) for asked in everything.values()}) == 100


def test_facts_can_be_measured_and_are_said() -> None:
    """Every instrument and family is asked for, and what stands in the fields stands in the words."""
    everything = prompts.load()
    tempos = [a for a in everything.values() if isinstance(a.tempo_bpm, float)]
    keys = [a for a in everything.values() if a.key not in (None, "major", "minor")]
    assert len(tempos) >= 40
    assert len(keys) >= 40
    assert all(re.search(rf"\b{a.tempo_bpm:.0f}\b", a.text) for a in tempos)
    for asked in keys:
        assert asked.key is not None
        spelling = asked.text.replace(" flat", "b").replace(" sharp", "#")
        found = re.search(r"\b([A-G][b#]?) (major|minor)", spelling)
        named = found.group(0) if found else re.search(r"key of ([A-G])", spelling).group(1) + " major"  # type: ignore[union-attr]
        assert parse_key(named) == parse_key(asked.key), asked.text
    choices = [option for asked in everything.values() for choice in asked.instruments for option in choice.split("/")]
    assert set(choices) == set(INSTRUMENTS)
    genres = {asked.genre for asked in everything.values()} - {None}
    assert genres <= {genre.name for genre in GENRES} | {"solo"}
    assert len(genres) > 20


def test_strangers_ask_for_what_can_be_heard_and_what_they_say() -> None:
    """Half name instruments, a third a tempo, a fifth a key; what is read in their words is among their facts."""
    asked = prompts.load("strangers")
    assert len(asked) == 60
    assert not set(asked) & set(prompts.load())  # takes of both fit into one folder
    assert len({words(one.text) for one in (*asked.values(), *prompts.load().values())}) == 160
    assert sum(bool(one.instruments) for one in asked.values()) >= 30
    assert sum(one.tempo_bpm is not None for one in asked.values()) >= 20
    assert sum(one.key is not None for one in asked.values()) >= 12
    assert sum(one.genre is not None for one in asked.values()) >= 20
    assert sum(not one.has_facts for one in asked.values()) == 5
    for one in asked.values():
        assert {option for choice in one.instruments for option in choice.split("/")} <= set(INSTRUMENTS)
        assert one.genre in {None, "solo", *(genre.name for genre in GENRES)}
        read = facts_in(one.text)
        if isinstance(read.tempo_bpm, float):
            assert read.tempo_bpm == one.tempo_bpm
        assert read.key in (None, one.key)
        assert read.genre in (None, one.genre)


@pytest.mark.parametrize("name", ["default", "strangers"])
def test_no_prompt_is_a_caption(name: str) -> None:
    """The composer describes the very facts of each prompt, in all its styles: it never finds the prompt's words."""
    everything = prompts.load(name)
    texts = {words(asked.text) for asked in everything.values()}
    rng = np.random.default_rng(0)
    moods = tuple(MOOD_WORDS)
    for asked, style in product(everything.values(), STYLES + HELD_OUT_STYLES):
        for _ in range(3):
            facts = Facts(
                asked.genre or "solo",
                tuple(choice.split("/")[0] for choice in asked.instruments),
                tuple(str(mood) for mood in rng.choice(moods, 2)),
                asked.tempo_bpm if isinstance(asked.tempo_bpm, float) else None,
                asked.key if asked.key and " " in asked.key else "",
                "4/4",
            )
            assert words(caption(facts, rng, style)) not in texts


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": "a", "text": "rain", "tempo_bpm": 80}\n')
    assert prompts.load(path) == {"a": Asked("rain", 80.0)}
    with pytest.raises(UserError, match="default, quick, strangers"):
        prompts.load("best")
