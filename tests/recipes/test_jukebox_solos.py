"""Melodies alone: who plays, in which register, and what is told of it."""

import json
import shutil
from pathlib import Path

import pytest
import soundfile

import jukebox_solos
from cadenza.corpus.score import Note
from cadenza.errors import UserError

SEEDS = range(5_000_000, 5_000_030)


def test_a_solo_is_a_melody_within_its_soloists_register() -> None:
    scores = [score for seed in SEEDS if (score := jukebox_solos.solo(seed)) is not None]
    assert len(scores) > 10
    assert len({score.parts[0].instrument for score in scores}) > 2
    for score in scores:
        (part,) = score.parts
        low, high = jukebox_solos.SOLOISTS[part.instrument]
        assert part.role == "melody"
        assert all(low <= note.pitch <= high for note in part.notes)
    again = jukebox_solos.solo(scores[0].seed)
    assert again == scores[0]


@pytest.mark.parametrize(("pitch", "moved"), [(30, 42), (36, 36), (60, 60), (61, 49), (90, 54)])
def test_notes_move_by_octaves(pitch: int, moved: int) -> None:
    assert jukebox_solos.within(pitch, 36, 60) == moved


def test_silence_is_what_no_note_covers() -> None:
    notes = [Note(0.0, 2.0, 60, 80), Note(1.0, 2.0, 62, 80), Note(6.0, 9.0, 64, 80)]
    assert jukebox_solos.silent_share(notes, 10.0) == pytest.approx(0.3)
    assert jukebox_solos.silent_share([], 4.0) == 1.0


@pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="FluidSynth is not installed")
def test_recordings_are_as_the_manifest_says_and_are_made_once(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "--hours", "0.01", "--seed", "5"]
    jukebox_solos.main(arguments)
    manifest = tmp_path / "manifest.jsonl"
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert sum(row["duration"] for row in rows) >= 36
    for row in rows:
        sound, rate = soundfile.read(tmp_path / row["path"])
        assert rate == row["sample_rate"] == 32000
        assert sound.size / rate == pytest.approx(row["duration"], abs=1e-3)
        assert 0.02 < abs(sound).max() < 1
        assert abs(sound[: rate // 2]).max() > 0.02, "begins with its first note"
        assert row["artist"] in jukebox_solos.SOLOISTS and row["piece_seconds"] == pytest.approx(
            row["duration"], abs=1e-3
        )
    times = [(tmp_path / row["path"]).stat().st_mtime_ns for row in rows]
    jukebox_solos.main(arguments)
    assert [(tmp_path / row["path"]).stat().st_mtime_ns for row in rows] == times


@pytest.mark.parametrize("wrong", [("--hours", "0"), ("--hours", "-1"), ("--hours", "nan"), ("--seed", "-1")])
def test_what_makes_no_music_is_refused(wrong: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=wrong[0]):
        jukebox_solos.main([str(tmp_path / "music"), *wrong])
    assert not (tmp_path / "music").exists()
