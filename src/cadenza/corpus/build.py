"""Seeds to a dataset directory: `audio/{id}.flac` (32 kHz mono) and `manifest.jsonl`, one clip a line.

Each piece is composed, rendered whole and cut into clips of 10.3 to 12 s. What has been made stays made: a piece's
rows are written to `pieces/` after its clips, so an interrupted build goes on where it stopped, with the same files.

Run it with `python -m cadenza.corpus.build --out DIR --hours H --seed N`.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.corpus.clips import COMPOSER, cut, describe
from cadenza.corpus.compose import compose
from cadenza.corpus.level import LoudnessMeter, set_level
from cadenza.corpus.render import find_fluidsynth, find_soundfont, render
from cadenza.corpus.synth import SAMPLE_RATE
from cadenza.errors import UserError

LOUDNESS_LUFS = -16.0
PEAK_DB = -1.0
PIECE_SECONDS = (22.0, 30.0, 44.0)
LONG_SECONDS = (90.0, 180.0)
_LONG_SHARE = 0.06
_QUIETEST_LUFS = -62.0
PIECES_PER_SEED, _SEEDS = 1_000_000, 1_000_000


def piece_seconds(seed: int) -> float:
    """How long the piece of a seed is asked to be: short pieces give variety, long ones a whole form.

    Long pieces are few, but a fifth of the hours.
    """
    rng = np.random.default_rng(np.random.SeedSequence([0x1E46, seed]))
    if rng.random() < _LONG_SHARE:
        return round(float(rng.uniform(*LONG_SECONDS)), 1)
    return PIECE_SECONDS[int(rng.integers(len(PIECE_SECONDS)))]


def make_piece(directory: Path, seed: int, soundfont: str | None = None) -> float:
    """Compose, render, cut and write one piece; returns the seconds of audio it has, made now or before."""
    record = directory / "pieces" / f"{seed:09d}.jsonl"
    if record.exists():
        rows = _read_rows(record)
        _must_be_ours(rows, directory)
        return float(sum(row["duration"] for row in rows))
    import soundfile

    score = compose(seed, piece_seconds(seed))
    samples = render(score, soundfont)
    meter = LoudnessMeter(samples, SAMPLE_RATE)
    rows = []
    for clip in cut(score):
        lufs = meter.lufs(clip.start, clip.start + clip.duration)
        row = describe(score, clip)
        if lufs < _QUIETEST_LUFS or not row["instruments"]:
            continue
        begin = int(clip.start * SAMPLE_RATE)
        piece = samples[begin : begin + round(row["duration"] * SAMPLE_RATE)].copy()
        fade = np.linspace(0.0, 1.0, 160, dtype=np.float32)
        piece[:160] *= fade
        piece[-160:] *= fade[::-1]
        target = directory / row["path"]
        partial = target.with_suffix(f".{os.getpid()}.part")
        levelled = set_level(piece, lufs, LOUDNESS_LUFS, PEAK_DB)
        try:
            soundfile.write(partial, levelled, SAMPLE_RATE, "PCM_16", format="FLAC")
            os.replace(partial, target)
        except (OSError, soundfile.LibsndfileError) as error:
            raise UserError(
                f"{target}: cannot be written ({error}); make room, and build again with the same seed to go on"
            ) from error
        rows.append(row)
    _write_rows(record, rows)
    return float(sum(row["duration"] for row in rows))


def _must_be_ours(rows: list[dict[str, Any]], directory: Path) -> None:
    """Raises UserError for the rows of another composer: their seeds stand for other pieces."""
    other = next((row for row in rows if row.get("composer", 1) != COMPOSER), None)
    if other is not None:
        raise UserError(
            f"{directory}: clip {other['id']} is by composer {other.get('composer', 1)}, this is composer {COMPOSER}: "
            "build into another folder"
        )


def redescribe(directory: str | Path) -> Path:
    """Write all manifest lines anew from the seeds, without rendering: for when the captions' words have changed.

    The composer must still write the same notes; a clip of another composer, or whose window has moved, is an error.
    """
    root = Path(directory)
    everything: list[dict[str, Any]] = []
    for record in sorted((root / "pieces").glob("*.jsonl")):
        old = {row["id"]: row for row in _read_rows(record)}
        _must_be_ours(list(old.values()), root)
        seed = int(record.stem)
        score = compose(seed, piece_seconds(seed))
        rows = [row for row in (describe(score, clip) for clip in cut(score)) if row["id"] in old]
        for row in rows:
            before = old[row["id"]]
            if (row["duration"], row["start_seconds"]) != (before["duration"], before["start_seconds"]):
                raise UserError(
                    f"clip {row['id']} of {str(root)!r} was rendered by another composer: build the corpus anew"
                )
        _write_rows(record, rows)
        everything += rows
    _write_rows(root / "manifest.jsonl", everything)
    return root / "manifest.jsonl"


def build(
    directory: str | Path,
    hours: float,
    seed: int = 0,
    workers: int = 1,
    soundfont: str | None = None,
    quiet: bool = False,
) -> Path:
    """Make a dataset of at least the given length, or go on with one that was interrupted.

    Args:
        directory: where; it is made if missing. Give the same hours and seed to go on with an interrupted build.
        hours: total duration of clips.
        seed: which corpus; corpora of different seeds share no piece.
        workers: processes; 1 works in this process.
        soundfont: path of a General MIDI soundfont, by default found in the usual places.
        quiet: print no progress.

    Returns:
        The path of `manifest.jsonl`.

    Raises:
        UserError: bad hours, seed or workers, FluidSynth or its soundfont is missing, the folder cannot be written or
            holds pieces of another composer.
    """
    if not 0 < hours <= 10_000:
        raise UserError(f"hours={hours} makes no corpus: give a number above 0 and up to 10000")
    if not 0 <= seed < _SEEDS:
        raise UserError(f"seed={seed} names no corpus: give a number from 0 to {_SEEDS - 1}")
    if workers < 1:
        raise UserError(f"workers={workers}: give 1 or more")
    find_fluidsynth(find_soundfont(soundfont))
    root = Path(directory)
    try:
        for folder in ("audio", "pieces"):
            (root / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root}: no folder can be made there ({error.strerror}); choose another place") from error
    wanted, made, began, new = hours * 3600.0, 0.0, time.monotonic(), 0.0
    count, shown = 0, 0.0
    for index, seconds, is_new in _pieces(root, seed, workers, soundfont):
        made += seconds
        new += seconds if is_new else 0.0
        count = index + 1
        if not quiet and time.monotonic() - shown > 5:
            shown = time.monotonic()
            rate = new / max(1e-6, shown - began)
            left = (wanted - made) / rate / 60 if rate > 0 else float("inf")
            print(
                f"{count} pieces, {made / 3600:.2f} of {hours} h, {rate:.0f} x real time, {left:.1f} min left",
                file=sys.stderr,
                flush=True,
            )
        if count % 500 == 0:
            _write_manifest(root, seed, count)
        if made >= wanted:
            break
    return _write_manifest(root, seed, count)


def _pieces(root: Path, seed: int, workers: int, soundfont: str | None) -> Iterator[tuple[int, float, bool]]:
    """Pieces in the order of their seeds: index, seconds, and whether it was made now."""
    jobs = ((index, root, seed * PIECES_PER_SEED + index, soundfont) for index in range(PIECES_PER_SEED))
    if workers <= 1:
        yield from map(_work, jobs)
        return
    # Chunks keep the pool from running far ahead of what is wanted.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        while chunk := list(itertools.islice(jobs, workers * 4)):
            yield from pool.imap(_work, chunk)


def _work(job: tuple[int, Path, int, str | None]) -> tuple[int, float, bool]:
    index, root, seed, soundfont = job
    is_new = not (root / "pieces" / f"{seed:09d}.jsonl").exists()
    return index, make_piece(root, seed, soundfont), is_new


def _write_manifest(root: Path, seed: int, count: int) -> Path:
    rows: list[dict[str, Any]] = []
    for index in range(count):
        rows += _read_rows(root / "pieces" / f"{seed * PIECES_PER_SEED + index:09d}.jsonl")
    _write_rows(root / "manifest.jsonl", rows)
    return root / "manifest.jsonl"


def _read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    os.replace(partial, path)


def main() -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m cadenza.corpus.build", description="Compose and render a dataset.")
    parser.add_argument("--out", required=True, help="dataset directory")
    parser.add_argument("--hours", type=float, default=1.0, help="total duration of clips in hours")
    parser.add_argument("--seed", type=int, default=0, help="which corpus; different seeds share no piece")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--soundfont", default=None, help="path of a General MIDI soundfont (.sf2)")
    parser.add_argument("--redescribe", action="store_true", help="only write the manifest's captions anew")
    options = parser.parse_args()
    try:
        if options.redescribe:
            print(redescribe(options.out))
            return 0
        print(build(options.out, options.hours, options.seed, options.workers, options.soundfont))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
