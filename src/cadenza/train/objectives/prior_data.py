"""What a Jukebox prior is trained on: windows of one level's codes, and what is known of the music around them.

In: a manifest of recordings, whose windows are coded while training; or a folder that `cadenza data tokens` made with a
VQ-VAE, `level_0`, `level_1`, ... in it. Out: batches `{"codes": [B, T], "upper": [B, U] (of an upsampler), "pieces":
[...], "ids": [...]}`, or `{"audio": [B, 1, N], "pieces", "ids"}`. A piece's offset is where the window begins.

Unlike in the published code windows do not come from a tape of all songs: a recording is drawn by its length, a place
in it evenly. From a token cache codes are those of the whole recording, not of the window's sound alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from cadenza.data.batches import Batch, random_for
from cadenza.data.dataset import Recordings
from cadenza.data.manifest import Entry, read_manifest
from cadenza.data.tokens import INDEX, TokenCache, encoder_hash, read_index
from cadenza.errors import UserError
from cadenza.jukebox.labels import Piece
from cadenza.jukebox.level import VQVAELevel
from cadenza.jukebox.prior import PriorConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE

Facts = Mapping[str, Any]
"""What the manifest says of a recording, the cleaned fields of its description among the others."""


class Track(NamedTuple):
    """One recording."""

    id: str
    split: str
    facts: Facts
    samples: int
    """Its length at the VQ-VAE's rate."""
    codes: Int[Tensor, "T"] | None = None
    """Of the prior's level, whole; None: they are made of its sound."""
    upper: Int[Tensor, "U"] | None = None
    """Of the level above, for an upsampler."""
    entry: Entry | None = None


def level_folder(place: str | Path, level: int) -> Path:
    """Where the codes of a level lie in a folder of a VQ-VAE's tokens."""
    return Path(place) / f"level_{level}"


def read_tracks(place: str | Path, vqvae: JukeboxVQVAE, shape: PriorConfig) -> list[Track]:
    """Every recording of a manifest or a folder of tokens. Raises UserError for codes of another VQ-VAE."""
    if not (level_folder(place, shape.level) / INDEX).is_file():
        rate = vqvae.sample_rate
        return [
            Track(entry.id, entry.split, _facts(entry.model_dump()), int(entry.duration * rate), entry=entry)
            for entry in read_manifest(place)
        ]
    caches = [_cache(place, vqvae, level) for level in levels_of(shape)]
    rows = read_index(level_folder(place, shape.level))["items"]
    upper = {item.id: item.codes[0] for item in caches[1].items} if len(caches) > 1 else {}
    return [
        Track(
            item.id,
            item.split,
            _facts(row),
            min(round(row["duration"] * vqvae.sample_rate), item.codes.shape[1] * shape.hop_length),
            item.codes[0],
            upper.get(item.id),
        )
        for item, row in zip(caches[0].items, rows, strict=True)
        if len(caches) == 1 or item.id in upper
    ]


def levels_of(shape: PriorConfig) -> list[int]:
    """The level whose codes are modelled, and that which is heard."""
    return [shape.level] if shape.conditioner is None else [shape.level, shape.level + 1]


def _cache(place: str | Path, vqvae: JukeboxVQVAE, level: int) -> TokenCache:
    cache = TokenCache(level_folder(place, level))
    if cache.codec_hash != encoder_hash(VQVAELevel(vqvae, level)):
        raise UserError(f"{level_folder(place, level)} holds codes of another VQ-VAE: compute them again")
    return cache


def _facts(row: Mapping[str, Any]) -> Facts:
    return {**row.get("info", {}), **row}


# ---- windows ---------------------------------------------------------------------------------------------------------


def windows_in(track: Track, piece: Piece, shape: PriorConfig) -> int:
    """How many windows there are in a recording, at places where a code of the level above begins; 0: it is too short,
    or a piece of a length that the model's timing has no row for."""
    timing = shape.timing
    if timing is not None:
        low, high = (np.float32(seconds * shape.sample_rate) for seconds in (timing.min_seconds, timing.max_seconds))
        if not low <= np.float32(piece.total_length) < high:
            return 0
    stride = 1 if shape.conditioner is None else shape.conditioner.stride
    last = track.samples // shape.hop_length - shape.context_length
    return 0 if last < 0 else last // stride + 1


class Windows:
    """Reads windows of recordings, one for each of `places`."""

    def __init__(self, tracks: Sequence[Track], pieces: Sequence[Piece], shape: PriorConfig) -> None:
        """Recordings in which no window fits are left out; UserError where none is left."""
        self.shape = shape
        self.stride = 1 if shape.conditioner is None else shape.conditioner.stride
        counts = [windows_in(track, piece, shape) for track, piece in zip(tracks, pieces, strict=True)]
        kept = [number for number, count in enumerate(counts) if count]
        if not kept:
            seconds = shape.window_samples / shape.sample_rate
            raise UserError(
                f"none of {len(tracks)} recordings holds a window of {seconds:.2f} s, or their lengths are beyond the "
                "model's timing: use longer ones, or change context_length and timing"
            )
        self.tracks, self.pieces = [tracks[number] for number in kept], [pieces[number] for number in kept]
        self.counts = [counts[number] for number in kept]
        self._read: Callable[[int, int], dict[str, Tensor]] = self._codes
        if self.tracks[0].codes is None:
            entries = [track.entry for track in self.tracks if track.entry is not None]
            self._recordings = Recordings(entries, shape.sample_rate, 1)
            self._read = self._audio

    def batch(self, places: Sequence[tuple[int, int]], rows: range | None = None) -> Batch:
        """Of each place a recording and the number of a window in it; what is not in `rows` is not read."""
        first = {name: torch.zeros_like(part) for name, part in self._read(*places[rows[0] if rows else 0]).items()}
        parts = [self._read(*place) if rows is None or row in rows else first for row, place in enumerate(places)]
        batch: Batch = {name: torch.stack([part[name] for part in parts]) for name in first}
        batch["ids"] = [self.tracks[item].id for item, _ in places]
        batch["pieces"] = [self._piece(item, window) for item, window in places]
        return batch

    def _piece(self, item: int, window: int) -> Piece:
        piece = self.pieces[item]
        return replace(piece, offset=piece.offset + window * self.stride * self.shape.hop_length)

    def _codes(self, item: int, window: int) -> dict[str, Tensor]:
        track, length = self.tracks[item], self.shape.context_length
        assert track.codes is not None
        start = window * self.stride
        read = {"codes": track.codes[start : start + length].long()}
        if track.upper is not None:
            read["upper"] = track.upper[window : window + length // self.stride].long()
        return read

    def _audio(self, item: int, window: int) -> dict[str, Tensor]:
        start = window * self.stride * self.shape.hop_length
        return {"audio": torch.from_numpy(self._recordings.read(item, start, self.shape.window_samples))}


class DrawnWindows:
    """Endless batches: a recording's chance is proportional to its length and weight."""

    def __init__(self, windows: Windows, batch_size: int, seed: int, rows: range | None = None) -> None:
        self.windows, self.batch_size, self.seed, self.rows = windows, batch_size, seed, rows
        weights = [track.samples * _weight(track.facts) for track in windows.tracks]
        self._cumulative = np.cumsum(np.asarray(weights, dtype=np.float64))
        if min(weights) < 0 or self._cumulative[-1] <= 0:
            raise UserError("the weights of the recordings are negative or all 0: correct them in the manifest")

    def batch(self, index: int) -> Batch:
        random = random_for(self.seed, index)
        chosen, positions = random.random(self.batch_size), random.random(self.batch_size)
        items = self._cumulative.searchsorted(chosen * self._cumulative[-1], side="right")
        counts = self.windows.counts
        places = [(int(item), int(at * counts[item])) for item, at in zip(items, positions, strict=True)]
        return self.windows.batch(places, self.rows)


class MiddleWindows:
    """A finite sweep for validation: the middle window of every recording, `limit` recordings at most."""

    def __init__(self, windows: Windows, batch_size: int, limit: int) -> None:
        self.windows, self.batch_size = windows, batch_size
        self.places = [(item, (count - 1) // 2) for item, count in enumerate(windows.counts[:limit])]

    def __len__(self) -> int:
        return -(-len(self.places) // self.batch_size)

    def batch(self, index: int) -> Batch:
        return self.windows.batch(self.places[index * self.batch_size : (index + 1) * self.batch_size])


def _weight(facts: Facts) -> float:
    weight = facts.get("weight")
    return 1.0 if weight is None else float(weight)
