"""Loudness and peaks: ITU-R BS.1770-4, true peaks, and a look-ahead limiter. Samples in, decibels or samples out.

Written on numpy alone: the usual packages import SciPy, which would add most of a second to every first sound. Held to
the recommendation's own calibration tone, and to pyloudnorm, by tests/test_loudness.py.
"""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32

BLOCK_SECONDS = 0.4  # gating block of BS.1770-4, overlapping by 75 %
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
PIECE_SECONDS = (1, 2, 5, 10, 20)  # the signal is filtered in pieces, to bound the memory; a short one in a short piece
OVERSAMPLING = 4  # BS.1770-4 annex 2: true peaks at four times the rate
LIMITER_SECONDS = (
    0.02  # width of the gain's smoothing: long enough to keep a bass note clean, too short to hear pumping
)
LIMITER_MAX_DB = 6.0  # beyond this a limiter is heard; the level gives way instead


def loudness_lufs(samples: Float32[np.ndarray, "C N"], sample_rate: int) -> float:
    """Integrated loudness in LUFS (all channels weigh 1), -inf for silence. Less than 0.4 s counts as repeated."""
    block = round(BLOCK_SECONDS * sample_rate)
    if samples.shape[1] < block:
        samples = np.tile(samples, (1, -(-block // samples.shape[1])))
    hop = max(1, block // 4)
    return gated_loudness(k_weighted_energy(samples, sample_rate, hop), hop)


def gated_loudness(energy: Float[np.ndarray, "H"], hop: int) -> float:
    """Integrated loudness in LUFS of K-weighted energy per hop (`k_weighted_energy`), a hop being 0.1 s."""
    blocks = np.convolve(energy, np.ones(4), mode="valid") / (4 * hop)  # mean square of 0.4 s, every 0.1 s
    blocks = blocks[blocks > 10 ** ((ABSOLUTE_GATE_LUFS + 0.691) / 10)]
    if not blocks.size:
        return -float("inf")
    blocks = blocks[blocks > blocks.mean() * 10 ** (RELATIVE_GATE_LU / 10)]
    return -0.691 + 10 * math.log10(blocks.mean())


def true_peak(samples: Float32[np.ndarray, "C N"], sample_rate: int) -> Float[np.ndarray, "N"]:
    """Largest magnitude around each sample over all channels, between the samples too (four times oversampled)."""
    peaks = np.abs(samples).max(axis=0).astype(np.float64)
    if samples.shape[1] < 16:  # shorter than the interpolation filter
        return peaks
    import soxr

    for channel in samples:
        dense = np.abs(soxr.resample(channel, sample_rate, OVERSAMPLING * sample_rate, quality="HQ"))
        dense = np.resize(np.pad(dense, (0, OVERSAMPLING)), OVERSAMPLING * samples.shape[1])
        np.maximum(peaks, dense.reshape(-1, OVERSAMPLING).max(axis=1), out=peaks)
    return peaks


def limit(samples: Float32[np.ndarray, "C N"], sample_rate: int, ceiling: float) -> Float32[np.ndarray, "C N"]:
    """Turn the level down 10 ms around every true peak above `ceiling` (linear), all channels alike."""
    peaks = true_peak(samples, sample_rate)
    if peaks.max() <= ceiling:
        return samples
    gain = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-12))
    width = 2 * max(1, round(LIMITER_SECONDS * sample_rate / 2)) + 1
    # The minimum over a window, then a mean over the same window: smooth, and nowhere above the gain that is needed.
    gain = _sliding_mean(_sliding_minimum(gain, width), width)
    limited = (samples * gain).astype(np.float32)
    excess = true_peak(limited, sample_rate).max() / ceiling  # modulation can lift an interpolated peak by a hair
    return (limited / excess).astype(np.float32) if excess > 1 else limited


def k_weighted_energy(samples: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """Sum over channels of the squared K-weighted signal, summed over each whole hop.

    The two biquads are applied as their frequency response, in pieces: each begins 0.5 s early, by when
    the response (slowest pole 38 Hz) has died to nothing, so that the pieces join exactly.
    """
    num_hops = samples.shape[1] // hop
    lead = sample_rate // 2
    seconds = next((size for size in PIECE_SECONDS if size * sample_rate >= num_hops * hop), PIECE_SECONDS[-1])
    piece = max(1, -(-seconds * sample_rate // hop)) * hop
    energy = np.zeros(num_hops)
    response = None
    for start in range(0, num_hops * hop, piece):
        stop = min(start + piece, num_hops * hop)
        window = np.zeros((samples.shape[0], lead + piece))
        first = max(0, start - lead)
        window[:, lead - (start - first) : lead + stop - start] = samples[:, first:stop]
        if response is None:
            response = _k_weighting(sample_rate, window.shape[1])
        weighted = np.fft.irfft(np.fft.rfft(window) * response, n=window.shape[1])[:, lead : lead + stop - start]
        energy[start // hop : stop // hop] = np.square(weighted).sum(axis=0).reshape(-1, hop).sum(axis=1)
    return energy


@lru_cache(maxsize=4)  # half the time of measuring a clip of 10 s
def _k_weighting(sample_rate: int, size: int) -> np.ndarray:
    """Frequency response of BS.1770's head shelf and high-pass, redesigned for any rate from their analogue parameters.

    At 48 kHz these formulas give the coefficients printed in the recommendation to all their digits.
    """
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    k = np.tan(np.pi * 1681.974450955533 / sample_rate)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    shelf = (high + band * k / q + k * k) + 2 * (k * k - high) * z + (high - band * k / q + k * k) * z**2
    shelf = shelf / ((1 + k / q + k * k) + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2)
    k = np.tan(np.pi * 38.13547087602444 / sample_rate)
    q = 0.5003270373238773
    gain = 1 + k / q + k * k
    high_pass = gain * (1 - 2 * z + z**2) / (gain + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2)
    return np.asarray(shelf * high_pass)


def _sliding_minimum(values: np.ndarray, width: int) -> np.ndarray:
    """Minimum over `width` (odd) neighbours, by van Herk's two running minima."""
    half = width // 2
    padded = np.pad(values, (half, half + (-(len(values) + 2 * half)) % width), constant_values=np.inf)
    blocks = padded.reshape(-1, width)
    forward = np.minimum.accumulate(blocks, axis=1).ravel()
    backward = np.minimum.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].ravel()
    return np.minimum(backward[: len(values)], forward[width - 1 : width - 1 + len(values)])


def _sliding_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over `width` (odd) neighbours; beyond the ends the last value goes on."""
    total = np.cumsum(np.pad(values, (width // 2 + 1, width // 2), mode="edge"))
    return (total[width:] - total[:-width]) / width
