"""A person's folder of tracks to what a fine-tuning learns from and what it is tested on.

In: a folder. Out: codes of the tracks with their captions, split, and a list of what was used and what was not. The
manifest and the codes are written into the run's folder, never into that of the tracks; what is there is not computed
again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from cadenza.codec.base import Codec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.data.manifest import Entry
from cadenza.data.scan import Skipped, scan
from cadenza.data.splits import split_entries
from cadenza.data.tokens import CodedItem, TokenCache
from cadenza.data.writing import write_tokens
from cadenza.errors import UserError

LEAST_TRACKS = 4
"""With fewer, parts of the same tracks are held out."""
HELD_OUT = 0.2
LEAST_HELD_OUT_SECONDS = 2.0


@dataclass(frozen=True)
class Tracks:
    """Tracks to learn from, and tracks (or parts of the same ones, at their ends) that are only listened to."""

    train: list[CodedItem]
    valid: list[CodedItem]
    same_tracks: bool
    entries: list[Entry]
    skipped: list[Skipped]
    frame_rate: float

    @property
    def train_seconds(self) -> float:
        return sum(item.codes.shape[1] for item in self.train) / self.frame_rate

    @property
    def longest_seconds(self) -> float:
        """Of a track to learn from."""
        return max(item.codes.shape[1] for item in self.train) / self.frame_rate

    @property
    def valid_seconds(self) -> float:
        return sum(item.codes.shape[1] for item in self.valid) / self.frame_rate


def gather(
    folder: Path,
    run: Path,
    codes: Path,
    codec: Codec,
    melody: ChromaConfig | None,
    caption: str | None,
    seed: int,
    progress: Callable[[str], Callable[[int, int], None]],
) -> Tracks:
    """Scan, split, encode: the lists go into `run`, the codes into `codes`. `progress(unit)` makes a function of
    `(done, total)`.

    Raises UserError where nothing can be used.
    """
    report = scan(folder, run / "manifest.jsonl", captions_from_names=True, on_progress=progress("files"))
    entries, same_tracks = split(report.entries, seed)
    heard = None
    if melody is not None and melody.only_strongest:
        heard = melody.model_copy(update={"stems": "none"})  # separating stems takes a model, and minutes
    written = write_tokens(codec, entries, codes, melody=heard, on_progress=progress("tracks encoded"))
    names = {entry.id: entry.path for entry in entries}
    skipped = [*report.skipped, *(Skipped(names[name], "codes", why) for name, why in written.skipped.items())]
    cache = TokenCache(codes)
    items = [replace(item, captions=_captions(item, caption)) for item in cache.items]
    used = {item.id for item in items}
    kept = [entry for entry in entries if entry.id in used]
    if same_tracks:
        train, valid = ends_held_out(items, cache.frame_rate)
    else:
        train = [item for item in items if item.split == "train"]
        valid = [_without_melody(item) for item in items if item.split == "valid"]
    if not train:
        raise UserError(f"{folder}: nothing is left to learn from; {run / 'skipped.jsonl'} says why")
    return Tracks(train, valid, same_tracks, kept, skipped, cache.frame_rate)


def split(entries: Sequence[Entry], seed: int) -> tuple[list[Entry], bool]:
    """One track in five is held out; True: there are too few, and parts of all of them must do."""
    everything = [entry.model_copy(update={"split": "train"}) for entry in entries]
    if len(entries) < LEAST_TRACKS:
        return everything, True
    try:
        chosen = split_entries(everything, test=0.0, valid=HELD_OUT, seed=seed, by="track", again=True)
    except UserError:  # all are parts of one piece
        return everything, True
    return (everything, True) if all(entry.split == "train" for entry in chosen) else (chosen, False)


def ends_held_out(items: Sequence[CodedItem], frame_rate: float) -> tuple[list[CodedItem], list[CodedItem]]:
    """The first four fifths of every track, and the last one of those that are long enough."""
    train, valid = [], []
    for item in items:
        frames = item.codes.shape[1]
        held_out = int(frames * HELD_OUT)
        if held_out < LEAST_HELD_OUT_SECONDS * frame_rate:
            train.append(item)
            continue
        train.append(replace(item, codes=item.codes[:, : frames - held_out]))
        valid.append(_without_melody(replace(item, codes=item.codes[:, frames - held_out :])))
    return train, valid


def windows(item: CodedItem, num_frames: int, most: int) -> list[Int[Tensor, "K _"]]:
    """At most `most` windows of a track that do not overlap, evenly spread; the whole track if it is shorter."""
    count = item.codes.shape[1] // num_frames
    if count == 0:
        return [item.codes]
    chosen = range(count) if count <= most else torch.linspace(0, count - 1, most).round().int().tolist()
    return [item.codes[:, i * num_frames : (i + 1) * num_frames] for i in chosen]


def _captions(item: CodedItem, prefix: str | None) -> tuple[str, ...]:
    if not prefix:
        return item.captions
    return tuple(f"{prefix}, {text}" for text in item.captions) or (prefix,)


def _without_melody(item: CodedItem) -> CodedItem:
    """Held-out tracks are judged by their words, as people mostly ask for music."""
    return replace(item, melody=None)
