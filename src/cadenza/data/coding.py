"""From recordings to codes: the part of a token cache that costs.

In: manifest entries and a codec. Out: codes `[K, T]` per recording, and why some have none. Recordings are coded whole,
those of equal length together, and the next ones are read and resampled in a thread meanwhile. What is coded together
depends on the entries alone: sums in another order can move a code that lies between two entries of a codebook.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cadenza.audio import Audio
from cadenza.checkpoint import Config
from cadenza.codec.base import Codec
from cadenza.data.manifest import Entry
from cadenza.errors import UserError

LAYER = "codes"
SILENCE_DB = -80.0
"""Below this peak a recording holds nothing to learn."""
_AHEAD = 2
"""Batches read ahead."""


class TokenConfig(Config):
    """What decides the codes and how they are cut into shards."""

    shard_items: int = Field(64, ge=1, description="recordings per shard")
    first_seconds: float | None = Field(
        None, gt=0, description="only this much of every recording, from its start (System 1: 5); None: all"
    )
    min_seconds: float = Field(0.1, ge=0, description="shorter recordings are left out")
    batch_seconds: float = Field(
        30.0, gt=0, description="sound coded together, seconds; a longer recording is coded alone"
    )


@torch.no_grad()
def encode_recordings(
    codec: Codec, entries: Sequence[Entry], config: TokenConfig, on_done: Callable[[int], None] = lambda count: None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Codes by id (int16; int32 for codebooks of more than 32768 entries), and id -> reason for what has none."""
    kind = torch.int16 if codec.codebook_size <= 2**15 else torch.int32
    device = next(codec.parameters()).device
    codes: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    plan = plan_batches(entries, config)
    for batch, sounds in zip(plan, _read_ahead(plan, codec, config), strict=True):
        by_length: dict[int, list[tuple[str, np.ndarray]]] = {}
        for entry, sound in zip(batch, sounds, strict=True):
            if isinstance(sound, str):
                skipped[entry.id] = sound
            else:
                by_length.setdefault(sound.shape[1], []).append((entry.id, sound))
        for rows in by_length.values():
            audio = torch.from_numpy(np.stack([sound for _, sound in rows])).to(device)
            for (name, _), row in zip(rows, codec.encode(audio).codes, strict=True):
                codes[name] = row.to("cpu", kind)
        on_done(len(batch))
    return codes, skipped


def plan_batches(entries: Sequence[Entry], config: TokenConfig) -> list[list[Entry]]:
    """Entries of equal length together, `batch_seconds` of sound at most; lengths as the manifest has them."""
    by_length: dict[float, list[Entry]] = {}
    for entry in entries:
        by_length.setdefault(min(entry.duration, config.first_seconds or entry.duration), []).append(entry)
    plan: list[list[Entry]] = []
    for seconds, same in by_length.items():
        size = max(1, int(config.batch_seconds / seconds))
        plan.extend(same[start : start + size] for start in range(0, len(same), size))
    return plan


def read_recording(entry: Entry, first_seconds: float | None) -> Audio:
    """The sound of an entry, as stored; shorter recordings stay as they are. Raises UserError for what is no audio."""
    return Audio.read(entry.path, 0.0, first_seconds)


def _read_ahead(
    plan: Sequence[Sequence[Entry]], codec: Codec, config: TokenConfig
) -> Iterator[list[Float[np.ndarray, "C N"] | str]]:
    """The sounds of each batch, read in a thread while the batch before is coded."""
    waiting: deque[Future[list[np.ndarray | str]]] = deque()
    with ThreadPoolExecutor(1, "read") as thread:
        for batch in plan:
            waiting.append(thread.submit(_read_batch, batch, codec.sample_rate, codec.channels, config))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read_batch(batch: Sequence[Entry], sample_rate: int, channels: int, config: TokenConfig) -> list[np.ndarray | str]:
    return [read_sound(entry, sample_rate, channels, config) for entry in batch]


def read_sound(entry: Entry, sample_rate: int, channels: int, config: TokenConfig) -> np.ndarray | str:
    """Samples `[C, N]`, or why there are none."""
    try:
        audio = read_recording(entry, config.first_seconds)
    except UserError as error:
        return str(error)
    samples = audio.with_channels(channels).resample(sample_rate).samples
    seconds, peak = samples.shape[1] / sample_rate, max(samples.max(initial=0.0), -samples.min(initial=0.0))
    if seconds < config.min_seconds or samples.shape[1] == 0:
        return f"too short ({seconds:.3f} s, at least {config.min_seconds:g} s)"
    if peak < 10 ** (SILENCE_DB / 20):
        return f"silent (no sample above {SILENCE_DB:g} dB)"
    return samples
