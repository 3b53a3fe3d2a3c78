"""Shards of a token cache: safetensors files that say what they were made of and prove that they are whole.

In: the tensors of some recordings. Out: `codes_00000.safetensors`, `text_00000.safetensors`, ... whose header holds a
hash of what they were made of (settings and entries), the recordings left out and why, and a checksum of all that they
hold. A shard needs no other file to be judged, so a cache can be ended at any moment and goes on from its whole shards.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cadenza.data.manifest import Entry
from cadenza.files import atomic_file

_HEADER = "cadenza"
"""All facts under one name: safetensors writes several in an order that differs from process to process."""


class Part(NamedTuple):
    """Consecutive entries of the manifest: what one shard of every layer holds."""

    number: int
    entries: tuple[Entry, ...]


class Shard(NamedTuple):
    """What a whole shard holds."""

    tensors: dict[str, Tensor]
    made_of: str | None
    """Hash of settings and entries; None in shards from before there was one."""
    skipped: dict[str, str]
    """Recordings left out -> why."""
    checksum: str


def cut(entries: Sequence[Entry], shard_items: int) -> list[Part]:
    """Parts by order alone, whoever computes them."""
    starts = range(0, len(entries), shard_items)
    return [Part(number, tuple(entries[start : start + shard_items])) for number, start in enumerate(starts)]


def shard_path(folder: str | Path, layer: str, number: int) -> Path:
    """The file of one shard; `layer` is codes, text or melody."""
    return Path(folder) / f"{layer}_{number:05d}.safetensors"


def made_of(settings: Mapping[str, Any], part: Part, with_captions: bool = False) -> str:
    """SHA-256 of all that decides a shard's tensors; where the files lie does not matter.

    The sound is known by the hash that scanning writes into the manifest, where it did, and else by its length alone.
    """
    rows: list[list[object]] = [
        [entry.id, entry.duration, entry.sample_rate, *([entry.tags["sound"]] if "sound" in entry.tags else [])]
        for entry in part.entries
    ]
    if with_captions:
        rows = [[entry.id, *entry.captions] for entry in part.entries]
    return hashlib.sha256(json.dumps([settings, rows], sort_keys=True).encode()).hexdigest()


def write_shard(path: Path, tensors: Mapping[str, Tensor], recipe: str, skipped: Mapping[str, str]) -> str:
    """Write one shard, whole or not at all, the same bytes whoever writes it, and return its checksum.

    Raises CadenzaError where the disk refuses.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    checksum = _checksum(whole, recipe, skipped)
    facts = {"made_of": recipe, "skipped": dict(skipped), "sha256": checksum}
    with atomic_file(path) as temporary:
        try:
            save_file(whole, temporary, metadata={_HEADER: json.dumps(facts, sort_keys=True)})
        except SafetensorError as error:
            raise OSError(str(error)) from error
    return checksum


def read_shard(path: Path) -> Shard | None:
    """A shard whose content equals its checksum; None for one that is missing, cut short or altered.

    Shards from before there were checksums are believed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError):
        return None
    recipe, skipped = facts.get("made_of"), facts.get("skipped", {})
    checksum = _checksum(tensors, recipe or "", skipped)
    if facts and checksum != facts.get("sha256"):
        return None
    return Shard(tensors, recipe, skipped, checksum)


def current(path: Path, recipe: str, names: Iterable[str] = ()) -> Shard | None:
    """The shard at `path` if it is whole and made of just that; an old one if it holds exactly `names`."""
    shard = read_shard(path)
    if shard is None:
        return None
    if shard.made_of is None:
        return shard if set(shard.tensors) == set(names) else None
    return shard if shard.made_of == recipe else None


def _checksum(tensors: Mapping[str, Tensor], recipe: str, skipped: Mapping[str, str]) -> str:
    total = hashlib.sha256(json.dumps([recipe, dict(skipped)], sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        add_tensor(total, name, tensor)
    return total.hexdigest()


def add_tensor(total: "hashlib._Hash", name: str, tensor: Tensor) -> None:
    """Name, type, shape and bytes of a tensor into a hash."""
    total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
    total.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())
