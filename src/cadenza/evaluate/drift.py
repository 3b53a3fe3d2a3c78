"""Does long music change its character? One sound in; its segments of 10 s in figures, and their trends, out.

Every figure that a listener would notice going astray: loudness, brightness, spectrum, silence, clipping, key, how
many notes there are, and how much is said again. A trend is a slope per minute over the segments of one piece; whether
pieces drift is the mean of their slopes, with its interval over pieces (`evaluate.intervals`), since segments of one
piece depend on each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from cadenza.audio import Audio
from cadenza.evaluate.chroma import measure_chroma
from cadenza.evaluate.intervals import Interval, mean_interval
from cadenza.evaluate.key import chroma
from cadenza.evaluate.spectra import SAMPLE_RATE, mel_bank, mono, power_spectrum
from cadenza.loudness import ABSOLUTE_GATE_LUFS

SEGMENT_SECONDS = 10.0
SILENCE_DB = -60.0  # of 0.1 s, RMS relative to full scale
FULL_SCALE = 0.999  # what 16 bits would cut or all but cut

_SIZE, _HOP, _BANDS = 2048, 1024, 64
_FLOOR_DB = 60.0  # bands further below the loudest count as so far below


@dataclass(frozen=True, eq=False)
class Segment:
    """What is measured in one stretch of music."""

    start_seconds: float
    loudness_lufs: float
    """-70, the gate of BS.1770, for silence."""
    centroid_hz: float
    """Where the middle of the spectrum's power lies; 0 for silence."""
    clipped: float
    """Share of samples at full scale."""
    silent: float
    """Share of its time."""
    spectrum_db: Float32[np.ndarray, "bands"]
    """Mean power per mel band; the mean over bands is 0, so that level drops out."""
    pitch_classes: Float64[np.ndarray, "12"]
    """Share of each; all 0 where nothing has a pitch."""
    variety_bits: float
    """Entropy of the strongest pitch class over frames: 0 for a drone, log2 12 = 3.6 for all twelve alike."""


def measure_segments(audio: Audio, seconds: float = SEGMENT_SECONDS) -> list[Segment]:
    """The whole segments of a sound, in order; a rest at the end that is shorter is left out."""
    count = int(audio.duration_seconds / seconds + 1e-9)
    return [measure_segment(audio.slice(i * seconds, seconds), i * seconds) for i in range(count)]


def measure_segment(audio: Audio, start_seconds: float = 0.0) -> Segment:
    samples = mono(audio)
    power = mean_power(samples)
    bands = mel_bank(SAMPLE_RATE, _SIZE, _BANDS) @ power
    loudest = max(float(bands.max()), 1e-10)
    levels = np.maximum(10 * np.log10(np.maximum(bands / loudest, 1e-12)), -_FLOOR_DB)
    return Segment(
        start_seconds,
        gated_loudness_lufs(audio),
        centroid_hz(power),
        clipped_share(audio),
        silent_share(samples),
        (levels - levels.mean()).astype(np.float32),
        chroma(samples),
        _entropy_bits(_strongest_classes(audio)),
    )


def gated_loudness_lufs(audio: Audio) -> float:
    """Integrated loudness, not below the gate of BS.1770."""
    return max(audio.loudness_lufs(), ABSOLUTE_GATE_LUFS)


def clipped_share(audio: Audio) -> float:
    """Of all samples of all channels, those at full scale."""
    return float((np.abs(audio.samples) >= FULL_SCALE).mean())


def silent_share(samples: Float32[np.ndarray, "N"]) -> float:
    """Of the whole tenths of a second at 22,050 Hz, the share below -60 dB (RMS)."""
    tenth = SAMPLE_RATE // 10
    tenths = samples[: samples.size // tenth * tenth].reshape(-1, tenth)
    quiet = np.square(tenths).mean(axis=1) < 10 ** (SILENCE_DB / 10)
    return float(quiet.mean()) if quiet.size else 0.0


def mean_power(samples: Float32[np.ndarray, "N"]) -> Float[np.ndarray, "F"]:
    """The power spectrum at 22,050 Hz, mean over frames."""
    power: np.ndarray = power_spectrum(samples, _SIZE, _HOP).mean(axis=1)
    return power


def centroid_hz(power: Float[np.ndarray, "F"]) -> float:
    """Where the middle of a spectrum's power (`mean_power`) lies; 0 for silence."""
    total = float(power.sum())
    return float((np.fft.rfftfreq(_SIZE, 1 / SAMPLE_RATE) * power).sum() / total) if total > 1e-12 else 0.0


def spectral_distance(first: Sequence[Segment], second: Sequence[Segment]) -> float:
    """Root mean square difference of their mean spectra in dB; level does not count."""
    difference = np.mean([s.spectrum_db for s in first], axis=0) - np.mean([s.spectrum_db for s in second], axis=0)
    return float(np.sqrt(np.square(difference).mean()))


def pitch_similarity(first: Sequence[Segment], second: Sequence[Segment]) -> float:
    """Correlation of their pitch classes: 1 in the same key, about 0 in any, negative a semitone away; 0 in silence."""
    sums = [np.sum([s.pitch_classes for s in segments], axis=0) for segments in (first, second)]
    if any(float(np.std(total)) < 1e-9 for total in sums):
        return 0.0
    return float(np.corrcoef(sums[0], sums[1])[0, 1])


def _strongest_classes(audio: Audio) -> Int[np.ndarray, "T"]:
    """The strongest pitch class of each frame of 0.128 s, 12 where nothing sounds."""
    found = measure_chroma(audio)
    classes: np.ndarray = np.where(found.level_db > SILENCE_DB, found.frames.argmax(axis=1), 12)
    return classes


def _entropy_bits(classes: Int[np.ndarray, "T"]) -> float:
    """Of the pitch classes that sound; 0 in silence."""
    counts = np.bincount(classes[classes < 12], minlength=12)
    shares = counts[counts > 0] / max(1, counts.sum())
    return float(-(shares * np.log2(shares)).sum())


# ---------------------------------------------------------------------------------------------------------- repetition


@dataclass(frozen=True)
class Repeat:
    """`seconds` of music from `first_seconds` that come again at `again_seconds`."""

    seconds: float
    first_seconds: float
    again_seconds: float


def longest_repeat(audio: Audio, least_lag_seconds: float = 2.0) -> Repeat:
    """The longest stretch whose strongest pitch classes come again, frame for frame (0.128 s), without overlap.

    Chroma forgives timbre and octave, but not one frame: a held tone, or a loop that begins anew on the same grid,
    repeats; a theme that comes back in time a little off does not. Frames in which nothing sounds match each other.
    """
    seconds_per_frame = 4096 / 32000
    length, first, lag = longest_run(_strongest_classes(audio), max(1, round(least_lag_seconds / seconds_per_frame)))
    return Repeat(length * seconds_per_frame, first * seconds_per_frame, (first + lag) * seconds_per_frame)


def longest_run(values: Int[np.ndarray, "T"], least_lag: int) -> tuple[int, int, int]:
    """Length, place and lag of the longest stretch that comes again at least `least_lag` and its own length later."""
    best = (0, 0, 0)
    for lag in range(least_lag, len(values)):
        same = np.concatenate([[False], values[lag:] == values[:-lag], [False]])
        edges = np.flatnonzero(same[1:] != same[:-1]).reshape(-1, 2)
        if not len(edges):
            continue
        lengths = np.minimum(edges[:, 1] - edges[:, 0], lag)
        place = int(lengths.argmax())
        if lengths[place] > best[0]:
            best = (int(lengths[place]), int(edges[place, 0]), lag)
    return best


# -------------------------------------------------------------------------------------------------------------- trends


def slope_per_minute(values: Sequence[float], seconds: float = SEGMENT_SECONDS) -> float:
    """Least-squares slope of a figure over the segments of one piece."""
    assert len(values) > 1, "one segment has no trend"
    minutes = np.arange(len(values)) * seconds / 60
    return float(np.polyfit(minutes, np.asarray(values, np.float64), 1)[0])


def trend(pieces: Sequence[Sequence[float]], seconds: float = SEGMENT_SECONDS) -> Interval:
    """Mean slope per minute over pieces, and its 95 % interval."""
    return mean_interval([slope_per_minute(values, seconds) for values in pieces])
