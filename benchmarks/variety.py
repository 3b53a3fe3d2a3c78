"""How much different music there is: `python benchmarks/variety.py [--hours 100] [--seed 47]`. Ends in JSON.

Pieces are composed, cut and described as `cadenza.corpus.build` does, but not rendered: notes decide what is the same
music. Counted are pieces whose notes are the same in any key (positions in sixteenths), clips of the same notes, the
share of the tunes' phrases (eight notes: intervals and gaps in sixteenths) that another piece has as well, and captions
that occur twice. Also what is played: genres, metres, programs, families of General MIDI. Equal pieces in two splits
are told apart: they would make every held-out figure worth less.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from cadenza.cli.progress import counter
from cadenza.corpus.build import PIECES_PER_SEED, piece_seconds
from cadenza.corpus.clips import Clip, cut, describe
from cadenza.corpus.compose import compose
from cadenza.corpus.instruments import INSTRUMENTS, draw_patch
from cadenza.corpus.score import Note, Score

GRID = 4
"""Positions in a quarter note."""
PHRASE = 8
"""Notes of a tune that are compared."""
_PROGRAMS_IN_A_FAMILY = 8


def pitched(instrument: str) -> bool:
    """Whether its notes are pitches, and not drums."""
    return not str(INSTRUMENTS[instrument].sound).startswith(("kit", "machine"))


def print_of(score: Score, clip: Clip | None = None) -> int:
    """A number that equal notes share: instrument, position and length on the grid, pitch above the lowest.

    Velocity and timing within a sixteenth are left out, so that the same notes played otherwise count as the same.
    """
    scale = score.seconds_per_quarter
    begin, end = (0.0, score.duration_seconds) if clip is None else (clip.start, clip.end)
    found = [
        (part.instrument, round((note.start - begin / scale) * GRID), round(note.duration * GRID), note.pitch)
        for part in score.parts
        for note in part.notes
        if begin <= note.start * scale < end
    ]
    lowest = min((pitch for name, *_, pitch in found if pitched(name)), default=0)
    return hash(tuple(sorted((*row[:3], row[3] - lowest * pitched(row[0])) for row in found)))


def phrases(score: Score) -> set[int]:
    """Every run of eight notes of its tunes, in any key and octave."""
    found = set()
    for part in score.parts:
        if part.role == "melody":
            steps = [_step(*pair) for pair in pairwise(part.notes)]
            found |= {hash(tuple(steps[i : i + PHRASE - 1])) for i in range(len(steps) - PHRASE + 2)}
    return found


def _step(first: Note, second: Note) -> tuple[int, int]:
    return second.pitch - first.pitch, round((second.start - first.start) * GRID)


def scores(hours: float, seed: int) -> Iterator[tuple[Score, list[Clip]]]:
    """Pieces of a corpus, in its order, until its clips last as long as asked."""
    made, show = 0.0, counter("minutes of music")
    for index in range(PIECES_PER_SEED):
        if made >= hours * 3600:
            return
        number = seed * PIECES_PER_SEED + index
        score = compose(number, piece_seconds(number))
        clips = cut(score)
        made += sum(clip.duration for clip in clips)
        show(int(made / 60), int(hours * 60))
        yield score, clips


def measure(music: Iterable[tuple[Score, list[Clip]]]) -> dict[str, Any]:
    """The figures of pieces."""
    pieces: dict[int, set[str]] = {}
    windows, lines, genres, meters, sounds = (
        Counter[int](),
        Counter[str](),
        Counter[str](),
        Counter[str](),
        Counter[str](),
    )
    owners, programs = Counter[int](), set[int | str]()
    seconds, count = 0.0, 0
    for score, clips in music:
        count += 1
        genres[score.genre] += 1
        meters[score.meter.name] += 1
        names = {part.instrument for part in score.parts}
        sounds.update(names)
        programs.update(draw_patch(score.seed, name).sound for name in names)
        owners.update(phrases(score))
        rows = [describe(score, clip) for clip in clips]
        pieces.setdefault(print_of(score), set()).update(row["split"] for row in rows)
        windows.update(print_of(score, clip) for clip in clips)
        lines.update(caption for row in rows for caption in set(row["captions"]))
        seconds += sum(clip.duration for clip in clips)
    return {
        "hours": seconds / 3600,
        "pieces": count,
        "clips": windows.total(),
        "equal_pieces": count - len(pieces),
        "pieces_in_two_splits": sum(len(splits) > 1 for splits in pieces.values()),
        "equal_clips": windows.total() - len(windows),
        "phrases": len(owners),
        "phrases_of_two_pieces": sum(n > 1 for n in owners.values()) / max(1, len(owners)),
        "captions": lines.total(),
        "captions_twice": lines.total() - len(lines),
        "genres": dict(genres.most_common()),
        "meters": dict(meters.most_common()),
        "instruments": len(sounds),
        "sounds": len(programs),
        "general_midi_families": sorted({int(p) // _PROGRAMS_IN_A_FAMILY for p in programs if isinstance(p, int)}),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=100.0, help="of clips")
    parser.add_argument("--seed", type=int, default=47, help="which corpus")
    options = parser.parse_args(arguments)
    record = {"seed": options.seed, **measure(scores(options.hours, options.seed))}
    print(json.dumps(record, ensure_ascii=False))
    return record


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
