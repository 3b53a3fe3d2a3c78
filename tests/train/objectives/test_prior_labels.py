"""Names get rows: known ones keep theirs, new ones stand behind; pieces are told what the manifest says."""

from typing import Any

import pytest

from cadenza.errors import UserError
from cadenza.jukebox.labels import LabelConfig, LabelSet, Piece
from cadenza.jukebox.lyrics import Vocabulary
from cadenza.train.objectives.prior_config import LabelFields
from cadenza.train.objectives.prior_data import Track
from cadenza.train.objectives.prior_labels import grown, learn_names, pieces_of
from train.tiny_prior import IN_SEQUENCE, SUNG, TOP

FIELDS = LabelFields()


def track(**facts: Any) -> Track:
    return Track("one", "train", facts, 4000)


TRACKS = [
    track(artist="Bo", genre="Country Rock"),
    track(artist="Ada & Co.", genre=["rock", "slow"]),
    track(artist="ada & co.", genre="Rock"),
    track(),
]


def test_the_most_frequent_names_come_first() -> None:
    names = learn_names("v3", None, (0, 0), TRACKS, FIELDS)
    assert names.artists == {"unknown": 0, "ada & co.": 1, "bo": 2}
    assert names.genres == {"unknown": 0, "rock": 1, "country rock": 2, "slow": 3}
    assert learn_names("v3", None, (0, 0), TRACKS, FIELDS, least=2).artists == {"unknown": 0, "ada & co.": 1}
    words = learn_names("v2", None, (0, 0), TRACKS, FIELDS)
    assert words.artists == {"unknown": 0, "ada_co": 1, "bo": 2}
    assert words.genres == {"unknown": 0, "rock": 1, "country": 2, "slow": 3}


def test_known_names_keep_their_rows_and_new_ones_stand_behind_all_that_is_trained() -> None:
    known = LabelSet("v3", {"unknown": 0, "bo": 7}, {"rock": 3})
    names = learn_names("v3", known, (10, 0), TRACKS, FIELDS)
    assert names.artists == {"unknown": 0, "bo": 7, "ada & co.": 10}
    assert names.genres == {"rock": 3, "country rock": 4, "slow": 5}
    table = grown(LabelConfig(version="v3", num_artists=4, num_genres=40), names)
    assert (table.num_artists, table.num_genres) == (11, 40)
    assert learn_names("v3", None, (10, 5), TRACKS, FIELDS).artists == {"unknown": 0, "ada & co.": 10, "bo": 11}


def test_a_piece_is_told_what_the_manifest_says() -> None:
    names = learn_names("v3", None, (0, 0), TRACKS, FIELDS)
    told = pieces_of(TRACKS, names, TOP, FIELDS)
    assert told[1] == Piece(4000, 0, 1, (1, 3), ())
    assert told[3] == Piece(4000, 0, 0, (0,), ())
    many = pieces_of([track(genre=["rock", "Rock", "slow", "country rock"])], names, TOP, FIELDS)
    assert many[0].genres == (1, 3)  # two at most, each once
    (sung,) = pieces_of([track(lyrics=SUNG)], None, IN_SEQUENCE, FIELDS)
    assert sung.lyrics == Vocabulary("v3").encode(SUNG)


def test_a_recording_may_be_a_part_of_its_piece() -> None:
    part = track(piece_seconds=3.0, start_seconds=1.5)
    (piece,) = pieces_of([part], None, TOP, FIELDS)
    assert (piece.total_length, piece.offset) == (12_000, 6000)
    (longer,) = pieces_of([track(piece_seconds=0.5, start_seconds=0.25)], None, TOP, FIELDS)
    assert (longer.total_length, longer.offset) == (5000, 1000)  # no shorter than what is there
    assert pieces_of([track(start_seconds=1.5)], None, TOP, FIELDS)[0] == Piece(4000)
    named = LabelFields(artist="band", length="whole", start="from")
    names = learn_names("v3", None, (0, 0), [track(band="Bo")], named)
    assert pieces_of([track(band="Bo", whole=2.0)], names, TOP, named)[0] == Piece(8000, 0, 1)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"genre": 3}, "genre of .* is 3: give it as text"),
        ({"artist": ["Bo", 3]}, "artist of .* give it as text, or a list of texts"),
        ({"piece_seconds": "long"}, "piece_seconds of one is 'long': give it in seconds"),
        ({"piece_seconds": 3, "start_seconds": -1.0}, "start_seconds of one is -1.0"),
    ],
)
def test_what_is_no_label_is_told(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        pieces_of([track(**facts)], LabelSet("v3", {}, {}), TOP, FIELDS)
