"""Kullback-Leibler divergence between what a labeller hears in pairs of clips (KLD of MusicGen's evaluation).

In: probabilities of labels, a row per piece of a clip, of the references and of what was generated for their captions.
Out: sum over labels of p (ln p - ln(q + 1e-6)), in nats, mean over pieces; in both directions, and their sum. As in
MusicGen's evaluation (PaSST, softmax): the 1e-6 stands inside the logarithm of the prediction alone, so rows that are
equal score not 0 but about -1e-6 times the number of labels.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from cadenza.errors import UserError

EPSILON = 1e-6


@dataclass(frozen=True)
class Divergence:
    """In nats.

    Args:
        forward: KL(reference || generated), what papers report.
        reverse: KL(generated || reference).
        both: Their sum.
    """

    forward: float
    reverse: float
    both: float


def kl_divergence(reference: Float[np.ndarray, "P L"], generated: Float[np.ndarray, "Q M"]) -> Divergence:
    """Mean over pairs of rows. Raises UserError where rows or labels do not pair, or are no probabilities."""
    pairs = kl_per_piece(reference, generated)
    forward = float(np.mean([pair.forward for pair in pairs]))
    reverse = float(np.mean([pair.reverse for pair in pairs]))
    return Divergence(forward, reverse, forward + reverse)


def kl_per_piece(reference: Float[np.ndarray, "P L"], generated: Float[np.ndarray, "Q M"]) -> list[Divergence]:
    """The divergence of each pair of rows. Raises as `kl_divergence` does."""
    if reference.shape != generated.shape:
        raise UserError(
            f"{list(generated.shape)} probabilities beside {list(reference.shape)} of the reference: "
            "pair clips of one length, heard by one labeller"
        )
    if not len(reference):
        raise UserError("no pairs of pieces: every clip was left out, or none was given")
    p, q = _checked(reference), _checked(generated)
    forward, reverse = _rows(p, q), _rows(q, p)
    return [Divergence(float(one), float(two), float(one + two)) for one, two in zip(forward, reverse, strict=True)]


def _checked(probabilities: Float[np.ndarray, "P L"]) -> Float64[np.ndarray, "P L"]:
    known = probabilities.astype(np.float64)
    if not ((known >= 0) & (known <= 1 + 1e-6)).all():
        raise UserError("a probability is not within 0 and 1: give what a labeller's `probabilities` returns")
    return known


def _rows(p: Float64[np.ndarray, "P L"], q: Float64[np.ndarray, "P L"]) -> Float64[np.ndarray, "P"]:
    logarithm = np.log(p, out=np.zeros_like(p), where=p > 0)  # 0 ln 0 is 0
    return (p * (logarithm - np.log(q + EPSILON))).sum(axis=1)
