"""Audio segments for training and validating codecs.

In: manifest entries. Out: batches `{"audio": [B, C, N] float32, "ids": [...]}`. Decoding is paid once: all audio is
kept in memory as 16-bit integers where it fits, else segments are read from the files when they are drawn.
"""

import sys
from collections.abc import Sequence

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadenza.data.batches import Batch, random_for
from cadenza.data.manifest import Entry
from cadenza.errors import UserError


class Recordings:
    """Random access to the samples of manifest entries at one rate and channel count, `[C, N]` float32.

    `memory_bytes` bounds what is preloaded; beyond it every read opens its file.
    """

    def __init__(self, entries: Sequence[Entry], sample_rate: int, channels: int, memory_bytes: float = 4e9) -> None:
        self.sample_rate, self.channels = sample_rate, channels
        self.entries = list(entries)
        expected = sum(entry.duration for entry in entries) * sample_rate * channels * 2
        self._loaded: list[NDArray[np.int16]] | None = None
        self.lengths = [int(entry.duration * sample_rate) for entry in entries]
        if expected <= memory_bytes:
            self._loaded = [_to_int16(self._decode(entry, 0, None)) for entry in entries]
            self.lengths = [samples.shape[1] for samples in self._loaded]

    def __len__(self) -> int:
        return len(self.entries)

    def read(self, item: int, start: int, num_samples: int) -> NDArray[np.float32]:
        """`num_samples` from sample `start`; zeros beyond the end."""
        if self._loaded is not None:
            part = self._loaded[item][:, start : start + num_samples].astype(np.float32) / 32767.0
        else:
            part = self._decode(self.entries[item], start, num_samples)
        missing = num_samples - part.shape[1]
        return np.pad(part, ((0, 0), (0, missing))) if missing else part

    def whole(self, item: int) -> NDArray[np.float32]:
        """The whole recording."""
        return self.read(item, 0, self.lengths[item])

    def _decode(self, entry: Entry, start: int, num_samples: int | None) -> NDArray[np.float32]:
        """Decode a range given at our rate, then mix and resample."""
        ratio = entry.sample_rate / self.sample_rate
        frames = -1 if num_samples is None else round(num_samples * ratio)
        try:
            samples, rate = soundfile.read(
                entry.path, frames=frames, start=round(start * ratio), dtype="float32", always_2d=True
            )
        except (soundfile.SoundFileError, OSError) as error:
            raise UserError(f"cannot read {entry.path} ({error}): remove it from the manifest") from error
        if rate != entry.sample_rate:
            raise UserError(f"{entry.path} has {rate} Hz, its manifest entry says {entry.sample_rate}: scan it again")
        audio = samples.T
        if audio.shape[0] != self.channels:
            audio = np.broadcast_to(audio.mean(0, keepdims=True), (self.channels, audio.shape[1]))
        if rate != self.sample_rate:
            import soxr

            audio = soxr.resample(audio.T, rate, self.sample_rate).T
        audio = np.ascontiguousarray(audio, dtype=np.float32)
        return audio if num_samples is None else audio[:, :num_samples]


class RandomSegments:
    """Endless batches of random segments; the chance of a recording is proportional to its duration and weight."""

    def __init__(
        self,
        recordings: Recordings,
        segment_seconds: float,
        batch_size: int,
        seed: int,
        rows: range | None = None,
    ) -> None:
        """`rows` of every batch are read, None: all; the others, which other processes hold, are silence."""
        self.recordings, self.batch_size, self.seed = recordings, batch_size, seed
        self.rows = range(batch_size) if rows is None else rows
        self.num_samples = round(segment_seconds * recordings.sample_rate)
        weights = [
            length * (1.0 if entry.weight is None else entry.weight)
            for length, entry in zip(recordings.lengths, recordings.entries, strict=True)
        ]
        self._cumulative = np.cumsum(np.asarray(weights, dtype=np.float64))
        if self._cumulative[-1] <= 0:
            raise UserError("all recordings have weight 0: give at least one a positive weight in the manifest")

    def batch(self, index: int) -> Batch:
        random = random_for(self.seed, index)
        places, positions = random.random(self.batch_size), random.random(self.batch_size)
        chosen = np.searchsorted(self._cumulative, places * self._cumulative[-1], side="right")
        audio = torch.zeros(self.batch_size, self.recordings.channels, self.num_samples)
        for row in self.rows:
            item = int(chosen[row])
            last_start = max(0, self.recordings.lengths[item] - self.num_samples)
            start = int(positions[row] * (last_start + 1))
            audio[row] = torch.from_numpy(self.recordings.read(item, start, self.num_samples))
        return {"audio": audio, "ids": [self.recordings.entries[item].id for item in chosen]}


class FixedSegments:
    """A finite sweep for validation: the middle segment of every recording, `limit` recordings at most."""

    def __init__(
        self, recordings: Recordings, segment_seconds: float, batch_size: int, limit: int = sys.maxsize
    ) -> None:
        self.recordings, self.batch_size = recordings, batch_size
        self.num_samples = round(segment_seconds * recordings.sample_rate)
        self.num_items = min(len(recordings), limit)

    def __len__(self) -> int:
        return -(-self.num_items // self.batch_size)

    def batch(self, index: int) -> Batch:
        items = range(index * self.batch_size, min((index + 1) * self.batch_size, self.num_items))
        ids = [self.recordings.entries[item].id for item in items]
        return {"audio": torch.stack([self._middle(item) for item in items]), "ids": ids}

    def _middle(self, item: int) -> Tensor:
        start = max(0, (self.recordings.lengths[item] - self.num_samples) // 2)
        return torch.from_numpy(self.recordings.read(item, start, self.num_samples))


def _to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)
