"""The same recording twice: bit for bit, or as another format, rate or level.

In: samples. Out: a fingerprint of 32 bits every 26 ms, and which recordings carry the same music at the same time.
Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): a bit is the sign of the difference of
energy between neighbouring bands, and between neighbouring frames; 33 bands from 300 to 2000 Hz on a logarithmic scale.
Their frames are 0.37 s with a hop of 11.6 ms; ours are 0.41 s with 25.6 ms, which halves what must be kept.

Two recordings are duplicates if, at one offset, they overlap in most of the shorter one and few of the overlapping
bits differ. Pieces that only share instruments, tempo and key differ in nearly half. Only beginnings are compared: an
excerpt from the third minute of a track is not found. Two clips of one piece that repeats itself note for note are
copies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt32

RATE, FRAME, HOP = 5000, 2048, 128
BANDS = np.geomspace(300.0, 2000.0, 34)
LIMIT_SECONDS = 120
"""Only the beginning is kept: copies agree there, and a folder of 10,000 tracks stays at 190 MB."""
MAX_ERROR = 0.15
"""Share of bits that may differ: MP3, Vorbis and Opus change up to 14 %, different pieces differ in 27 % at least
(`tests/data/test_duplicates.py` says how that was measured)."""
MIN_OVERLAP = 0.8
"""Share of the shorter recording that must overlap."""
MIN_FRAMES = 32
_COMMON = 64  # a value that occurs more often than this (silence, a held tone) points nowhere
_KNOWN = 1024  # frames of a recording that can be looked up
_CANDIDATES = 64  # recordings that are compared with one
_MIDDLE = 1 << 31  # two numbers in one: offsets may be negative


def fingerprint(mono: Float32[np.ndarray, "N"], sample_rate: int) -> UInt32[np.ndarray, "F"]:
    """Bits of the first `LIMIT_SECONDS`; empty for less than two frames (0.44 s). The level does not matter."""
    mono = mono[: LIMIT_SECONDS * sample_rate]
    if sample_rate != RATE:
        import soxr

        mono = soxr.resample(mono, sample_rate, RATE, quality="LQ")
    if len(mono) < FRAME + HOP:
        return np.zeros(0, np.uint32)
    frames = np.lib.stride_tricks.sliding_window_view(mono, FRAME)[::HOP]
    window = np.hanning(FRAME).astype(np.float32)
    edges = np.round(BANDS * FRAME / RATE).astype(int)
    energies = []
    for start in range(0, len(frames), 256):  # to bound the memory
        spectrum = np.fft.rfft(frames[start : start + 256] * window)
        energies.append(np.add.reduceat(np.square(np.abs(spectrum)), edges, axis=1)[:, :-1])
    energy = np.concatenate(energies)
    bands = energy[:, :-1] - energy[:, 1:]
    bits = bands[1:] > bands[:-1]
    return np.ascontiguousarray(np.packbits(bits, axis=1, bitorder="little")).view(np.uint32)[:, 0].copy()


@dataclass(frozen=True)
class Match:
    """Recording `item` is in recording `of`, `offset_seconds` from its beginning; `error` of the bits differ."""

    item: int
    of: int
    offset_seconds: float
    error: float


def best_match(
    a: UInt32[np.ndarray, "F"], b: UInt32[np.ndarray, "G"], offsets: Sequence[int]
) -> tuple[float, int] | None:
    """Least share of differing bits over the offsets (frames of `a` minus frames of `b`) that overlap enough."""
    needed = max(MIN_FRAMES, int(MIN_OVERLAP * min(len(a), len(b))))
    best: tuple[float, int] | None = None
    for offset in offsets:
        first, last = max(0, offset), min(len(a), len(b) + offset)
        if last - first < needed:
            continue
        wrong = int(np.bitwise_count(a[first:last] ^ b[first - offset : last - offset]).sum())
        error = wrong / (32 * (last - first))
        if best is None or error < best[0]:
            best = (error, offset)
    return best


def find_near(prints: Sequence[UInt32[np.ndarray, "_"]], max_error: float = MAX_ERROR) -> list[Match]:
    """Every recording that is a copy of one before it in the list: put first what is to be kept.

    A recording matches only what is itself kept, so that a chain of similar ones does not swallow all.
    """
    index = _Index(prints)
    kept = np.ones(len(prints), bool)
    found = []
    for item, bits in enumerate(prints):
        candidates = index.offsets(item)
        matches = []
        for of, offsets in candidates.items():
            if of >= item or not kept[of]:
                continue
            match = best_match(prints[of], bits, offsets)
            if match is not None and match[0] <= max_error:
                matches.append(Match(item, of, match[1] * HOP / RATE, match[0]))
        if matches:
            kept[item] = False
            found.append(min(matches, key=lambda match: (match.error, match.of)))
    return found


class _Index:
    """Where every value occurs, sorted by value; of long recordings every few frames, `_KNOWN` at least."""

    def __init__(self, prints: Sequence[UInt32[np.ndarray, "_"]]) -> None:
        self.prints = prints
        strides = [max(1, len(bits) // _KNOWN) for bits in prints]
        parts = [bits[::stride] for bits, stride in zip(prints, strides, strict=True)]
        values = np.concatenate([*parts, np.zeros(0, np.uint32)])
        owners = np.repeat(np.arange(len(prints), dtype=np.int32), [len(part) for part in parts])
        places = [np.arange(0, len(bits), stride, dtype=np.int32) for bits, stride in zip(prints, strides, strict=True)]
        order = np.argsort(values, kind="stable")
        self.values, self.owners = values[order], owners[order]
        self.places = np.concatenate([*places, np.zeros(0, np.int32)])[order]

    def offsets(self, item: int) -> dict[int, list[int]]:
        """Offsets worth trying, by recording: those at which the most frames agree exactly."""
        bits = self.prints[item]
        low = np.searchsorted(self.values, bits, side="left")
        count = np.searchsorted(self.values, bits, side="right") - low
        count[count > _COMMON] = 0
        # The hits of frame f are low[f], low[f] + 1, ...: all of them in one array.
        here = np.repeat(np.arange(len(bits)), count)
        hits = np.arange(len(here)) + np.repeat(low - np.cumsum(count) + count, count)
        owners, shifts = self.owners[hits].astype(np.int64), self.places[hits] - here
        earlier = owners < item
        unique, votes = np.unique(owners[earlier] << 32 | shifts[earlier] + _MIDDLE, return_counts=True)
        result: dict[int, list[int]] = {}
        for pair in unique[np.argsort(-votes, kind="stable")].tolist():
            owner, offset = pair >> 32, (pair & 0xFFFFFFFF) - _MIDDLE
            if owner not in result and len(result) == _CANDIDATES:
                continue
            tried = result.setdefault(owner, [])
            if len(tried) < 12:
                tried += [offset - 1, offset, offset + 1]
        return result
