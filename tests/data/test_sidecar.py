"""Side-cars: audiocraft's JSON, lines of text, names; what cannot be used is told."""

import json
import zipfile
from pathlib import Path

import pytest

from cadenza.data.captions import Info
from cadenza.data.sidecar import caption_from_info, caption_from_name, read_sidecar, usable_info


def test_json_and_text_are_joined_without_repetition(tmp_path: Path):
    (tmp_path / "a.json").write_text(
        json.dumps({"description": "Slow piano", "captions": ["Slow piano", "Sad keys"], "genre": "Jazz"}),
        encoding="utf-8-sig",
    )
    (tmp_path / "a.txt").write_text("A lament \n\nSad keys\n")
    found = read_sidecar(tmp_path / "a.wav")
    assert found.captions == ("A lament", "Sad keys", "Slow piano")
    assert found.info == {"description": "Slow piano", "genre": "jazz"}
    assert found.problems == ()


def test_nothing_beside_is_no_problem(tmp_path: Path):
    found = read_sidecar(tmp_path / "a.wav")
    assert (found.captions, found.info, found.problems) == ((), {}, ())


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 10**5, '{"title": "\\ud800"}', "\xff".encode("latin-1")])
def test_broken_metadata_is_told(content: str | bytes, tmp_path: Path):
    (tmp_path / "a.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    ((path, reason),) = read_sidecar(tmp_path / "a.wav").problems
    assert path == str(tmp_path / "a.json")
    assert reason.startswith("unreadable metadata")


def test_an_archive_with_a_password_is_told(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("a.json", "{}")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of an encrypted file
    (tmp_path / "a.zip").write_bytes(content)
    ((_, reason),) = read_sidecar(tmp_path / "a.wav", str(tmp_path / "a.zip:a.json")).problems
    assert "encrypted" in reason


def test_one_wrong_field_does_not_cost_the_others():
    info, wrong = usable_info({"bpm": "brisk", "genre": "Rock", "title": 7, "isrc": "X"})
    assert info == {"genre": "rock"}
    assert len(wrong) == 2 and "bpm is 'brisk'" in wrong[0]


@pytest.mark.parametrize(
    ("info", "caption"),
    [
        (
            {"moods": ("sad", "calm"), "genre": "jazz", "instrument": "piano", "bpm": 90.0, "key": "a minor"},
            "Sad, calm jazz with piano at 90 bpm in A minor",
        ),
        ({"genre": "techno", "bpm": 128.5}, "Techno at 128.5 bpm"),
        ({"instrument": "violin"}, "Music with violin"),
        ({"keywords": ("lo-fi", "tape")}, "Music, lo-fi, tape"),
        ({"title": "Blue", "artist": "X"}, None),
    ],
)
def test_a_sentence_from_fields(info: Info, caption: str | None):
    assert caption_from_info(info) == caption


@pytest.mark.parametrize(
    ("path", "caption"),
    [
        ("/m/Lo-Fi Jazz/03_-_blue_night_(final).wav", "blue night, Lo-Fi Jazz"),
        ("/m/house/deep/128 bpm BlueNight.mp3", "128 bpm Blue Night, deep, house"),
        ("/m/track_01.wav", None),
        ("/m/wav/0012.wav", None),
        ("/m/ambient/9f86d081884c.flac", "ambient"),
        ("/m/夜の歌.mp3", "夜の歌"),
        ("/m/Song 320kbps (Official Audio).mp3", "Song"),
    ],
)
def test_a_caption_from_names(path: str, caption: str | None):
    assert caption_from_name(path, "/m") == caption


def test_the_folder_that_was_given_has_a_name_too():
    assert caption_from_name("/x/warm_techno_loops/01.wav", "/x/warm_techno_loops") == "warm techno loops"
    assert caption_from_name("/x/warm_techno_loops/sub/01.wav", "/x/warm_techno_loops") == "sub"
