"""Loudness of many clips of one piece, cheaply: the K-weighted power is measured once per piece.

ITU-R BS.1770-4: two filters, mean square in 400 ms blocks, an absolute gate at -70 LUFS and a relative one at -10 LU.
Blocks here advance by 100 ms from the start of the piece, so a clip's figure differs from a meter's own by less than
0.1 LU or so.
"""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class LoudnessMeter:
    """K-weighted power of a mono recording in steps of 100 ms, asked for by window."""

    def __init__(self, samples: Samples, sample_rate: int) -> None:
        from scipy.signal import lfilter

        self.step = sample_rate // 10
        self.step_seconds = self.step / sample_rate
        weighted = samples.astype(np.float64)
        for numerator, denominator in _k_weighting(sample_rate):
            weighted = lfilter(numerator, denominator, weighted)
        count = len(weighted) // self.step
        self.power = (weighted[: count * self.step] ** 2).reshape(count, self.step).mean(axis=1)

    def lufs(self, start_seconds: float, end_seconds: float) -> float:
        """Integrated loudness of a window, -inf when nothing passes the gates."""
        first, last = int(start_seconds / self.step_seconds), int(end_seconds / self.step_seconds)
        steps = self.power[first:last]
        if len(steps) < 4:
            return float("-inf")
        blocks = np.convolve(steps, np.full(4, 0.25), mode="valid")
        blocks = blocks[blocks > 10 ** ((-70 + 0.691) / 10)]
        if not len(blocks):
            return float("-inf")
        loud = blocks[blocks > blocks.mean() * 0.1]
        return float(-0.691 + 10 * np.log10(loud.mean()))


def _k_weighting(sample_rate: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The standard's shelf and high-pass, as analogue prototypes brought to any rate by the bilinear transform."""
    stages = []
    for centre, quality, gain_db in (
        (1681.974450955533, 0.7071752369554196, 3.999843853973347),
        (38.13547087602444, 0.5003270373238773, None),
    ):
        k = np.tan(np.pi * centre / sample_rate)
        denominator = np.array([1 + k / quality + k * k, 2 * (k * k - 1), 1 - k / quality + k * k])
        if gain_db is None:
            numerator = np.array([1.0, -2.0, 1.0]) * denominator[0]
        else:
            high = 10 ** (gain_db / 20)
            band = high**0.4996667741545416
            numerator = np.array(
                [high + band * k / quality + k * k, 2 * (k * k - high), high - band * k / quality + k * k]
            )
        stages.append((numerator / denominator[0], denominator / denominator[0]))
    return stages


def set_level(clip: Samples, lufs: float, target_lufs: float, peak_db: float) -> Samples:
    """Bring a clip from its measured loudness to a target; peaks above the ceiling are bent, not cut."""
    gained = clip * np.float32(10 ** ((target_lufs - lufs) / 20))
    ceiling = 10 ** (peak_db / 20)
    knee = 0.7 * ceiling
    magnitude = np.abs(gained)
    over = magnitude > knee
    if over.any():
        bent = knee + (ceiling - knee) * np.tanh((magnitude[over] - knee) / (ceiling - knee))
        gained[over] = np.sign(gained[over]) * bent
    return gained.astype(np.float32)
