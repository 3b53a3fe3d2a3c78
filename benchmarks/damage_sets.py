"""A composed corpus to sets of clips: true music, other true music to compare with, and nine damaged versions.

Every version is a folder with `manifest.jsonl` and the recordings, and says what the true clip is said to be: whoever
judges it compares the sound with that. One clip a piece, the same names in all versions; the reference holds other
pieces. In `shuffled captions` every sound is a true one, in the same order, and answers the caption of another piece,
whose name it bears: as a model would whose music is perfect and never what was asked for.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.files import atomic_file
from damage_sounds import at_tempo, bar_seconds, deranged, looped_bar, low_passed, other_tempo, with_noise

Row = dict[str, Any]

REFERENCE, TRUE = "reference", "true renders"
NOISE_DB, CUTOFF_HZ = (30, 20, 10), (8000, 4000, 2000)
TEMPO, CAPTIONS, LOOP = "wrong tempo", "shuffled captions", "looped bar"
FACTS = {"seed", "start_seconds", "captions", "genre", "instruments", "tempo_bpm", "key", "meter"}
"""What a manifest must say."""

_SEED = 17


def noise_name(snr_db: float) -> str:
    return f"noise {snr_db:g} dB"


def low_pass_name(cutoff_hz: float) -> str:
    return f"low-pass {cutoff_hz / 1000:g} kHz"


def damages() -> dict[str, Callable[[Row, Audio], Audio]]:
    """Each damage of the sound: the row of the true clip and its audio in, the damaged audio out."""

    def noise(snr_db: float) -> Callable[[Row, Audio], Audio]:
        return lambda row, audio: with_noise(audio, snr_db, int(row["seed"]))

    def low_pass(cutoff_hz: float) -> Callable[[Row, Audio], Audio]:
        return lambda row, audio: low_passed(audio, cutoff_hz)

    def tempo(row: Row, audio: Audio) -> Audio:
        return at_tempo(row["seed"], other_tempo(row["tempo_bpm"]), row["start_seconds"], audio.duration_seconds)

    def loop(row: Row, audio: Audio) -> Audio:
        return looped_bar(audio, row["start_seconds"], bar_seconds(row["tempo_bpm"], row["meter"]))

    found = {noise_name(snr_db): noise(snr_db) for snr_db in NOISE_DB}
    found |= {low_pass_name(cutoff_hz): low_pass(cutoff_hz) for cutoff_hz in CUTOFF_HZ}
    return found | {TEMPO: tempo, LOOP: loop}


def versions() -> tuple[str, ...]:
    """All sets but the reference, the true one first."""
    return (TRUE, *damages(), CAPTIONS)


def make_sets(corpus: Path, target: Path, count: int, progress: Callable[[int, int], None]) -> Mapping[str, Path]:
    """The folder of each version, and of the reference. What lies there already is not made again.

    Args:
        corpus: A folder that `cadenza corpus build` made, held out from whatever is to judge.
        count: Clips per version.
    """
    rows = one_clip_per_piece(corpus)
    if len(rows) < 2 * count:
        raise UserError(
            f"{corpus} holds {len(rows)} pieces: {count} clips and a reference need {2 * count}; build more"
        )
    true, reference = rows[0 : 2 * count : 2], rows[1 : 2 * count : 2]
    folders = {name: target / name.replace(" ", "_") for name in (REFERENCE, *versions())}
    for folder in folders.values():
        (folder / "audio").mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(true):
        _make_clip(corpus, row, folders)
        progress(number + 1, count)
    for row in reference:
        _copy(corpus / row["path"], folders[REFERENCE] / _place(row))
    here = [row | {"path": _place(row)} for row in true]
    for name in (TRUE, *damages()):
        _write(folders[name], here)
    _write(folders[REFERENCE], [row | {"path": _place(row)} for row in reference])
    order = deranged(count, _SEED)
    _write(folders[CAPTIONS], [true[other] | {"path": _place(row)} for row, other in zip(true, order, strict=True)])
    return folders


def one_clip_per_piece(corpus: Path) -> list[Row]:
    """The first clip of each piece, in the order of the pieces."""
    path = corpus / "manifest.jsonl"
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a folder of `cadenza corpus build`")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if any(not row.keys() >= FACTS for row in rows):
        raise UserError(f"{path} does not say how its music was composed; give a folder of `cadenza corpus build`")
    first: dict[int, Row] = {}
    for row in rows:
        first.setdefault(row["seed"], row)
    return list(first.values())


def _make_clip(corpus: Path, row: Row, folders: Mapping[str, Path]) -> None:
    """All versions of one clip."""
    source = corpus / row["path"]
    for name in (TRUE, CAPTIONS):
        _copy(source, folders[name] / _place(row))
    audio: Audio | None = None
    for name, damage in damages().items():
        place = folders[name] / _place(row)
        if not place.exists():
            audio = audio or Audio.read(source)
            damaged = damage(row, audio)
            assert np.abs(damaged.samples).max() <= 1.0
            damaged.write(place, loudness_lufs=None)


def _place(row: Row) -> str:
    return f"audio/{row['id']}.flac"


def _copy(source: Path, place: Path) -> None:
    if not place.exists():
        with atomic_file(place) as temporary:
            shutil.copyfile(source, temporary)


def _write(folder: Path, rows: list[Row]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    with atomic_file(folder / "manifest.jsonl") as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
