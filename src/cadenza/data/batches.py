"""The batch source: random access to batches by number, so that a run can resume at any point.

A batch is a dictionary of tensors (first axis: items) and lists, an element per item: texts, or what is known of each.
Batch `i` of a source depends on its configuration, its seed and `i` alone, never on the batches drawn before.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from cadenza.conditioning.plan import Plan
from cadenza.data.captions import Info
from cadenza.jukebox.labels import Piece

Batch = dict[str, Tensor | list[str] | list[Info] | list[Plan | None] | list[Piece]]


@runtime_checkable
class BatchSource(Protocol):
    """Batches by number. An endless source (training) accepts any `index >= 0`; a finite one has a length."""

    def batch(self, index: int) -> Batch:
        """Batch `index`, the same at every call."""


@runtime_checkable
class FiniteBatchSource(BatchSource, Protocol):
    def __len__(self) -> int: ...


def random_for(seed: int, *position: int) -> np.random.Generator:
    """A generator that depends on `seed` and the position alone (counter-based: Philox, Salmon et al. 2011)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, *position))))
