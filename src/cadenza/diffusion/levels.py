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
_WEAKEST = 1e-4
"""Power of what a band is taken to hold in every direction, relative to its own (-40 dB): what is not there is not made
loud."""
_NOTHING = 1e-20
"""Power of a band that is silent."""


def match_levels(
    made: Float[Tensor, "B C N"], reference: Float[Tensor, "B C N"], splitter: BandSplitter
) -> Float[Tensor, "B C N"]:
    """Each band of each item as strong as in the reference; two channels keep its balance and its width too.

    In stereo a band is multiplied by the matrix that gives it the reference's covariance and changes it least (the
    optimal transport between two Gaussians, Olkin and Pukelsheim 1982). Matching left and right alone loses the width,
    middle and side alone the balance (docs/diffusion.md).
    """
    if made.shape[1] != 2:
        return match_spectrum(made, reference, splitter)
    ours, theirs = splitter.covariances(made), splitter.covariances(reference)
    strength = ours.diagonal(dim1=-2, dim2=-1).mean(-1)
    ours = ours + (_WEAKEST * strength + _NOTHING)[..., None, None] * torch.eye(2, dtype=ours.dtype, device=ours.device)
    root = _root(ours)
    inverse = torch.linalg.inv(root)
    matrices = (inverse @ _root(root @ theirs @ root) @ inverse).to(made.dtype)
    kept = splitter.weighted(made, matrices.diagonal(dim1=-2, dim2=-1))
    return kept + splitter.weighted(made.flip(1), matrices[..., 0, 1, None].expand(-1, -1, 2))


def _root(matrices: Float[Tensor, "n B 2 2"]) -> Float[Tensor, "n B 2 2"]:
    """The symmetric square root of covariances."""
    values, vectors = torch.linalg.eigh(matrices)
    return vectors * values.clamp(min=0).sqrt()[..., None, :] @ vectors.mT


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
