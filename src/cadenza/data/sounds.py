"""What CLAP hears of every recording, second by second, beside the codes in a token cache.

In: manifest entries and a CLAP condition with its encoder. Out: `sound.safetensors` in the cache's folder (one tensor
`[W, E]` per recording: a vector for every window, from the start on) and `sound.json`, how they were computed; batches
with `{"sound": [B, E]}`, the mean over the windows that lie within each item. audiocraft keeps the same and takes the
same mean. Windows begin at whole strides of the recording, so that a mean is off by half a stride at most; where a
window of codes begins at a whole stride it is exact.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadenza.audio import Audio
from cadenza.checkpoint import WEIGHTS_FILE, file_hash, read_json, read_weights, write_json, write_weights
from cadenza.conditioning.clap import ClapConditioner, ClapConfig
from cadenza.data.batches import Batch, BatchSource, FiniteBatchSource
from cadenza.data.manifest import Entry
from cadenza.errors import UserError

WEIGHTS, INDEX = "sound.safetensors", "sound.json"


def write_sounds(
    conditioner: ClapConditioner,
    entries: Sequence[Entry],
    folder: str | Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Listen to every recording, whole. What cannot be heard (silent, too short, damaged) gets no vectors and is
    trained without; returns the reasons by name."""
    _settings(conditioner)  # without an encoder nothing could be heard
    vectors: dict[str, Tensor] = {}
    skipped: dict[str, str] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            vectors[entry.id] = conditioner.windows(Audio.read(entry.path)).cpu().half()
        except UserError as error:
            skipped[entry.id] = str(error)
        if on_progress is not None:
            on_progress(number, len(entries))
    write_weights(Path(folder) / WEIGHTS, vectors)
    write_json(Path(folder) / INDEX, _settings(conditioner))
    return skipped


def read_sounds(folder: str | Path, conditioner: ClapConditioner) -> dict[str, Tensor]:
    """Vectors by recording. UserError if there are none, or of another CLAP or other windows than the condition's."""
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise UserError(f"{folder} holds no vectors of CLAP: compute them with cadenza.data.sounds.write_sounds")
    if read_json(folder / INDEX) != _settings(conditioner):
        raise UserError(f"the vectors in {folder} are of another CLAP or other windows: compute them again")
    return read_weights(folder / WEIGHTS)


class WithSounds:
    """Batches of `source` with the vectors of each window of `seconds`; zero for what is silent."""

    def __init__(
        self, source: BatchSource, vectors: Mapping[str, Tensor], config: ClapConfig, frame_rate: float
    ) -> None:
        self.source, self.vectors, self.config, self.frame_rate = source, vectors, config, frame_rate

    def __len__(self) -> int:
        assert isinstance(self.source, FiniteBatchSource), "the source is endless"
        return len(self.source)

    def batch(self, index: int) -> Batch:
        batch = self.source.batch(index)
        frames, starts = batch["frames"], batch["start_seconds"]
        assert isinstance(frames, Tensor)
        assert isinstance(starts, Tensor)
        rows = [
            self._mean(str(name), float(start), float(count) / self.frame_rate)
            for name, start, count in zip(batch["ids"], starts, frames, strict=True)
        ]
        return {**batch, "sound": torch.stack(rows)}

    def _mean(self, name: str, start: float, seconds: float) -> Tensor:
        """Over the windows within `seconds` from `start`; at least one, the nearest."""
        vectors = self.vectors.get(name)
        if vectors is None:
            return torch.zeros(self.config.dim)
        stride, window = self.config.stride_seconds, self.config.window_seconds
        first = min(round(start / stride), len(vectors) - 1)
        count = max(1, int((seconds - window) / stride + 1e-6) + 1)
        return vectors[first : first + count].float().mean(0)


def _settings(conditioner: ClapConditioner) -> dict[str, Any]:
    """What decides the vectors."""
    if conditioner.encoder is None:
        raise UserError("no CLAP encoder: name its folder in objective.clap_encoder")
    config, weights = conditioner.config, file_hash(conditioner.encoder.directory / WEIGHTS_FILE)
    return {"encoder": weights, "window": config.window_seconds, "stride": config.stride_seconds}
