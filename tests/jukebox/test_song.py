"""A song in a directory: whole after every window, and nothing else is taken for one."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cadenza.errors import UserError
from cadenza.jukebox.song import SONG_FILE, LevelSampling, Song, SongItem, SongRequest, select

WHOLE = torch.arange(8)[None].repeat(2, 1) + torch.tensor([[0], [8]])


def request(**changes: object) -> SongRequest:
    """Two items; 1000 samples are 8 codes of hop 128, 32 of hop 32."""
    return SongRequest(
        cadenza="0",
        model="m",
        weights={"vqvae": "a" * 64},
        sample_rate=4000,
        codebook_size=16,
        hop_lengths=(32, 128),
        num_samples=1000,
        total_length=4000,
        sampling=(LevelSampling(hop=8), LevelSampling(hop=2)),
        given=(0, 2),
        items=(SongItem(seed=1, artists={"v3": 5}, lyrics="a"), SongItem(seed=2)),
    ).model_copy(update=changes)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    song = Song.begin(request(), {1: WHOLE[:, :2]}, tmp_path / "song")
    song.put(1, WHOLE)
    song.put(0, WHOLE.repeat(1, 2))
    return tmp_path / "song"


def test_what_was_put_is_there_again(kept: Path) -> None:
    song = Song.open(kept)
    assert song.request == request()
    assert torch.equal(song.codes(1), WHOLE)
    assert torch.equal(song.codes(0), WHOLE.repeat(1, 2))
    assert (song.is_complete(1), song.is_complete(0), song.missing(0)) == (True, False, 16)
    assert (song.reach(1), song.reach(0), song.best_level) == (1000, 512, 1)
    song.put(0, WHOLE.repeat(1, 4))
    assert Song.open(kept).best_level == 0
    assert not [path for path in kept.iterdir() if path.name.startswith(".")]


def test_the_finest_level_may_change_its_codes_do_not(kept: Path) -> None:
    song = Song.open(kept)
    song.ask(1)
    assert Song.open(kept).request.down_to == 1
    with pytest.raises(UserError, match="no level 2: use 0"):
        song.ask(2)


def test_items_are_picked(kept: Path) -> None:
    asked, codes = select(Song.open(kept), [1])
    assert [item.seed for item in asked.items] == [2]
    assert torch.equal(codes[1], WHOLE[1:])
    with pytest.raises(UserError, match="no item 2: the song has items 0 to 1"):
        select(Song.open(kept), [2])


def test_a_place_that_is_taken_is_left_alone(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds a song already: resume it"):
        Song.begin(request(), {}, kept)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "diary.txt").write_text("x")
    with pytest.raises(UserError, match="holds something else"):
        Song.begin(request(), {}, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["diary.txt"]


def edit_json(folder: Path, **changes: object) -> None:
    value = json.loads((folder / SONG_FILE).read_text())
    (folder / SONG_FILE).write_text(json.dumps(value | changes))


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "codes_1.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "codes_1.safetensors").write_bytes(content)


def without_checksum(folder: Path) -> None:
    save_file(load_file(folder / "codes_1.safetensors"), folder / "codes_1.safetensors")


def cut(folder: Path) -> None:
    content = (folder / "codes_1.safetensors").read_bytes()
    (folder / "codes_1.safetensors").write_bytes(content[:-7])


def of_another_song(folder: Path) -> None:
    other = folder.parent / "other"
    Song.begin(request(offset=7), {1: WHOLE}, other)
    shutil.copy(other / "codes_1.safetensors", folder)


def top_cut_short(folder: Path) -> None:
    other = folder.parent / "other"
    Song.begin(request(), {1: WHOLE[:, :5]}, other)
    shutil.copy(other / "codes_1.safetensors", folder)


DAMAGE = {
    "a bit flipped": (flip_a_bit, "codes_1.safetensors is damaged"),
    "cut short": (cut, "codes_1.safetensors is damaged"),
    "no checksum": (without_checksum, "codes_1.safetensors is damaged"),
    "of another song": (of_another_song, "belongs to another song"),
    "top incomplete": (top_cut_short, "level 1 is not complete"),
    "given codes gone": (lambda folder: (folder / "codes_1.safetensors").unlink(), "codes_1.safetensors is missing"),
    "no JSON": (lambda folder: (folder / SONG_FILE).write_text("{"), "is not readable JSON"),
    "a newer format": (lambda folder: edit_json(folder, format=2), "is of format 2, this Cadenza knows 1"),
    "a field of another kind": (lambda folder: edit_json(folder, num_samples=-1), r"is damaged \(num_samples"),
    "levels that do not fit": (lambda folder: edit_json(folder, hop_lengths=[32, 100]), "is damaged"),
    "no song": (lambda folder: (folder / SONG_FILE).unlink(), "holds no song"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_clear_line_and_nothing_is_touched(kind: str, kept: Path) -> None:
    break_it, message = DAMAGE[kind]
    break_it(kept)
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    with pytest.raises(UserError, match=message) as error:
        Song.open(kept)
    assert "\n" not in str(error.value)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


def test_a_level_whose_file_was_removed_is_made_anew(kept: Path) -> None:
    (kept / "codes_0.safetensors").unlink()
    assert Song.open(kept).missing(0) == 32
