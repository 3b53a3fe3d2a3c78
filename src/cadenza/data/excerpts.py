"""Excerpts of the recordings beside windows of their codes: what a style condition listens to in training.

In: a source of windows, and the recordings' own files. Out: the same batches with `{"excerpt": [B, N], "excerpt_start":
[B], "excerpt_seconds": [B]}`: mono audio, where in its window each excerpt begins, how long it is. Rouard et al. (2024)
draw the length anew for each batch, from 1.5 to 4.5 s. Differences from audiocraft: each item has its own place.

Nothing is computed beforehand: what MERT hears at a moment depends on all of the excerpt, so the vectors of a whole
recording, cut, would be others; and on three seconds it takes under one hundredth of the step of a model of MusicGen's
size.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cadenza.data.batches import Batch, BatchSource, FiniteBatchSource, random_for
from cadenza.data.dataset import Recordings
from cadenza.data.manifest import Entry
from cadenza.errors import UserError

_DRAW = 2
"""Keeps the draws of an excerpt apart from those of its window."""


class WithExcerpts:
    """Batches of `source` with an excerpt each, of a length between `seconds`, drawn once per batch.

    `rows` are those that this process holds; the others stay silent, as nobody will hear them. With `fixed`, excerpts
    have the first length and lie in the middle of their window (validation).
    """

    def __init__(
        self,
        source: BatchSource,
        entries: Sequence[Entry],
        sample_rate: int,
        frame_rate: float,
        seconds: tuple[float, float],
        seed: int = 0,
        rows: range | None = None,
        fixed: bool = False,
    ) -> None:
        self.source, self.frame_rate, self.seconds, self.seed = source, frame_rate, seconds, seed
        self.rows, self.fixed = rows, fixed
        self.sample_rate = sample_rate
        self._recordings = Recordings(entries, sample_rate, 1, memory_bytes=0)
        self._place = {entry.id: number for number, entry in enumerate(entries)}

    def __len__(self) -> int:
        assert isinstance(self.source, FiniteBatchSource), "the source is endless"
        return len(self.source)

    def batch(self, index: int) -> Batch:
        batch = self.source.batch(index)
        names, frames, starts = batch["ids"], batch["frames"], batch["start_seconds"]
        assert isinstance(frames, Tensor)
        assert isinstance(starts, Tensor)
        random = random_for(self.seed, index, _DRAW)
        low, high = self.seconds
        size = round((low if self.fixed else random.uniform(low, high)) * self.sample_rate)
        places = np.full(len(names), 0.5) if self.fixed else random.random(len(names))
        room = (frames.double() / self.frame_rate - size / self.sample_rate).clamp_min(0)
        begins = torch.from_numpy(places) * room
        audio = torch.zeros(len(names), size)
        for row in self.rows or range(len(names)):
            if row < len(names):
                start = round((float(starts[row]) + float(begins[row])) * self.sample_rate)
                audio[row] = torch.from_numpy(self._recordings.read(self._number(str(names[row])), start, size)[0])
        length = torch.full((len(names),), size / self.sample_rate, dtype=torch.float64)
        return {**batch, "excerpt": audio, "excerpt_start": begins, "excerpt_seconds": length}

    def _number(self, name: str) -> int:
        if name not in self._place:
            raise UserError(
                f"{name} is in the token cache, but not in the manifest: name the manifest it was made from"
            )
        return self._place[name]
