"""Does music say the same again and again? A clip in, how much of it is a near-exact copy of an earlier stretch, out.

Levels in mel bands are compared with themselves some time later (self-similarity; Foote 1999, Paulus et al. 2010). A
stretch of 1 s counts as a copy where it differs from an earlier one by less than 15 % of what stretches of the same
clip usually differ by. Music that repeats a pattern rarely reaches that, since its parts seldom line up all at once: of
161 composed clips 10 % of their time on average, more than half of them never (techno most). Their first bar looped
reaches 80 %, 78 % through MP3. Also how alike the clips of one set are (`diversity`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from cadenza.audio import Audio
from cadenza.evaluate.spectra import SAMPLE_RATE, mel_decibels, mono

STRETCH_SECONDS = 1.0
LEAST_LAG_SECONDS, LONGEST_LAG_SECONDS = 0.4, 60.0
EXACT = 0.15
"""Of the usual difference between two stretches of the clip."""
STILL_DB = 1.0
"""Mean change within a quarter of a second below which nothing happens."""

_SIZE, _HOP, _BANDS, _FLOOR_DB = 2048, 256, 40, -60.0  # a short hop: copies rarely begin on a frame
_FRAME_RATE = SAMPLE_RATE / _HOP
_LEAST_USUAL_DB = 1.0  # of a held tone all stretches are alike, so that the usual difference is no measure
_MOST_DIFFERENCES = 16_000_000  # looked at for what is usual: all in clips of up to a minute, of longer ones some lags
_SOUNDING_DB = 3.0  # mean over bands above the floor: a rest is no copy of another rest

Levels = Float32[np.ndarray, "T 40"]


@dataclass(frozen=True)
class Repetition:
    """`share` of the time in which something sounds that nearly copies an earlier stretch, 0 to 1; `lag_seconds` later,
    for most of it (0 where nothing is copied). A bar of a quarter of the clip that is looped gives 0.75."""

    share: float
    lag_seconds: float


def levels_of(audio: Audio) -> Levels:
    """Decibels per mel band below the loudest of the clip, 86 frames a second: what both figures are read from."""
    return np.ascontiguousarray(mel_decibels(mono(audio), SAMPLE_RATE, _SIZE, _HOP, _BANDS, _FLOOR_DB).T)


def measure_repetition(levels: Levels) -> Repetition:
    """Copies 0.4 s to a minute later, at least a second long, in `levels_of` a clip. Shorter clips and silence have
    none."""
    frames, width = len(levels), round(STRETCH_SECONDS * _FRAME_RATE)
    first, last = round(LEAST_LAG_SECONDS * _FRAME_RATE), round(LONGEST_LAG_SECONDS * _FRAME_RATE)
    lags = range(first, min(last, frames - width) + 1)
    if not len(lags):
        return Repetition(0.0, 0.0)
    sounds = (levels - _FLOOR_DB).mean(axis=1) > _SOUNDING_DB
    sounding = _moving_mean(sounds, width) > 0.5

    def differences(lag: int) -> Float64[np.ndarray, "_"]:
        return _moving_mean(np.abs(levels[lag:] - levels[:-lag]).mean(axis=1), width)

    total = len(lags) * (frames - (lags[0] + lags[-1]) // 2)
    known = {lag: differences(lag) for lag in lags[:: 1 + total // _MOST_DIFFERENCES]}
    usual = max(float(np.median(np.concatenate(list(known.values())), overwrite_input=True)), _LEAST_USUAL_DB)
    copied = np.zeros(frames, np.bool_)
    counts = []
    for lag in lags:
        difference = known[lag] if lag in known else differences(lag)
        starts = lag + np.flatnonzero((difference < EXACT * usual) & sounding[lag:])
        covered = np.zeros(frames + 1, np.int64)
        np.add.at(covered, starts, 1)
        np.add.at(covered, np.minimum(starts + width, frames), -1)
        here = (np.cumsum(covered)[:frames] > 0) & sounds
        copied |= here
        counts.append(int(here.sum()))
    if not copied.any():
        return Repetition(0.0, 0.0)
    # A loop also returns after two and three of its periods, for a shorter time: the first of the best.
    best = int(np.argmax(np.asarray(counts) >= 0.95 * max(counts)))
    return Repetition(float(copied.sum() / sounds.sum()), lags[best] / _FRAME_RATE)


def stuck_seconds(levels: Levels) -> float:
    """The longest stretch in which the spectrum hardly changes: a note that hangs, a hum, a codec that has collapsed.

    Silence does not count (it is measured by itself), white noise hardly.
    """
    step = round(0.25 * _FRAME_RATE)
    if len(levels) <= step:
        return 0.0
    still = np.abs(levels[step:] - levels[:-step]).mean(axis=1) < STILL_DB
    still &= (levels[step:] - _FLOOR_DB).mean(axis=1) > _SOUNDING_DB
    edges = np.flatnonzero(np.diff(np.concatenate([[0], still.astype(np.int8), [0]]))).reshape(-1, 2)
    longest = int((edges[:, 1] - edges[:, 0]).max(initial=0))
    return (longest + step) / _FRAME_RATE if longest else 0.0


def _moving_mean(values: Float[np.ndarray, "T"] | Bool[np.ndarray, "T"], width: int) -> Float64[np.ndarray, "_"]:
    """Of each `width` neighbours that lie wholly inside."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return (sums[width:] - sums[:-width]) / width


# ----------------------------------------------------------------------------------------------------------- diversity


@dataclass(frozen=True)
class Diversity:
    """How alike the clips of a set are: the mean cosine of pairs, and the pairs that are all but the same.

    `pairs` counts those that were compared: of different pieces.
    """

    mean_similarity: float
    near_duplicates: tuple[tuple[int, int, float], ...]
    pairs: int


def diversity(
    windows: Sequence[Float[np.ndarray, "_ D"]], pieces: Sequence[str] | None = None, near: float = 0.95
) -> Diversity:
    """Compare the mean vector of each clip with that of every other, those of its own piece left out.

    Args:
        windows: An array `[W, D]` for each clip.
        pieces: The piece of each clip; None: all are different.
        near: The cosine from which two clips count as near-duplicates; what it should be depends on the embedder
            (compare true music with itself: of 7,381 pairs of composed clips the shipped ear hears none above 0.945).
    """
    pieces = list(map(str, range(len(windows)))) if pieces is None else list(pieces)
    means = np.stack([np.asarray(found, np.float64).mean(axis=0) for found in windows]) if windows else np.zeros((0, 1))
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    numbers = np.unique(pieces, return_inverse=True)[1]
    total, count = 0.0, 0
    near_duplicates: list[tuple[int, int, float]] = []
    for place in range(len(means) - 1):
        cosines = means[place + 1 :] @ means[place]
        other = numbers[place + 1 :] != numbers[place]
        total += float(cosines[other].sum())
        count += int(other.sum())
        near_duplicates += [
            (place, place + 1 + int(i), float(cosines[i])) for i in np.flatnonzero(other & (cosines >= near))
        ]
    return Diversity(total / count if count else 0.0, tuple(near_duplicates), count)
