"""Every row of every pattern fits its bar, is written in its notation, and grows from calm to full."""

from collections.abc import Iterator

import numpy as np
import pytest

from cadenza.corpus.drumkit import CLAP, RIM, SNARE
from cadenza.corpus.fills import FILL_STYLES, FILLS, SIX_FILLS, fills_of
from cadenza.corpus.genres import GENRES
from cadenza.corpus.patterns import BASS_PATTERNS, CHORD_PATTERNS, DRUM_PATTERNS, bar_of, choose

_SIXTEENTHS = {"4/4": 16, "3/4": 12, "6/8": 12, "5/4": 20}
_NOTATION = {"chords": set(".-xXumbBpqoi0123"), "bass": set(".-R5D367OGNWA")}


def _rows() -> Iterator[tuple[str, str, str, str]]:
    for role, table in (("chords", CHORD_PATTERNS), ("bass", BASS_PATTERNS)):
        for name, meters in table.items():
            for meter, rows in meters.items():
                for row in rows:
                    for bar in row.split("|"):
                        yield role, name, meter, bar


def test_chord_and_bass_rows_fit_their_bars() -> None:
    """A bar has whole sixteenths, eighths or quarters: its length divides the bar's sixteenths."""
    checked = 0
    for role, name, meter, bar in _rows():
        assert _SIXTEENTHS[meter] % len(bar) == 0, (role, name, meter, bar)
        assert set(bar) <= _NOTATION[role], (role, name, meter, bar)
        checked += 1
    assert checked > 300


def test_drum_rows_fit_their_bars() -> None:
    """Sixteenths, or thirty-seconds for rolled hi-hats."""
    for name, meters in DRUM_PATTERNS.items():
        for meter, grooves in meters.items():
            for groove in grooves:
                for drum, row in groove.items():
                    assert 35 <= drum <= 81
                    for bar in row.split("|"):
                        assert len(bar) in (_SIXTEENTHS[meter], 2 * _SIXTEENTHS[meter]), (name, meter, drum)
                        assert set(bar) <= set(".xAo")


def test_the_fullest_groove_strikes_more_than_the_calmest() -> None:
    weight = {".": 0.0, "o": 0.5, "x": 1.0, "A": 1.3}

    def force(groove: dict[int, str]) -> float:
        return sum(sum(weight[s] for s in row) / (row.count("|") + 1) for row in groove.values() if weight.keys())

    weight["|"] = 0.0
    for name, meters in DRUM_PATTERNS.items():
        for meter, grooves in meters.items():
            if len(grooves) > 1:
                assert force(grooves[-1]) > force(grooves[0]), (name, meter)


def test_breakdowns_of_dance_genres_have_no_kick() -> None:
    for name in ("house", "techno", "trance", "disco"):
        calmest, *others = DRUM_PATTERNS[name]["4/4"]
        assert 36 not in calmest
        assert all(groove[36].startswith("A...A...A...A...") for groove in others)


def test_backbeats_stay_where_the_tradition_puts_them() -> None:
    """Rock, funk and disco answer on two and four, reggae's drop falls on two and four or on three."""
    for name in ("rock", "funk", "disco", "synthwave", "hip hop"):
        for groove in DRUM_PATTERNS[name]["4/4"][1:]:
            backs = [bar for drum in (SNARE, CLAP, RIM) if drum in groove for bar in groove[drum].split("|")]
            assert any(bar[4] in "xA" for bar in backs), name
    assert all(groove[36][0] == "." for groove in DRUM_PATTERNS["reggae"]["4/4"][:3])


def test_fills_have_whole_steps_and_end_with_a_stroke_near_the_phrase() -> None:
    for table, parts in ((FILLS, 2), (SIX_FILLS, 3)):
        for style, fills in table.items():
            assert [f.beats for f in fills] == sorted(f.beats for f in fills), style
            for fill in fills:
                last = 0.0
                for row in fill.rows.values():
                    assert len(row) % fill.beats == 0 and set(row) <= set(".xAo"), (style, row)
                    assert len(row) // fill.beats in (parts, 2 * parts, 4 * parts, 3), (style, row)
                    strokes = [i for i, s in enumerate(row) if s != "."]
                    last = max(last, (strokes[-1] + 1) / len(row) * fill.beats if strokes else 0.0)
                assert last > fill.beats - 1.0, (style, fill)


def test_every_drum_pattern_has_fills_for_its_meters() -> None:
    assert set(FILL_STYLES) == set(DRUM_PATTERNS)
    for name in DRUM_PATTERNS:
        assert fills_of(name, 1.0) and fills_of(name, 1.5)


def test_bars_take_turns() -> None:
    assert [bar_of("ab|cd", i) for i in range(3)] == ["ab", "cd", "ab"]
    assert bar_of("ab", 5) == "ab"


@pytest.mark.parametrize(("intensity", "expected"), [(0.0, {0}), (0.5, {1, 2, 3}), (1.0, {4}), (None, {0, 1, 2, 3, 4})])
def test_intensity_chooses_the_row(intensity: float | None, expected: set[int]) -> None:
    rng = np.random.default_rng(0)
    drawn = {choose(rng, (0, 1, 2, 3, 4), intensity) for _ in range(200)}
    assert drawn == expected if intensity is None else drawn <= expected


def test_every_pattern_is_played_by_some_genre_or_soloist() -> None:
    named = {p for g in GENRES for lineup in g.lineups for line in lineup for p in line.patterns}
    assert set(BASS_PATTERNS) <= named | {"drone"}
    assert set(DRUM_PATTERNS) <= named | {"ballad"}
