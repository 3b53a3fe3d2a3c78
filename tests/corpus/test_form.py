"""Layouts fill what was asked, return to where they began, and change key as their kind does."""

import numpy as np
import pytest

from cadenza.corpus.form import FORMS, lay_out
from cadenza.corpus.theory import Key

_HOME = Key(2, "minor")


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_length_is_filled_exactly(form: str) -> None:
    for num_bars in (*range(4, 80), 133, 240):
        sections = lay_out(np.random.default_rng(num_bars), form, _HOME, num_bars)
        assert sum(s.num_bars for s in sections) == num_bars
        assert [s.first_bar for s in sections] == [sum(t.num_bars for t in sections[:i]) for i in range(len(sections))]
        assert all(s.key == _HOME and 0 < s.energy <= 1 for s in sections)


@pytest.mark.parametrize(
    ("form", "num_bars", "names"),
    [
        ("aaba", 16, {"theme", "bridge"}),
        ("song", 64, {"intro", "verse", "pre-chorus", "chorus", "solo", "bridge"}),
        ("ternary", 72, {"theme", "episode", "second episode"}),
        ("dance", 64, {"intro", "build-up", "drop", "breakdown"}),
        ("blues", 48, {"round", "solo"}),
    ],
)
def test_forms_have_their_sections(form: str, num_bars: int, names: set[str]) -> None:
    found = {s.name for s in lay_out(np.random.default_rng(5), form, _HOME, num_bars)}
    assert names <= found | {"ending", "outro", "breakdown"}


def test_blues_rounds_have_twelve_bars() -> None:
    assert [s.num_bars for s in lay_out(np.random.default_rng(1), "blues", _HOME, 36)] == [12, 12, 12]


def test_choruses_are_stronger_than_verses_and_breakdowns_weakest() -> None:
    sections = lay_out(np.random.default_rng(2), "song", _HOME, 56)
    energy = {s.name: s.energy for s in sections}
    assert energy["chorus"] > energy["verse"] > energy["intro"]


def test_related_keys_come_home_and_lifts_stay() -> None:
    wandered = lifted = 0
    for seed in range(30):
        sections = lay_out(np.random.default_rng(seed), "ternary", _HOME, 32, "related")
        keys = [s.key for s in sections]
        wandered += len(set(keys)) > 1
        assert all(s.key == _HOME for s in sections if s.name in ("theme", "outro", "ending"))
        assert {s.key for s in sections if s.name == "episode"} <= {_HOME, _HOME.relative}
        keys = [s.key for s in lay_out(np.random.default_rng(seed), "song", _HOME, 48, "lift")]
        lifted += keys[-1] != keys[0]
        assert len(set(keys)) <= 2
        assert (keys[-1].tonic - keys[0].tonic) % 12 in (0, 1, 2)
    assert wandered > 10
    assert lifted > 3
