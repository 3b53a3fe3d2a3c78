"""The token cache: the codes of every recording, computed once, and windows of them for training a language model.

In: a codec and manifest entries. Out: a folder with `codes_XXXXX.safetensors` shards (one tensor `[K, T]` int16 per
recording) and `index.json` (codec identity, shards, and per recording what the manifest says). A cache that was
interrupted goes on where it stopped: shards are written whole and never changed.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Int, UInt8
from torch import Tensor, nn

from cadenza.checkpoint import read_json, read_weights, write_json, write_weights
from cadenza.codec.base import Codec
from cadenza.codec.stereo import StereoCodec
from cadenza.data.batches import Batch, random_for
from cadenza.data.captions import Info
from cadenza.data.dataset import Recordings
from cadenza.data.manifest import Entry
from cadenza.data.melodies import read_melodies
from cadenza.errors import UserError

FORMAT = 1
INDEX = "index.json"


def write_tokens(
    codec: Codec,
    entries: Sequence[Entry],
    folder: str | Path,
    batch_size: int = 8,
    shard_items: int = 256,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Encode every entry and write the cache; entries of finished shards are not encoded again.

    Recordings are encoded whole, several of equal length at a time. Codes of two codecs never mix: see `encoder_hash`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ids = [entry.id for entry in entries]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise UserError(f"two manifest entries have the id {twice!r}: give each its own")
    identity = {
        "format": FORMAT,
        "codec": {
            "hash": encoder_hash(codec),
            "sample_rate": codec.sample_rate,
            "frame_rate": codec.frame_rate,
            "num_codebooks": codec.num_codebooks,
            "codebook_size": codec.codebook_size,
        },
        "shard_items": shard_items,
    }
    if (folder / INDEX).exists():
        before = read_json(folder / INDEX)
        if any(before.get(key) != value for key, value in identity.items()):
            raise UserError(f"{folder} holds the codes of another codec or format: choose another folder or delete it")
    write_json(folder / INDEX, identity | {"complete": False, "items": []})
    for number, start in enumerate(range(0, len(entries), shard_items)):
        part = entries[start : start + shard_items]
        path = folder / _shard_name(number)
        if not path.exists() or set(read_weights(path)) != {entry.id for entry in part}:
            write_weights(path, _encode(codec, part, batch_size))
        if on_progress is not None:
            on_progress(start + len(part), len(entries))
    items = [
        entry.model_dump(mode="json", exclude={"path"}, exclude_none=True) | {"shard": i // shard_items}
        for i, entry in enumerate(entries)
    ]
    write_json(folder / INDEX, identity | {"complete": True, "items": items})


def encoder_hash(codec: Codec) -> str:
    """SHA-256 of all that decides the codes: every tensor but the decoder's, whose training leaves codes valid.

    In stereo it is that of the mono codec which codes both channels.
    """
    total = hashlib.sha256()
    inner = codec.mono if isinstance(codec, StereoCodec) else codec
    for name, tensor in sorted(inner.state_dict().items()):
        if not name.startswith("decoder."):
            total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
            total.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


@torch.no_grad()
def _encode(codec: Codec, entries: Sequence[Entry], batch_size: int) -> dict[str, Tensor]:
    device = next(codec.parameters()).device
    recordings = Recordings(entries, codec.sample_rate, codec.channels)
    by_length: dict[int, list[int]] = {}
    for item, length in enumerate(recordings.lengths):
        by_length.setdefault(length, []).append(item)
    codes: dict[str, Tensor] = {}
    for items in by_length.values():
        for start in range(0, len(items), batch_size):
            part = items[start : start + batch_size]
            audio = torch.stack([torch.from_numpy(recordings.whole(item)) for item in part]).to(device)
            for item, row in zip(part, codec.encode(audio).codes, strict=True):
                codes[entries[item].id] = row.to("cpu", torch.int16)
    return codes


@dataclass(frozen=True)
class CodedItem:
    """One recording of the cache."""

    id: str
    split: str
    captions: tuple[str, ...]
    codes: Int[Tensor, "K T"]
    melody: UInt8[Tensor, "M"] | None = None
    """The strongest pitch class of every frame of its chromagram, if they were computed (`data.melodies`)."""
    info: Info = field(default_factory=dict)
    """The cleaned fields of its description; none in caches from before manifests had them."""


class TokenCache:
    """A finished cache, held in memory (two bytes per code: 100 hours of 50 Hz x 4 codebooks are 144 MB)."""

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        if not (folder / INDEX).is_file():
            raise UserError(f"no token cache in {folder}: compute one with the codec first")
        index = read_json(folder / INDEX)
        if index.get("format") != FORMAT or not index.get("complete"):
            raise UserError(f"the token cache {folder} is unfinished or of another format: compute it again")
        self.codec_hash: str = index["codec"]["hash"]
        self.frame_rate: float = index["codec"]["frame_rate"]
        self.num_codebooks: int = index["codec"]["num_codebooks"]
        self.codebook_size: int = index["codec"]["codebook_size"]
        shards = {number: read_weights(folder / _shard_name(number)) for number in {i["shard"] for i in index["items"]}}
        melodies = read_melodies(folder)
        self.items = [
            CodedItem(
                item["id"],
                item["split"],
                tuple(item.get("captions", ())),
                shards[item["shard"]][item["id"]],
                melodies.get(item["id"]),
                _info(item),
            )
            for item in index["items"]
        ]

    def split(self, name: str) -> list[CodedItem]:
        """The items of one split; possibly none."""
        return [item for item in self.items if item.split == name]


class RandomWindows:
    """Endless batches of random windows.

    `{"codes": [B, K, T], "frames": [B], "captions": [...], "ids": [...], "infos": [...]}`: the drawn caption, and name
    and fields of the recording.

    With melodies in the cache also `{"melody": [B, M], "melody_frames": [B], "start_seconds": [B]}`: the pitch classes
    of the whole recording, how many there are, and where in it the window begins.

    A recording's chance is proportional to its length; one of its captions is drawn. A recording shorter than the
    window is padded with code 0, and `frames` tells how many frames are real.
    """

    def __init__(
        self, items: Sequence[CodedItem], num_frames: int, batch_size: int, seed: int, frame_rate: float = 50.0
    ) -> None:
        self.items, self.num_frames, self.batch_size, self.seed = list(items), num_frames, batch_size, seed
        self.frame_rate = frame_rate
        self._cumulative = torch.tensor([item.codes.shape[1] for item in items]).cumsum(0).numpy()

    def batch(self, index: int) -> Batch:
        random = random_for(self.seed, index)
        places = random.integers(self._cumulative[-1], size=self.batch_size)
        rows = []
        for place in places:
            item = self.items[int(self._cumulative.searchsorted(place, side="right"))]
            start = int(random.integers(max(0, item.codes.shape[1] - self.num_frames) + 1))
            caption = item.captions[int(random.integers(len(item.captions)))] if item.captions else ""
            rows.append(Row(item, item.codes[:, start : start + self.num_frames], caption, start / self.frame_rate))
        return _collate(rows, self.num_frames)


class FixedWindows:
    """A finite sweep for validation: the first window and first caption of every recording."""

    def __init__(self, items: Sequence[CodedItem], num_frames: int, batch_size: int) -> None:
        self.items, self.num_frames, self.batch_size = list(items), num_frames, batch_size

    def __len__(self) -> int:
        return -(-len(self.items) // self.batch_size)

    def batch(self, index: int) -> Batch:
        part = self.items[index * self.batch_size : (index + 1) * self.batch_size]
        rows = [
            Row(item, item.codes[:, : self.num_frames], item.captions[0] if item.captions else "", 0.0) for item in part
        ]
        return _collate(rows, self.num_frames)


class Row(NamedTuple):
    """One item of a batch."""

    item: CodedItem
    codes: Int[Tensor, "K t"]
    caption: str
    start_seconds: float


def _collate(rows: Sequence[Row], num_frames: int) -> Batch:
    codes = torch.zeros(len(rows), rows[0].codes.shape[0], num_frames, dtype=torch.int64)
    for target, row in zip(codes, rows, strict=True):
        target[:, : row.codes.shape[1]] = row.codes
    frames = torch.tensor([row.codes.shape[1] for row in rows])
    batch: Batch = {
        "codes": codes,
        "frames": frames,
        "captions": [row.caption for row in rows],
        "ids": [row.item.id for row in rows],
        "infos": [row.item.info for row in rows],
    }
    melodies = [row.item.melody for row in rows if row.item.melody is not None]
    if len(melodies) == len(rows):
        batch["melody"] = nn.utils.rnn.pad_sequence(melodies, batch_first=True)
        batch["melody_frames"] = torch.tensor([len(melody) for melody in melodies])
        batch["start_seconds"] = torch.tensor([row.start_seconds for row in rows], dtype=torch.float64)
    return batch


def _info(item: dict[str, Any]) -> Info:
    """As `captions.clean_info` made it: JSON has no tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in item.get("info", {}).items()}


def _shard_name(number: int) -> str:
    return f"codes_{number:05d}.safetensors"
