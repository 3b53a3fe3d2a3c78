"""Windows of codes: where they begin, what of the level above lies over them, and what of the piece is told."""

from pathlib import Path

import pytest
import torch

from cadenza.data.manifest import read_manifest, write_manifest
from cadenza.errors import UserError
from cadenza.jukebox.labels import Piece
from cadenza.jukebox.prior import PriorConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.train.objectives.prior_data import DrawnWindows, MiddleWindows, Track, Windows, read_tracks
from train.tiny_prior import TOP, UPSAMPLER, VQVAE, write_songs, write_vqvae

LENGTHS = (100, 64, 300, 63)


def tracks(shape: PriorConfig) -> tuple[list[Track], list[Piece]]:
    """Every code is its place; the last recording is too short for a window."""
    stride = 1 if shape.conditioner is None else 2
    made = []
    for number, length in enumerate(LENGTHS):
        codes = torch.arange(length) + 1000 * number
        upper = None if stride == 1 else codes[::stride] // stride
        facts = {"weight": 0.0} if number == 2 else {}
        made.append(Track(str(number), "train", facts, length * shape.hop_length + 3, codes, upper))
    return made, [Piece(track.samples, 40 * number) for number, track in enumerate(made)]


@pytest.mark.parametrize("shape", [TOP.model_copy(update={"timing": None}), UPSAMPLER])
def test_windows_lie_inside_and_the_level_above_lies_over_them(shape: PriorConfig) -> None:
    stride = 1 if shape.conditioner is None else 2
    source = DrawnWindows(Windows(*tracks(shape), shape), batch_size=64, seed=3)
    batch = source.batch(5)
    firsts = batch["codes"][:, 0]
    assert torch.equal(batch["codes"], firsts[:, None] + torch.arange(64))
    assert set(batch["ids"]) == {"0", "1"}  # not what has no weight, nor what is too short
    starts = firsts % 1000
    assert not (starts % stride).any()
    assert {int(start) for name, start in zip(batch["ids"], starts, strict=True) if name == "1"} == {0}
    # The last one is drawn as well.
    assert max(int((source.batch(number)["codes"][:, 0] % 1000).max()) for number in range(8)) == 36
    for name, start, piece in zip(batch["ids"], starts, batch["pieces"], strict=True):
        assert piece.offset == 40 * int(name) + int(start) * shape.hop_length
        assert piece.total_length == LENGTHS[int(name)] * shape.hop_length + 3
    if stride > 1:
        assert torch.equal(batch["upper"], batch["codes"][:, ::2] // 2)
    again = DrawnWindows(Windows(*tracks(shape), shape), batch_size=64, seed=3).batch(5)
    assert torch.equal(batch["codes"], again["codes"])
    assert not torch.equal(batch["codes"], source.batch(6)["codes"])


def test_validation_sees_the_middle_of_every_recording() -> None:
    source = MiddleWindows(Windows(*tracks(UPSAMPLER), UPSAMPLER), batch_size=2, limit=3)
    assert len(source) == 2
    assert [int(code) for code in source.batch(0)["codes"][:, 0]] == [18, 1000]
    assert [int(code) for code in source.batch(1)["codes"][:, 0]] == [2118]


def test_pieces_that_timing_has_no_row_for_are_left_out() -> None:
    timed, pieces = tracks(TOP)  # hop 8 at 4 kHz, pieces from 0.2 s
    long = [Piece(16_000, piece.offset) for piece in pieces]
    with pytest.raises(UserError, match=r"none of 4 recordings holds a window of 0\.13 s"):
        Windows(timed, long, TOP)
    assert [track.id for track in Windows(timed, pieces, TOP).tracks] == ["0", "2"]


def test_codes_are_those_of_the_whole_recording(tmp_path: Path) -> None:
    vqvae = write_vqvae(tmp_path / "vqvae")
    songs = write_songs(tmp_path / "songs", vqvae)
    model = JukeboxVQVAE.from_pretrained(vqvae)
    stored = read_tracks(songs / "tokens", model, UPSAMPLER)
    heard = read_tracks(songs, model, UPSAMPLER)
    assert [(one.id, one.split, one.samples) for one in stored] == [(one.id, one.split, one.samples) for one in heard]
    assert [one.facts.get("artist") for one in stored] == ["Ada", "ada", "Bo", "Ada"]
    windows = Windows(heard, [Piece(one.samples) for one in heard], UPSAMPLER)
    audio = windows.batch([(0, 0)])["audio"]
    assert audio.shape == (1, 1, 256)
    # At the beginning a window's own sound and the whole recording differ by nothing but what comes after.
    codes, upper = model.encode(audio)
    assert stored[0].codes is not None and stored[0].upper is not None
    assert torch.equal(codes[0, :40], stored[0].codes[:40].long())
    assert torch.equal(upper[0, :20], stored[0].upper[:20].long())
    other = JukeboxVQVAE(VQVAE)
    with pytest.raises(UserError, match="level_0 holds codes of another VQ-VAE"):
        read_tracks(songs / "tokens", other, UPSAMPLER)


def test_processes_read_their_own_rows_alone(tmp_path: Path) -> None:
    songs = write_songs(tmp_path)
    heard = read_tracks(songs, JukeboxVQVAE(VQVAE), UPSAMPLER)
    windows = Windows(heard, [Piece(one.samples) for one in heard], UPSAMPLER)
    whole, part = (DrawnWindows(windows, 4, 0, rows).batch(2) for rows in (None, range(2, 4)))
    assert torch.equal(whole["audio"][2:], part["audio"][2:])
    assert not part["audio"][:2].any()
    assert whole["pieces"] == part["pieces"]


def test_weights_are_the_manifests(tmp_path: Path) -> None:
    songs = write_songs(tmp_path)
    nothing = [entry.model_copy(update={"weight": 0.0}) for entry in read_manifest(songs)]
    write_manifest(songs / "manifest.jsonl", nothing)
    heard = read_tracks(songs, JukeboxVQVAE(VQVAE), UPSAMPLER)
    with pytest.raises(UserError, match="all 0"):
        DrawnWindows(Windows(heard, [Piece(one.samples) for one in heard], UPSAMPLER), 2, 0)
