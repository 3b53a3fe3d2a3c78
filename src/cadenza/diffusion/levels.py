"""The levels of what a diffusion made, held to those of the codec's own decode.

In: audio of both `[B, C, N]`. Out: audio whose bands are as strong as the codec's. Multi-Band Diffusion (arXiv
2308.02560, section 3.4), for stereo, and for sounds at levels that networks were not trained at.
"""

import logging

import torch
from jaxtyping import Float
from torch import Tensor

from cadenza.diffusion.bands import BandSplitter, match_spectrum

log = logging.getLogger("cadenza")

SILENT = 1e-4
"""Deviation (-80 dB) below which the codec's own sound is taken: networks never heard silence, and make noise of it."""
_FAR_OFF = 10.0
"""Ratio of both deviations (20 dB) that is worth a word."""
_DIGITAL_SILENCE = 1e-6
"""Below the noise of 16-bit samples (1e-5): nothing is there to be made louder."""
_HIGHEST_PEAK = 2.0


def match_levels(
    made: Float[Tensor, "B C N"], reference: Float[Tensor, "B C N"], splitter: BandSplitter
) -> Float[Tensor, "B C N"]:
    """Each band of each item as strong as in the reference; of two channels, their sum and their difference.

    Matching the middle and the sides, rather than left and right, keeps the width of the image.
    """
    if made.shape[1] != 2:
        return match_spectrum(made, reference, splitter)
    return _turned(match_spectrum(_turned(made), _turned(reference), splitter))


def mend(made: Float[Tensor, "B C N"], reference: Float[Tensor, "B C N"]) -> Float[Tensor, "B C N"]:
    """Silent items as the codec made them; a word about items that are far too loud or too soft."""
    ours, theirs = (audio.flatten(1).std(1, correction=0) for audio in (made, reference))
    silent = theirs < SILENT
    ratio = torch.where(silent, 1.0, ours.clamp(min=1e-12) / theirs.clamp(min=SILENT))
    worst = float(ratio[ratio.log().abs().argmax()])
    if not 1 / _FAR_OFF < worst < _FAR_OFF:
        log.warning(
            "the diffusion made a sound %.0f dB %s than the codec's: it may be noise, as of music far softer or louder "
            "than a decoder was trained with (about -12 dB RMS)",
            20 * abs(torch.tensor(worst).log10()),
            "louder" if worst > 1 else "softer",
        )
    return torch.where(silent[:, None, None], reference, made)


def showing_gain(rows: Float[Tensor, "R C N"], level: float) -> float | None:
    """What brings a recording to the level that a decoder knows, all channels alike; None: it is silent.

    Not more than makes its highest peak twice full scale: a few loud clicks are no music.
    """
    deviation, peak = float(rows.std(correction=0)), float(rows.abs().max())
    if deviation < _DIGITAL_SILENCE:
        log.warning("the audio is silent (deviation %.1g): it is given back as it is", deviation)
        return None
    return min(level / deviation, _HIGHEST_PEAK / peak)


def _turned(audio: Tensor) -> Tensor:
    """Left and right to middle and side, or back."""
    left, right = audio.unbind(1)
    return torch.stack([left + right, left - right], dim=1) * 0.5**0.5
