"""How well a codec's codebooks are used: codes in; usage, entropy and perplexity of each, and bits per second, out.

Counts are summed over any number of recordings, so that memory does not grow with them. The entropy is that of single
codes, whatever came before: an arithmetic coder with a fixed table spends so many bits, one that looks back fewer.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from cadenza.errors import UserError

FEW_CODES = 10
"""Codes per entry, below which entropies are still uncertain by more than a few hundredths of a bit."""


@dataclass(frozen=True)
class CodebookUse:
    """One codebook over all recordings.

    `entropy_bits` is corrected for the number of codes (Miller 1955: the plain estimate misses `(entries seen - 1) /
    2N` nats on average), and never above log2 V. `perplexity` is 2 to its power: as many entries, used alike, would
    have the same entropy.
    """

    usage: float
    entropy_bits: float
    perplexity: float


class CodebookCounts:
    """How often each entry of each codebook was chosen."""

    def __init__(self, num_codebooks: int, codebook_size: int) -> None:
        self.counts = np.zeros((num_codebooks, codebook_size), dtype=np.int64)

    def add(self, codes: Int[np.ndarray, "K T"]) -> None:
        """Count the codes of a recording. Raises UserError for codes that the codebooks do not have."""
        books, size = self.counts.shape
        if codes.shape[0] != books:
            raise UserError(f"codes of {codes.shape[0]} codebooks for a codec of {books}: they are of another codec")
        if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < size:
            raise UserError(f"codes from {codes.min()} to {codes.max()}, but the codebooks have {size} entries")
        for k, chosen in enumerate(codes):
            self.counts[k] += np.bincount(chosen, minlength=size)

    @property
    def codes_per_entry(self) -> float:
        """Fewer than `FEW_CODES` make the entropies uncertain."""
        return float(self.counts[0].sum()) / self.counts.shape[1]

    def uses(self) -> list[CodebookUse]:
        """One per codebook. Raises UserError where nothing was counted."""
        if not self.counts[0].sum():
            raise UserError("no codes were counted: give at least one recording")
        return [_use(row) for row in self.counts]

    def entropy_kbps(self, frame_rate: float) -> float:
        """Bit rate at which these codes could be stored by an entropy coder that looks at single codes."""
        return sum(use.entropy_bits for use in self.uses()) * frame_rate / 1000

    def nominal_kbps(self, frame_rate: float) -> float:
        """Bit rate of the codes as they are, log2 V bits each."""
        books, size = self.counts.shape
        return books * math.log2(size) * frame_rate / 1000


def _use(counts: Int[np.ndarray, "V"]) -> CodebookUse:
    seen = counts[counts > 0].astype(np.float64)
    total = seen.sum()
    shares: Float[np.ndarray, "S"] = seen / total
    bits = float(-(shares * np.log2(shares)).sum()) + (len(seen) - 1) / (2 * total * math.log(2))
    bits = float(min(bits, math.log2(len(counts))))
    return CodebookUse(len(seen) / len(counts), bits, 2.0**bits)
