"""Kaldi's mel bands, which the transformers over spectrograms (AST, PaSST) were trained on.

In: sizes of a transform. Out: a matrix from its bins to bands. Povey et al. (2011), "The Kaldi speech recognition
toolkit".
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@lru_cache(maxsize=4)
def mel_bank(bands: int, points: int, sample_rate: int, low_hz: float, high_hz: float) -> Float[Tensor, "F K"]:
    """Triangles that rise and fall linearly in mel (1127 ln(1 + f / 700)), peak 1; the last bin counts for none.

    In float32, as the networks were trained: near 0 Hz that differs from the exact ones by 3e-5.
    """
    bins = 1127.0 * (1.0 + torch.arange(points // 2) * (sample_rate / points) / 700.0).log()
    low, high = (1127.0 * math.log(1.0 + hertz / 700.0) for hertz in (low_hz, high_hz))
    step = (high - low) / (bands + 1)
    left = low + step * torch.arange(bands)[:, None]
    centre, right = left + step, left + 2 * step
    triangles = torch.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    return F.pad(triangles.clamp_min(0), (0, 1))
