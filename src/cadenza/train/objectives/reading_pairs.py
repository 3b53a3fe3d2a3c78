"""Captions and facts for a reader of plans.

In: JSON lines, each with `captions` and facts (`genre`, `instruments`, `moods`, `tempo_bpm`, `key`, `meter`; what is
missing is unknown): the manifest of composed music, or a file without any sound, gzipped or not. Out: batches of
captions as strangers type them, with what is true of each.
"""

import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cadenza.conditioning.plan import METERS, MODES
from cadenza.conditioning.reader import PlanReaderConfig
from cadenza.data.batches import Batch, random_for
from cadenza.data.manifest import NAMES
from cadenza.errors import UserError

UNKNOWN = -1
"""Number of what is not known, in `Pairs`."""
_POOL = 32
"""Batches that are drawn together, so that captions of one length can share one."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MARKS = ("!", "!!", "...", " :)", " 🎵", " 🔥", "?", " pls", ".", " ✨", "~")
_OPENERS = (
    "make me ", "please generate ", "i want ", "can you do ", "give me ", "hi, ", "need ", "looking for ", "prompt: ",
    "music for a video: ", "ok so ", "something like ", "we need ", "could i have ", "background music, ",
)  # fmt: skip


@dataclass(frozen=True)
class Pairs:
    """Captions, and the facts of the row that each belongs to, in numbers."""

    captions: list[str]
    owner: np.ndarray
    genre: np.ndarray
    instruments: np.ndarray
    moods: np.ndarray
    tempo: np.ndarray
    meter: np.ndarray
    mode: np.ndarray

    def __len__(self) -> int:
        return len(self.captions)


def read_rows(source: str | Path) -> list[dict[str, Any]]:
    """The lines of a file, or of the manifest in a folder. Raises UserError where there is none, or no caption."""
    path = Path(source)
    if path.is_dir():
        path = next((path / name for name in NAMES if (path / name).is_file()), path / NAMES[0])
    try:
        text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
        rows = [row for line in text.splitlines() if line.strip() and (row := json.loads(line)).get("captions")]
    except (OSError, ValueError, AttributeError, EOFError, zlib.error) as error:
        raise UserError(f"{path} holds no captions ({error}): give JSON lines with captions and facts") from error
    if not rows:
        raise UserError(f"{path} holds no captions: give JSON lines with captions and facts")
    return rows


def divide(rows: Sequence[dict[str, Any]], share: float = 0.02) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows to learn from, and rows to validate on: by their `split`, or where no row has any, a share of them."""
    if any("split" in row for row in rows):
        return [r for r in rows if r.get("split") == "train"], [r for r in rows if r.get("split") == "valid"]
    every = round(1 / share)
    learn = [row for number, row in enumerate(rows) if number % every]
    return learn, [row for number, row in enumerate(rows) if number % every == 0]


def names_in(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """All genres, instruments and moods, in alphabetical order: fields of a `PlanReaderConfig`."""
    return {
        "genres": tuple(sorted({row["genre"] for row in rows if row.get("genre")})),
        "instruments": tuple(sorted({name for row in rows for name in row.get("instruments", ())})),
        "moods": tuple(sorted({name for row in rows for name in row.get("moods", ())})),
    }


def pairs_of(rows: Sequence[dict[str, Any]], config: PlanReaderConfig) -> Pairs:
    """Rows in numbers; names that the configuration lacks are left out."""

    def numbers(values: Sequence[Any], names: Sequence[str]) -> np.ndarray:
        return np.array([names.index(value) if value in names else UNKNOWN for value in values], dtype=np.int64)

    def marks(field: str, names: Sequence[str]) -> np.ndarray:
        places = {name: place for place, name in enumerate(names)}
        found = np.zeros((len(rows), len(names)), dtype=np.uint8)
        for number, row in enumerate(rows):
            for name in row.get(field) or ():
                if name in places:
                    found[number, places[name]] = 1
        return found

    tempos = [row.get("tempo_bpm") for row in rows]
    return Pairs(
        [caption for row in rows for caption in row["captions"]],
        np.repeat(np.arange(len(rows)), [len(row["captions"]) for row in rows]),
        numbers([row.get("genre") for row in rows], config.genres),
        marks("instruments", config.instruments),
        marks("moods", config.moods),
        np.array([config.tempo_bin(bpm) if bpm else UNKNOWN for bpm in tempos], dtype=np.int64),
        numbers([row.get("meter") for row in rows], METERS),
        numbers([(row.get("key") or "").split(" ")[-1] for row in rows], MODES),
    )


class PairBatches:
    """Captions in an order of chance, long beside long, spoiled as strangers spoil them; endless."""

    def __init__(self, pairs: Pairs, batch_size: int, seed: int, spoiled: float) -> None:
        self.pairs, self.batch_size, self.seed, self.spoiled = pairs, batch_size, seed, spoiled
        self._lengths = np.array([len(caption) for caption in pairs.captions])

    def batch(self, index: int) -> Batch:
        pool, place = divmod(index, _POOL)
        rng = random_for(self.seed, pool)
        drawn = rng.integers(len(self.pairs), size=_POOL * self.batch_size)
        drawn = drawn[np.argsort(self._lengths[drawn], kind="stable")].reshape(_POOL, -1)
        chosen = drawn[rng.permutation(_POOL)[place]]
        rng = random_for(self.seed, pool, place)
        texts = [self.pairs.captions[i] for i in chosen]
        return batch_of(self.pairs, chosen, [spoil(t, rng) if rng.random() < self.spoiled else t for t in texts])


class PairsInOrder:
    """Captions as they are, each once."""

    def __init__(self, pairs: Pairs, batch_size: int) -> None:
        self.pairs, self.batch_size = pairs, batch_size

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.batch_size)

    def batch(self, index: int) -> Batch:
        chosen = np.arange(index * self.batch_size, min((index + 1) * self.batch_size, len(self.pairs)))
        return batch_of(self.pairs, chosen, [self.pairs.captions[i] for i in chosen])


def batch_of(pairs: Pairs, chosen: np.ndarray, texts: list[str]) -> Batch:
    """Texts and the numbers of what is true of each."""
    owners = pairs.owner[chosen]
    return {
        "captions": texts,
        "instruments": torch.from_numpy(pairs.instruments[owners]).float(),
        "moods": torch.from_numpy(pairs.moods[owners]).float(),
        **{name: torch.from_numpy(getattr(pairs, name)[owners]) for name in ("genre", "tempo", "meter", "mode")},
    }


# ---- what strangers do to a sentence ---------------------------------------------------------------------------------


def spoil(text: str, rng: np.random.Generator) -> str:
    """Some of: tags in another order, words left out, typing errors, no or other marks, capitals, an opening phrase."""
    changes = rng.random(6)
    tags = text.split(", ")
    if changes[0] < 0.3 and len(tags) > 2:
        text = ", ".join(tags[i] for i in rng.permutation(len(tags)))
    words = text.split()
    if changes[1] < 0.3 and len(words) > 3:
        words = [word for word in words if rng.random() > 0.1] or words
    if changes[2] < 0.4:
        words = [_mistyped(word, rng) if rng.random() < 0.12 else word for word in words]
    text = " ".join(words)
    if changes[3] < 0.2:
        text = "".join(mark for mark in text if mark not in ",.;|")
    if changes[4] < 0.4:
        text = text.lower() if changes[4] < 0.25 else text.upper() if changes[4] < 0.33 else text.title()
    if changes[5] < 0.15:
        text = _OPENERS[int(rng.integers(len(_OPENERS)))] + text
    elif changes[5] < 0.3:
        text += _MARKS[int(rng.integers(len(_MARKS)))]
    return text


def _mistyped(word: str, rng: np.random.Generator) -> str:
    """A letter lost, doubled, swapped with the next or another; short words and figures stay."""
    if len(word) < 4 or not word.isalpha():
        return word
    i = int(rng.integers(1, len(word) - 1))
    match int(rng.integers(4)):
        case 0:
            return word[:i] + word[i + 1 :]
        case 1:
            return word[:i] + word[i] + word[i:]
        case 2:
            return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        case _:
            return word[:i] + _LETTERS[int(rng.integers(len(_LETTERS)))] + word[i + 1 :]
