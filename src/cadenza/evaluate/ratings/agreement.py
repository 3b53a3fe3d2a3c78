"""Do raters agree beyond chance? Krippendorff's alpha (2011, "Computing Krippendorff's Alpha-Reliability").

1: all who rate a clip say the same; 0: two ratings of one clip differ as much as two of any clips. Any number of raters
per clip; clips that one person rated tell nothing. Differences count squared (the interval metric).
"""

import math
from collections.abc import Hashable, Sequence

import numpy as np


def krippendorff_alpha(values: Sequence[float], clips: Sequence[Hashable]) -> float:
    """Alpha of `values` [N], each given to one of `clips` [N]; NaN where no clip was rated twice or all is equal."""
    groups: dict[Hashable, list[float]] = {}
    for value, clip in zip(values, clips, strict=True):
        groups.setdefault(clip, []).append(value)
    paired = [np.array(group, dtype=np.float64) for group in groups.values() if len(group) > 1]
    if not paired:
        return math.nan
    everything = np.concatenate(paired)
    total = len(everything)
    expected = everything.var() * total / (total - 1)
    if expected == 0:
        return math.nan
    observed = sum(len(group) * group.var(ddof=1) for group in paired) / total
    return float(1 - observed / expected)
