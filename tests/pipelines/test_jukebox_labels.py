"""Names of artists and genres: the lists, and what each level is told."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from cadenza.errors import CheckpointError, UserError
from cadenza.jukebox.labels import LabelSet
from cadenza.pipelines.jukebox_labels import LabelBook

BOOK = LabelBook(
    {
        "v3": LabelSet("v3", {"alan jackson": 6785, "new face": 9}, {"country rock": 546}),
        "v2": LabelSet("v2", {"alan_jackson": 145}, {"country": 11, "rock": 8}),
    }
)


def test_each_list_is_asked_in_its_own_words(caplog: pytest.LogCaptureFixture) -> None:
    """The published ids (reference, section 3.6)."""
    assert BOOK.artist("Alan Jackson", ["v3", "v2"]) == {"v3": 6785, "v2": 145}
    assert BOOK.genre("Country Rock", ["v3", "v2"]) == {"v3": (546,), "v2": (11, 8)}
    assert BOOK.artist("Alan Jackson", ["v2"]) == {"v2": 145}
    assert not caplog.records


def test_a_name_that_only_the_top_knows_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "cadenza"):
        assert BOOK.artist("New Face", ["v3", "v2"]) == {"v3": 9}
    assert "do not know the artist 'New Face'" in caplog.text


def test_ids_need_no_lists() -> None:
    book = LabelBook()
    assert book.artist(7, ["v3", "v2"]) == {"v3": 7}
    assert book.artist({"v2": 3, "v3": 7}, ["v3", "v2"]) == {"v3": 7, "v2": 3}
    assert book.genre((1, 2), ["v2"]) == {"v2": (1, 2)}
    assert book.genre({"v2": 3}, ["v3", "v2"]) == {"v2": (3,)}
    assert book.artist(None, ["v3"]) == book.artist("", ["v3"]) == book.genre((), ["v3"]) == {}


@pytest.mark.parametrize("wrong", [-1, 1.5, True, {"v9": 1}, ["x"]])
def test_what_is_no_label_is_refused(wrong: Any) -> None:
    with pytest.raises(UserError, match="give a name, an id"):
        BOOK.artist(wrong, ["v3"])
    with pytest.raises(UserError, match="give a name, an id"):
        BOOK.genre(wrong, ["v3"])


def test_unknown_names_come_with_near_ones_and_without_lists_with_a_remedy() -> None:
    with pytest.raises(UserError, match="artist 'Alan Jakson' is unknown: did you mean alan jackson"):
        BOOK.artist("Alan Jakson", ["v3", "v2"])
    with pytest.raises(UserError, match="no names are known here; give the folder jukebox/data/ids"):
        LabelBook().artist("Alan Jackson", ["v3"])


def test_a_copy_of_the_original_is_read_from_its_root_or_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "jukebox" / "data" / "ids"
    folder.mkdir(parents=True)
    (folder / "v2_artist_ids.txt").write_text("alan_jackson;145\n")
    (folder / "v2_genre_ids.txt").write_text("rock;8\n")
    for place in (tmp_path, tmp_path / "jukebox", folder):
        assert LabelBook.read(place).artist("Alan Jackson", ["v2"]) == {"v2": 145}
    with pytest.raises(UserError, match="no lists of labels in"):
        LabelBook.read(tmp_path / "jukebox" / "data" / "nothing")


def test_lists_of_transformers_are_told_apart_by_their_ending(tmp_path: Path) -> None:
    (tmp_path / "artists.json").write_text(json.dumps({"alan jackson": 6785, "alan_jackson.v2": 145}))
    (tmp_path / "genres.json").write_text(json.dumps({"country rock": 546, "rock.v2": 8}))
    book = LabelBook.read(tmp_path)
    assert book.artist("Alan Jackson", ["v3", "v2"]) == {"v3": 6785, "v2": 145}
    assert book.sets["v2"].genres == {"rock": 8}
    (tmp_path / "genres.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"genres\.json"):
        LabelBook.read(tmp_path)


@pytest.mark.parametrize("versions", [["v3"], ["v3", "v2"]])
def test_saved_lists_are_read_back(versions: list[Any], tmp_path: Path) -> None:
    LabelBook({version: BOOK.sets[version] for version in versions}).save(tmp_path / "labels.json")
    again = LabelBook.read(tmp_path)
    assert list(again.sets) == versions
    assert again.artist("Alan Jackson", versions) == {v: BOOK.artist("Alan Jackson", [v])[v] for v in versions}


@pytest.mark.parametrize(
    "content",
    [
        '{"version": "v9"}',
        '{"version": "v3", "artists": {"a": -1}}',
        '{"version": "v3", "artists": {"a": true}, "genres": {}}',
        '{"lists": 3}',
    ],
)
def test_malformed_lists_are_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"labels\.json: "):
        LabelBook.read(tmp_path)


def test_names_are_searched() -> None:
    assert BOOK.search("artist", "jack", "v3") == [("alan jackson", 6785)]
    assert BOOK.search("genre", "contry rock", "v3") == [("country rock", 546)]
