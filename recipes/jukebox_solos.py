"""Melodies alone, for a Jukebox that one thread can teach: `python recipes/jukebox_solos.py OUT --hours H --seed N`.

The pieces are those of `cadenza.corpus.build`; of each its melody is kept, played dry by one of a few soloists whom the
seed draws. A whole piece is a recording. Genre: the piece's own. Artist: the soloist, as nobody plays composed music.

Out: `audio/{seed}.flac` (32 kHz mono) and `manifest.jsonl`. What is made stays made; the same command goes on.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.corpus.build import PIECES_PER_SEED
from cadenza.corpus.clips import COMPOSER, split_of
from cadenza.corpus.compose import compose
from cadenza.corpus.level import LoudnessMeter, set_level
from cadenza.corpus.render import render_dry
from cadenza.corpus.score import Note, Part, Score
from cadenza.corpus.synth import SAMPLE_RATE
from cadenza.errors import CadenzaError, UserError
from cadenza.files import atomic_file

SOLOISTS: dict[str, tuple[int, int]] = dict.fromkeys(
    ("cello", "bassoon", "trombone", "classical guitar", "piano"), (36, 60)
)
"""Each with the lowest and highest pitch it is given.

Low ones: the top level hears 11 ms a code, and learns tones of which a code holds one to three periods. Of melodies two
octaves higher it had learnt nothing after 560 updates.
"""
PIECE_SECONDS = (20.0, 45.0)
LOUDNESS_LUFS, PEAK_DB = -18.0, -1.0
MOST_SILENT = 0.35
"""Of a piece's time. Melodies that rest longer were written for company."""


def solo(seed: int) -> Score | None:
    """The melody of a seed's piece as its soloist plays it; None if there is none, or one that mostly rests."""
    rng = np.random.default_rng(np.random.SeedSequence([0x5010, seed]))
    score = compose(seed, float(rng.uniform(*PIECE_SECONDS)))
    melody = next((part for part in score.parts if part.role == "melody"), None)
    if melody is None or silent_share(melody.notes, score.num_bars * score.meter.bar_quarters) > MOST_SILENT:
        return None
    soloist = list(SOLOISTS)[int(rng.integers(len(SOLOISTS)))]
    notes = tuple(replace(note, pitch=within(note.pitch, *SOLOISTS[soloist])) for note in melody.notes)
    return replace(score, parts=(Part(soloist, "melody", notes),))


def within(pitch: int, low: int, high: int) -> int:
    """The pitch, moved by as few octaves as bring it into a range of an octave or more."""
    return pitch + 12 * max(0, -((pitch - low) // 12)) - 12 * max(0, -((high - pitch) // 12))


def silent_share(notes: Sequence[Note], quarters: float) -> float:
    """Of so many quarter notes, the share in which nothing sounds."""
    sounding, until = 0.0, 0.0
    for note in sorted(notes, key=lambda note: note.start):
        end = min(note.start + note.duration, quarters)
        sounding += max(0.0, end - max(note.start, until))
        until = max(until, end)
    return 1 - sounding / quarters


def first_note_seconds(score: Score) -> float:
    """When the melody begins: a recording that waited for others would teach a Jukebox to begin with silence."""
    return min(note.start for note in score.parts[0].notes) * score.seconds_per_quarter


def write(folder: Path, seed: int, score: Score) -> dict[str, Any]:
    """The recording, and its line of the manifest."""
    import soundfile

    name = f"audio/{seed:09d}.flac"
    if not (folder / name).exists():
        samples = render_dry(score)[..., round(SAMPLE_RATE * first_note_seconds(score)) :]
        loudness = LoudnessMeter(samples, SAMPLE_RATE).lufs(0.0, len(samples) / SAMPLE_RATE)
        with atomic_file(folder / name) as temporary:
            soundfile.write(
                temporary, set_level(samples, loudness, LOUDNESS_LUFS, PEAK_DB), SAMPLE_RATE, "PCM_16", format="FLAC"
            )
    seconds = soundfile.info(folder / name).duration
    part = score.parts[0]
    told = {"genre": score.genre, "artist": part.instrument, "instruments": [part.instrument], "key": score.key.name}
    return {
        "id": f"{seed:09d}", "path": name, "duration": round(seconds, 4), "sample_rate": SAMPLE_RATE,
        "split": split_of(seed), "composer": COMPOSER, "seed": seed, "start_seconds": 0.0,
        "piece_seconds": round(seconds, 3), "tempo_bpm": score.tempo_bpm, **told,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Compose, play, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=3.0, help="of music")
    parser.add_argument("--seed", type=int, default=31, help="which music; other seeds share no piece")
    options = parser.parse_args(arguments)
    if not 0 < options.hours <= 1000:
        raise UserError(f"--hours {options.hours:g} makes no corpus: give a number above 0 and up to 1000")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed} names no music: give 0 or more")
    rows: list[dict[str, Any]] = []
    made, began, said = 0.0, time.monotonic(), time.monotonic()
    for index in range(PIECES_PER_SEED):
        if made >= 3600 * options.hours:
            break
        seed = options.seed * PIECES_PER_SEED + index
        score = solo(seed)
        if score is None:
            continue
        rows.append(write(options.out, seed, score))
        made += rows[-1]["duration"]
        if time.monotonic() - said > 5:
            said = time.monotonic()
            left = (3600 * options.hours / made - 1) * (said - began) / 60
            print(
                f"{made / 3600:.2f} of {options.hours:g} h, {max(0.0, left):.1f} min left", file=sys.stderr, flush=True
            )
    with atomic_file(options.out / "manifest.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    genres = {row["genre"] for row in rows}
    print(f"{len(rows)} pieces, {made / 3600:.2f} h, {len(SOLOISTS)} soloists, {len(genres)} genres")


if __name__ == "__main__":
    try:
        main()
    except CadenzaError as error:
        sys.exit(f"error: {error}")
