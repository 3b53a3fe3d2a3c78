"""The Song Describer table: one entry a track with all its captions."""

from pathlib import Path

import pytest

from cadenza.data.manifest import read_manifest
from cadenza.data.songdescriber import import_songdescriber
from cadenza.errors import UserError
from data.recordings import save, tune

TABLE = """caption_id,track_id,caption,is_valid_subset,familiarity,artist_id,album_id,path,duration,genre
1,1004034,"Electronic music, calm",True,0,artist_1,album_1,34/1004034.mp3,201.5,"['electronic', 'ambient']"
2,1004034,A second view,False,1,artist_1,album_1,34/1004034.mp3,201.5,"['electronic', 'ambient']"
3,1007274,Solo guitar,False,0,artist_2,album_2,74/1007274.mp3,180.0,genre---rock
4,999,Lost,True,0,artist_3,album_3,99/999.mp3,100.0,
"""


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    (tmp_path / "song_describer.csv").write_text(TABLE)
    save(tune(1, 1.2), tmp_path / "audio" / "34" / "1004034.2min.mp3")
    save(tune(2, 1.2), tmp_path / "audio" / "74" / "1007274.mp3")
    return tmp_path / "audio"


def test_tracks_and_captions(audio: Path):
    report = import_songdescriber(audio.parent / "song_describer.csv", audio)
    first, second = read_manifest(audio)
    assert report.entries == [first, second]
    assert first.captions == ("Electronic music, calm", "A second view")
    assert (first.id, first.split, first.info) == ("1004034", "test", {"genre": "electronic, ambient"})
    assert (first.tags["artist_id"], first.tags["album_id"]) == ("artist_1", "album_1")
    assert (second.captions, second.info) == (("Solo guitar",), {"genre": "rock"})
    assert report.skipped[0].reason == "missing: not in the folder" and report.skipped[0].path == "99/999.mp3"


def test_only_captions_that_were_checked(audio: Path):
    out = audio.parent / "valid.jsonl"
    (entry,) = import_songdescriber(audio.parent / "song_describer.csv", audio.parent, out, valid_only=True).entries
    assert entry.captions == ("Electronic music, calm",)
    assert read_manifest(out) == [entry]


def test_a_row_without_a_path_is_found_by_its_number(audio: Path):
    (audio.parent / "few.csv").write_text("track_id,caption,path\n1004034,Calm,\n5,Lost,\n")
    (audio / "34" / "1004034.2min.mp3").rename(audio / "1004034.2min.mp3")
    report = import_songdescriber(audio.parent / "few.csv", audio)
    assert [entry.id for entry in report.entries] == ["1004034"]
    assert len(report.skipped) == 1


def test_mistakes(audio: Path):
    table = audio.parent / "song_describer.csv"
    with pytest.raises(UserError, match="no such folder"):
        import_songdescriber(table, audio / "nowhere")
    (audio / "empty").mkdir()
    with pytest.raises(UserError, match="none of 3 recordings"):
        import_songdescriber(table, audio / "empty")
    table.write_text("a,b\n")
    with pytest.raises(UserError, match="no column track_id"):
        import_songdescriber(table, audio)
