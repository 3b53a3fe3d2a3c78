"""Chroma cosine similarity as it is published: how often music has the pitch class of the recording it was to follow.

In: pairs of recordings. Out: a share of frames. Copet et al. (2023), section 3.2, with the settings that came with it:
both mixes as they are (no stems), mono at 32 kHz, chromagrams with windows of 2^14 and hops of 2^12 samples, the
strongest of 12 classes per frame, the cosine of these one-hot vectors (so 1 or 0), mean over all frames of all pairs:
long clips count more. Of N samples the first `ceil(N / 4096)` frames count. A silent frame counts as C, as there; where
rests matter, `evaluate.chroma` leaves them out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.chroma import Chroma, measure_chroma


@dataclass(frozen=True)
class ChromaCosine:
    """Frames compared, and those in which the strongest pitch classes are the same."""

    frames: int
    same: int

    @property
    def mean(self) -> float:
        """The similarity, 0 to 1; chance gives about 1/12."""
        return self.same / self.frames


def chroma_cosine(reference: Audio | Chroma, music: Audio | Chroma) -> ChromaCosine:
    """Of one pair, over the frames that both have. Raises UserError where one has no samples."""
    first, second = (
        (sound if isinstance(sound, Chroma) else measure_chroma(sound)).frames.argmax(1) for sound in (reference, music)
    )
    count = min(len(first), len(second))
    return ChromaCosine(count, int((first[:count] == second[:count]).sum()))


def pooled_chroma_cosine(pairs: Iterable[ChromaCosine]) -> ChromaCosine:
    """Of many pairs, every frame counting the same. Raises UserError where there are none."""
    known = list(pairs)
    if not known:
        raise UserError("no pairs to compare: give recordings and the music that was to follow them")
    return ChromaCosine(sum(pair.frames for pair in known), sum(pair.same for pair in known))
