"""Loudness of many clips of one piece, cheaply: the K-weighted power is measured once per piece.

ITU-R BS.1770-4: two filters, mean square in 400 ms blocks, an absolute gate at -70 LUFS and a relative one at -10 LU.
Blocks here advance by 100 ms from the start of the piece, so a clip's figure differs from a meter's own by less than
0.1 LU or so.
"""

import numpy as np
from numpy.typing import NDArray

from cadenza.loudness import k_weighted_energy

Samples = NDArray[np.float32]


class LoudnessMeter:
    """K-weighted power of a mono recording in steps of 100 ms, asked for by window."""

    def __init__(self, samples: Samples, sample_rate: int) -> None:
        self.step = sample_rate // 10
        self.step_seconds = self.step / sample_rate
        self.power = k_weighted_energy(samples[None], sample_rate, self.step) / self.step

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
