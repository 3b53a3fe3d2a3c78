"""The token cache: the codes of every recording, computed once, and windows of them for training a language model.

In: a folder that `data.writing` made. Out: recordings with their codes, captions, melodies and text states, and batches
of windows. Tensors are mapped from their files: what is not touched is not read.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from cadenza.checkpoint import read_json, read_weights
from cadenza.codec.base import Codec
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.plan import Plan
from cadenza.data.batches import Batch, random_for
from cadenza.data.captions import Info
from cadenza.data.coding import LAYER as CODES
from cadenza.data.melodies import read_melodies
from cadenza.data.plans import plan_of
from cadenza.data.shards import add_tensor, shard_path
from cadenza.data.texts import LAYER as TEXT
from cadenza.data.texts import text_name
from cadenza.errors import UserError

FORMAT = 1
INDEX = "index.json"


def encoder_hash(codec: Codec) -> str:
    """SHA-256 of all that decides the codes: every tensor but the decoder's, whose training leaves codes valid.

    In stereo it is that of the mono codec which codes both channels. Weights that rest in 16 bits code in float32, and
    count as such.
    """
    total = hashlib.sha256()
    inner = codec.mono if isinstance(codec, StereoCodec) else codec
    for name, tensor in sorted(inner.state_dict().items()):
        if not name.startswith("decoder."):
            add_tensor(total, name, tensor.float() if tensor.is_floating_point() else tensor)
    return total.hexdigest()


def read_index(folder: str | Path) -> dict[str, Any]:
    """The index of a finished cache. Raises UserError if there is none, or it is unfinished."""
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise UserError(f"no token cache in {folder}: compute one with `cadenza data tokens`")
    index = read_json(folder / INDEX)
    if index.get("format") != FORMAT or not index.get("complete"):
        raise UserError(
            f"the token cache {folder} is unfinished or of another format: the `cadenza data tokens` that began it "
            "finishes it"
        )
    return index


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
    weight: float = 1.0
    """Its chance of being drawn, relative to others of equal length (audiocraft)."""
    text: tuple[Tensor, ...] | None = None
    """Per caption its states `[L, E]` (16 bits) or token ids `[L]`, if they were computed (`data.texts`).

    One of length 0 where there is no caption.
    """
    plan: Plan | None = None
    """Its tempo, key, instruments, ..., if they are known; the phase is that of its first frame."""


class TokenCache:
    """A finished cache (two bytes per code: 100 hours of 50 Hz x 4 codebooks are 144 MB)."""

    def __init__(self, folder: str | Path) -> None:
        index = read_index(folder)
        self.codec_hash: str = index["codec"]["hash"]
        self.frame_rate: float = index["codec"]["frame_rate"]
        self.num_codebooks: int = index["codec"]["num_codebooks"]
        self.codebook_size: int = index["codec"]["codebook_size"]
        self.text_settings: dict[str, Any] | None = index.get("layers", {}).get(TEXT, {}).get("settings")
        """How captions were encoded (`data.texts.TextForm`, and `encoder`); None if they were not."""
        numbers = sorted({item["shard"] for item in index["items"]})
        codes = {number: read_weights(shard_path(folder, CODES, number)) for number in numbers}
        texts: dict[int, dict[str, Tensor]] = {}
        if self.text_settings is not None:
            texts = {number: read_weights(shard_path(folder, TEXT, number)) for number in numbers}
        melodies = read_melodies(folder)
        self.items = [
            CodedItem(
                item["id"],
                item["split"],
                tuple(item.get("captions", ())),
                codes[item["shard"]][item["id"]],
                melodies.get(item["id"]),
                _info(item),
                1.0 if item.get("weight") is None else item["weight"],
                _texts(texts.get(item["shard"]), item, self.text_settings),
                plan_of(item),
            )
            for item in index["items"]
        ]

    @property
    def text_encoder(self) -> str | None:
        """`data.texts.text_encoder_hash` of the encoder that the states come from; None without any."""
        return None if self.text_settings is None else self.text_settings["encoder"]

    def split(self, name: str) -> list[CodedItem]:
        """The items of one split; possibly none."""
        return [item for item in self.items if item.split == name]


class RandomWindows:
    """Endless batches of random windows.

    `{"codes": [B, K, T], "frames": [B], "start_seconds": [B], "captions": [...], "ids": [...], "infos": [...]}`: where
    in its recording the window begins, the drawn caption, and name and fields of the recording; `"plans"`: what is
    known of its tempo, key, ..., as of the window's beginning. With melodies in the cache also `{"melody": [B, M],
    "melody_frames": [B]}`: the pitch classes of the whole recording, and how many there are. With states also
    `{"text": [B, L, E], "text_length": [B]}` of the drawn caption, zero beyond its length (token ids: `text_ids
    [B, L]`).

    A recording's chance is proportional to its weight and, unless `sampling` is "file", to its length; one of its
    captions is drawn. A recording shorter than the window is padded with code 0, and `frames` tells how many frames are
    real. `min_segment_ratio` is the least share of a window that must be real where the recording is long enough
    (audiocraft's `segment_duration * min_segment_ratio`); 1: windows never reach beyond the end.
    """

    def __init__(
        self,
        items: Sequence[CodedItem],
        num_frames: int,
        batch_size: int,
        seed: int,
        frame_rate: float = 50.0,
        sampling: Literal["duration", "file"] = "duration",
        min_segment_ratio: float = 1.0,
    ) -> None:
        if not 0 < min_segment_ratio <= 1:
            raise UserError(f"min_segment_ratio is {min_segment_ratio}: choose more than 0 and at most 1")
        self.items, self.num_frames, self.batch_size, self.seed = list(items), num_frames, batch_size, seed
        self.frame_rate = frame_rate
        self._least = max(1, round(num_frames * min_segment_ratio))
        self._by_frames = sampling == "duration" and all(item.weight == 1 for item in items)
        chances = [item.weight * (item.codes.shape[1] if sampling == "duration" else 1) for item in items]
        if min(chances) < 0 or sum(chances) <= 0:
            raise UserError("the weights of the recordings are negative or all 0: correct them in the manifest")
        self._cumulative = np.cumsum(np.asarray(chances, dtype=np.int64 if self._by_frames else np.float64))

    def batch(self, index: int) -> Batch:
        random = random_for(self.seed, index)
        if self._by_frames:
            places = random.integers(self._cumulative[-1], size=self.batch_size)
        else:
            places = random.random(self.batch_size) * self._cumulative[-1]
        rows = []
        for place in places:
            item = self.items[int(self._cumulative.searchsorted(place, side="right"))]
            start = int(random.integers(max(0, item.codes.shape[1] - self._least) + 1))
            caption = int(random.integers(len(item.captions))) if item.captions else None
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
        rows = [Row(item, item.codes[:, : self.num_frames], 0 if item.captions else None, 0.0) for item in part]
        return _collate(rows, self.num_frames)


class Row(NamedTuple):
    """One item of a batch."""

    item: CodedItem
    codes: Int[Tensor, "K t"]
    caption: int | None
    start_seconds: float

    @property
    def words(self) -> str:
        return "" if self.caption is None else self.item.captions[self.caption]

    @property
    def plan(self) -> Plan | None:
        plan = self.item.plan
        return None if plan is None else replace(plan, phase_seconds=plan.phase_seconds + self.start_seconds)

    @property
    def text(self) -> Float[Tensor, "L E"] | Int[Tensor, "L"] | None:
        return None if self.item.text is None else self.item.text[self.caption or 0]


def _collate(rows: Sequence[Row], num_frames: int) -> Batch:
    codes = torch.zeros(len(rows), rows[0].codes.shape[0], num_frames, dtype=torch.int64)
    for target, row in zip(codes, rows, strict=True):
        target[:, : row.codes.shape[1]] = row.codes
    batch: Batch = {
        "codes": codes,
        "frames": torch.tensor([row.codes.shape[1] for row in rows]),
        "start_seconds": torch.tensor([row.start_seconds for row in rows], dtype=torch.float64),
        "captions": [row.words for row in rows],
        "ids": [row.item.id for row in rows],
        "infos": [row.item.info for row in rows],
        "plans": [row.plan for row in rows],
    }
    melodies = [row.item.melody for row in rows if row.item.melody is not None]
    if len(melodies) == len(rows):
        batch["melody"] = nn.utils.rnn.pad_sequence(melodies, batch_first=True)
        batch["melody_frames"] = torch.tensor([len(melody) for melody in melodies])
    texts = [row.text for row in rows if row.text is not None]
    if len(texts) == len(rows):
        states = texts[0].is_floating_point()
        padded = nn.utils.rnn.pad_sequence(texts, batch_first=True)
        batch["text" if states else "text_ids"] = padded.to(torch.float32 if states else torch.int64)
        batch["text_length"] = torch.tensor([len(text) for text in texts])
    return batch


def _texts(
    shard: Mapping[str, Tensor] | None, item: dict[str, Any], settings: dict[str, Any] | None
) -> tuple[Tensor, ...] | None:
    if shard is None or settings is None:
        return None
    count = len(item.get("captions", ()))
    if count == 0:
        states = settings["form"] == "states"
        return (torch.zeros(0, settings["dim"], dtype=torch.float16) if states else torch.zeros(0, dtype=torch.int32),)
    return tuple(shard[text_name(item["id"], number)] for number in range(count))


def _info(item: dict[str, Any]) -> Info:
    """As `captions.clean_info` made it: JSON has no tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in item.get("info", {}).items()}
