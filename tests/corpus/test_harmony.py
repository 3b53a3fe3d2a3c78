"""Progressions keep their promises: cadences, announced modulations, a tonic at the end."""

from itertools import pairwise

import numpy as np
import pytest

from cadenza.corpus.form import lay_out
from cadenza.corpus.harmony import chord_spans, harmonise
from cadenza.corpus.progressions import BRIDGES, CADENCES, CLASSIC_MAJOR, CLASSIC_MINOR, TONICS
from cadenza.corpus.score import Meter, Section
from cadenza.corpus.theory import Key, chord_from_numeral, dominant_of

_CLASSIC = {"major": CLASSIC_MAJOR, "minor": CLASSIC_MINOR}
_C = Key(0, "major")


def _words(section: Section) -> list[str]:
    """The section's numerals, one word a bar."""
    pairs = zip(section.numerals[::2], section.numerals[1::2], strict=True)
    return ["_".join(filter(None, pair)) for pair in pairs]


@pytest.mark.parametrize("idiom", sorted(CADENCES))
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_every_cadence_and_bridge_parses(idiom: str, mode: str) -> None:
    key = Key(7, mode)
    for kind, cadences in CADENCES[idiom][mode].items():
        for cadence in cadences:
            bars = cadence.split()
            assert len(bars) == 2
            chords = [chord_from_numeral(numeral, key) for bar in bars for numeral in bar.split("_")]
            assert (chords[-1].root == key.tonic) == (kind in ("full", "plagal")), cadence
    for bridge in BRIDGES[idiom][mode]:
        assert len(bridge.split()) == 4
        assert [chord_from_numeral(n, key) for bar in bridge.split() for n in bar.split("_")]
    assert chord_from_numeral(TONICS[idiom][mode], key).root == key.tonic


@pytest.mark.parametrize("seed", range(12))
def test_modulations_are_announced_and_resolve(seed: int) -> None:
    """The dominant seventh of the new key goes before it, and its tonic opens it."""
    home = Key(seed, ("major", "minor")[seed % 2])
    outline = lay_out(np.random.default_rng(seed), "ternary", home, 40, "related")
    sections = harmonise(np.random.default_rng(seed), "classical", _CLASSIC, outline)
    for before, after in pairwise(sections):
        if before.key == after.key:
            continue
        leaving = chord_spans(Meter(4), before)[-1].chord
        arriving = chord_spans(Meter(4), after)[0].chord
        assert leaving.root == (after.key.tonic + 7) % 12
        assert (after.key.tonic + 11) % 12 in leaving.classes
        assert arriving.root == after.key.tonic


@pytest.mark.parametrize("seed", range(12))
def test_periods_ask_and_answer(seed: int) -> None:
    """In eight bars of a classical theme the first phrase stops on the dominant, the second on the tonic."""
    outline = lay_out(np.random.default_rng(seed), "ternary", _C, 24)
    sections = harmonise(np.random.default_rng(seed), "classical", _CLASSIC, outline)
    theme = sections[0]
    assert theme.num_bars == 8
    words = _words(theme)
    assert chord_from_numeral(words[3].split("_")[-1], _C).root == 7
    assert chord_from_numeral(words[7], _C).root == 0
    returning = [s for s in sections if s.name == "theme"]
    assert len(returning) > 1
    assert _words(returning[1])[:2] == words[:2]


def test_a_blues_is_a_blues() -> None:
    rows = ("I7 IV7 I7 I7", "IV7 IV7 I7 I7", "V7 IV7 I7 V7")
    outline = lay_out(np.random.default_rng(0), "blues", _C, 24)
    first = harmonise(np.random.default_rng(0), "blues", {"major": rows, "minor": rows}, outline)[0]
    assert _words(first) == " ".join(rows).split()


def test_chords_change_on_beats() -> None:
    for meter, middle in ((Meter(4), 2.0), (Meter(3), 2.0), (Meter(5), 3.0), (Meter(2, 1.5), 1.5)):
        spans = chord_spans(meter, Section("theme", 0, 2, ("I", "V", "I", ""), _C))
        assert [s.start for s in spans] == [0.0, middle, meter.bar_quarters]
        assert spans[-1].duration == meter.bar_quarters


def test_the_dominant_of_any_key_is_found_from_any_key() -> None:
    for here in range(12):
        for there in range(12):
            chord = chord_from_numeral(dominant_of(Key(there, "minor"), Key(here, "major")), Key(here, "major"))
            assert chord.classes == tuple((there + 7 + step) % 12 for step in (0, 4, 7, 10))
