"""True music that comes with Cadenza, measured by its own ear: half of the pieces as the reference, the other half as
what a perfect model would reach, and that half through the embedded model's codec as what this model can reach.

Composed music with a seed that nothing else here was trained on. The halves share no piece: which half a piece belongs
to is the last bit of the SHA-256 of its name. Of each half as many clips are kept as asked for, in the order of the
SHA-256 of their names, a second of a piece only when all have one: nobody picks.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

from cadenza.errors import UserError
from cadenza.evaluate.clips import ClipSet
from cadenza.evaluate.measurements import MeasuredClip, Measurements

ASSETS = Path(__file__).parents[2] / "assets" / "evaluator"
Part = Literal["reference", "truth", "ceiling"]
Half = Literal["a", "b"]
CODEC = "through the codec with weights"
"""In the settings of a measured set: the SHA-256 of the codec's weights (`codec_quality.codec_hash`)."""


def load_shipped(part: Part) -> Measurements:
    """One of the three sets. UserError where the installation lacks them."""
    path = ASSETS / f"{part}.safetensors"
    if not path.is_file():
        raise UserError(
            f"this installation holds no measured true music ({path.name}): install the released package, or name a "
            "folder of true music as `reference`"
        )
    return Measurements.load(path)


def half_of(clips: ClipSet, half: Half) -> ClipSet:
    """The clips of half of the pieces."""
    kept = tuple(clip for clip in clips.clips if _number(clip.piece) % 2 == "ab".index(half))
    if not kept:
        raise UserError(f"{clips.name}: half {half!r} of its pieces is empty; give more than one piece")
    return replace(clips, clips=kept)


def at_most(clips: ClipSet, count: int) -> ClipSet:
    """`count` clips by the hash of their names, left in their order; a second of a piece only when all have one."""
    turns: dict[str, int] = {}
    ranked: list[tuple[int, int, str]] = []
    for number, name, piece in sorted((_number(clip.id), clip.id, clip.piece) for clip in clips.clips):
        turns[piece] = turns.get(piece, -1) + 1
        ranked.append((turns[piece], number, name))
    names = {name for _, _, name in sorted(ranked)[:count]}
    return replace(clips, clips=tuple(clip for clip in clips.clips if clip.id in names))


def compact(measured: Measurements) -> Measurements:
    """Less to ship: without records, and probabilities with no more digits than mean something."""
    return replace(measured, clips=tuple(map(_compact, measured.clips)))


def _compact(clip: MeasuredClip) -> MeasuredClip:
    heard = clip.heard
    heard = replace(
        heard,
        instruments={name: round(value, 3) for name, value in heard.instruments.items()},
        genres={name: round(value, 3) for name, value in heard.genres.items()},
    )
    return replace(clip, heard=heard, record={})


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
