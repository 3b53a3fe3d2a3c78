"""Artists and genres: names, ids, and the vector that stands for them."""

import json
from pathlib import Path

import pytest
import torch

from cadenza.errors import UserError
from cadenza.jukebox.labels import LabelConfig, LabelEmbedding, LabelSet, Piece, artist_key, genre_keys
from jukebox_priors import PARITY

TEXT = json.loads((PARITY / "jukebox_text.json").read_text())


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_names_are_looked_up_as_in_the_reference(version: str) -> None:
    for entry in TEXT["artist_names"][version]:
        assert artist_key(entry["name"], version) == entry["looked_up"]
    for entry in TEXT["genre_names"][version]:
        assert genre_keys(entry["name"], version) == entry["looked_up"]


def written(folder: Path) -> Path:
    (folder / "v2_artist_ids.txt").write_text("unknown;0\nblue_harbour;7\nthe_paper_moons;8\n")
    (folder / "v2_genre_ids.txt").write_text("unknown;0\ncountry;3\nrock;4\n")
    (folder / "v3_artist_ids.txt").write_text("blue harbour;1\nspeaker;2\nspeaker;5\na;b;9\n")
    (folder / "v3_genre_ids.txt").write_text("country rock;6\n")
    return folder


def test_a_users_own_lists(tmp_path: Path) -> None:
    v2, v3 = (LabelSet.read(written(tmp_path), version) for version in ("v2", "v3"))
    assert (v2.artist("Blue Harbour!"), v3.artist("Blue Harbour")) == (7, 1)
    assert (v2.genre("Country-Rock"), v3.genre("Country Rock")) == ((3, 4), (6,))
    assert v3.artist("Speaker") == 5  # the later of two
    assert v3.artist("a;b") == 9


def test_unknown_names_are_answered_with_near_ones(tmp_path: Path) -> None:
    v2 = LabelSet.read(written(tmp_path), "v2")
    with pytest.raises(UserError, match=r"artist 'Blue Harbor' \(looked up as 'blue_harbor'\).*mean blue_harbour\?"):
        v2.artist("Blue Harbor")
    with pytest.raises(UserError, match=r"genre 'Rok'.*did you mean rock"):
        v2.genre("Rok")
    with pytest.raises(UserError, match=f"known: {', '.join(v2.genres)}$"):
        v2.genre("zzzzzz")
    many = LabelSet("v3", {str(number): number for number in range(100)}, {})
    with pytest.raises(UserError, match="give the id of one of the 100 known"):
        many.artist("zzzzzz")
    with pytest.raises(UserError, match="no list of labels at"):
        LabelSet.read(tmp_path / "elsewhere", "v2")
    (tmp_path / "v2_artist_ids.txt").write_text("a;1\nb\n")
    with pytest.raises(UserError, match="line 2: 'b' is not of the form name;id"):
        LabelSet.read(tmp_path, "v2")


def test_the_start_is_the_artist_and_all_genres() -> None:
    embedding = LabelEmbedding(LabelConfig(num_genres=5, num_artists=6, max_genres=3), 4)
    genres, artists = embedding.genres.weight, embedding.artists.weight
    start = embedding([Piece(artist=2, genres=(1, 4)), Piece(artist=5, genres=()), Piece(genres=(3, 3, 3))])
    expected = torch.stack([artists[2] + genres[1] + genres[4], artists[5], artists[0] + 3 * genres[3]])
    torch.testing.assert_close(start, expected[:, None])
