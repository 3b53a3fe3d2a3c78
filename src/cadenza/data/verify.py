"""Is a token cache whole?

In: the folder of a finished cache. Out: what is wrong, shard by shard; nothing if all is well.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadenza.data.coding import LAYER as CODES
from cadenza.data.melodies import LAYER as MELODY
from cadenza.data.melodies import NOTHING
from cadenza.data.shards import read_shard, shard_path
from cadenza.data.texts import LAYER as TEXT
from cadenza.data.texts import text_name
from cadenza.data.tokens import read_index


def verify_tokens(folder: str | Path, on_progress: Callable[[int, int], None] | None = None) -> list[str]:
    """A line for each damaged shard: its name, and what is wrong. Raises UserError if there is no finished cache."""
    folder = Path(folder)
    index = read_index(folder)
    by_shard: dict[int, list[dict[str, Any]]] = {}
    for item in index["items"]:
        by_shard.setdefault(item["shard"], []).append(item)
    layers = index.get("layers", {CODES: {}})  # older caches have no checksums
    shards = []
    for layer, facts in layers.items():
        checksums = facts.get("checksums")
        numbers = sorted(by_shard) if checksums is None else range(len(checksums))
        shards += [(layer, number, None if checksums is None else checksums[number]) for number in numbers]
    lines = []
    for done, (layer, number, recorded) in enumerate(shards):
        if on_progress is not None:
            on_progress(done, len(shards))
        path = shard_path(folder, layer, number)
        wrong = _wrong(path, layer, recorded, by_shard.get(number, []), index)
        if wrong is not None:
            lines.append(f"{path.name}: {wrong}")
    return lines


def _wrong(
    path: Path, layer: str, recorded: str | None, items: list[dict[str, Any]], index: dict[str, Any]
) -> str | None:
    """What is wrong with one shard, None if nothing is."""
    if not path.is_file():
        return "missing"
    shard = read_shard(path)
    if shard is None:
        return "damaged (cut short, or its content does not have its checksum)"
    if recorded is not None and shard.checksum != recorded:
        return "another one than the index was written for"
    names = {item["id"] for item in items}
    if layer == TEXT:
        names = {text_name(item["id"], n) for item in items for n in range(len(item.get("captions", ())))}
        missing = names - set(shard.tensors)
    else:
        missing = names ^ set(shard.tensors)
    if missing:
        return f"{len(missing)} recordings are missing or too many (such as {min(missing)!r})"
    check = {CODES: _codes, MELODY: _classes, TEXT: _texts}[layer]
    for name in sorted(names):
        if (wrong := check(shard.tensors[name], index)) is not None:
            return f"{name}: {wrong}"
    return None


def _codes(codes: Tensor, index: dict[str, Any]) -> str | None:
    books, size = index["codec"]["num_codebooks"], index["codec"]["codebook_size"]
    if codes.ndim != 2 or codes.shape[0] != books or codes.shape[1] == 0:
        return f"codes of shape {list(codes.shape)}, expected [{books}, T]"
    return _outside(codes, range(size))


def _classes(classes: Tensor, index: dict[str, Any]) -> str | None:
    if classes.ndim != 1 or classes.dtype != torch.uint8:
        return f"{classes.dtype} classes of shape {list(classes.shape)}, expected bytes [T]"
    dim = index["layers"][MELODY]["settings"]["analysis"]["dim"]
    return _outside(classes[classes != NOTHING], range(dim))


def _texts(text: Tensor, index: dict[str, Any]) -> str | None:
    dimensions = 2 if index["layers"][TEXT]["settings"]["form"] == "states" else 1
    if text.ndim != dimensions:
        return f"a caption of shape {list(text.shape)}"
    return None if bool(torch.isfinite(text).all()) else "a caption with values that are not numbers"


def _outside(values: Tensor, allowed: range) -> str | None:
    if values.numel() and (int(values.min()) < allowed.start or int(values.max()) >= allowed.stop):
        return f"values from {int(values.min())} to {int(values.max())}, allowed are {allowed.start} to {allowed[-1]}"
    return None
