"""Chroma cosine similarity as it is published: how often music has the pitch class of the recording it was to follow.

In: the pitch classes of two recordings (`hearing.pitch_classes`). Out: a share of frames. Copet et al. (2023), section
3.2, with the settings that came with it: both mixes as they are (no stems), mono at 32 kHz, chromagrams with windows of
2^14 and hops of 2^12 samples, the strongest of 12 classes per frame, the cosine of these one-hot vectors (so 1 or 0),
mean over frames. Of N samples the first `ceil(N / 4096)` frames count. A silent frame counts as C, as there; where
rests matter, `evaluate.chroma` leaves them out. The mean over clips is the published one if all are of one length, as
there.
"""

import numpy as np
from jaxtyping import UInt8

from cadenza.evaluate.measurements import REST


def chroma_cosine(tune: UInt8[np.ndarray, "A"], music: UInt8[np.ndarray, "B"]) -> float | None:
    """Over the frames that both have, 0 to 1; chance gives about 1/12. None where the tune only rests: none was asked
    for."""
    count = min(tune.size, music.size)
    if (tune[:count] >= REST).all():
        return None
    return float((tune[:count] % REST == music[:count] % REST).mean())
