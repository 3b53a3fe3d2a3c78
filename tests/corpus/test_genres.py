"""What the tables of genres promise to whoever draws from them."""

from cadenza.corpus.genre import FOUR, Genre
from cadenza.corpus.genres import GENRES, SOLO_INSTRUMENTS, intensity_of
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.patterns import BASS_PATTERNS, CHORD_PATTERNS, DRUM_PATTERNS

_TABLES = {
    "chords": {name: set(meters) for name, meters in CHORD_PATTERNS.items()},
    "bass": {name: set(meters) for name, meters in BASS_PATTERNS.items()},
    "drums": {name: set(meters) for name, meters in DRUM_PATTERNS.items()},
}


def test_every_line_has_a_pattern_in_every_meter_of_its_genre() -> None:
    for genre in GENRES:
        for lineup in genre.lineups:
            for line in lineup:
                if line.role not in _TABLES or line.patterns == ("timpani",):
                    continue
                assert set(line.patterns) <= set(_TABLES[line.role]), (genre.name, line)
                for meter in genre.meters:
                    assert any(meter.name in _TABLES[line.role][p] for p in line.patterns), (genre.name, line, meter)


def test_line_ups_name_instruments_that_exist_and_begin_with_someone_certain() -> None:
    for genre in GENRES:
        assert len(genre.lineups) >= 4, genre.name
        for lineup in genre.lineups:
            assert all(set(line.instruments) <= set(INSTRUMENTS) for line in lineup)
            assert any(line.chance == 1.0 for line in lineup), genre.name
            assert all(0 < line.chance <= 1 and 0 < line.level <= 1 for line in lineup)


def test_every_instrument_plays_in_some_line_up() -> None:
    assert {i for g in GENRES for lineup in g.lineups for line in lineup for i in line.instruments} == set(INSTRUMENTS)


def test_soloists_name_patterns_that_exist_in_common_time() -> None:
    for name, patterns in SOLO_INSTRUMENTS.items():
        assert name in INSTRUMENTS
        assert all(FOUR.name in CHORD_PATTERNS[p] or "3/4" in CHORD_PATTERNS[p] for p in patterns)


def test_genres_are_balanced() -> None:
    """No genre is drawn more than twice as often as another."""
    weights = [genre.weight for genre in GENRES]
    assert max(weights) <= 2 * min(weights)
    assert len({genre.name for genre in GENRES}) == 26


def test_intensity_follows_energy_within_the_genre() -> None:
    for genre in GENRES:
        assert genre.intensity(0.35) == genre.swell[0] < genre.intensity(0.7) < genre.intensity(1.0)
        assert abs(genre.intensity(1.0) - genre.swell[1]) < 1e-9
        assert intensity_of(genre.name, 0.6) == genre.intensity(0.6)
    assert intensity_of("solo", 0.1) == 0.0 and intensity_of("solo", 1.0) == 1.0


def test_five_four_and_six_eight_belong_to_several_traditions() -> None:
    def with_meter(name: str) -> list[Genre]:
        return [g for g in GENRES if name in {m.name for m in g.meters}]

    assert {g.name for g in with_meter("5/4")} == {"jazz", "rock", "metal", "orchestral", "folk"}
    assert len(with_meter("6/8")) >= 8 and len(with_meter("3/4")) >= 8
