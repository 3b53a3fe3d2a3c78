"""Does the music fit the words? Sounds and sentences, or their vectors, in; a cosine for each pair out.

The CLAP score (Wu et al. 2023; "text consistency" in MusicGen's evaluation): the cosine between sound and sentence in a
joint space. Its size means little by itself and depends on the checkpoint; what it means shows the floor beside it, the
same sounds with the captions of others.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import JointEmbedder

Sounds = Sequence[Audio] | Float[np.ndarray, "N D"]
"""Clips, or their vectors of unit length."""


def clap_score(joint: JointEmbedder, audios: Sounds, texts: Sequence[str]) -> list[float]:
    """The cosine of each clip with its sentence, -1 to 1. Raises UserError for mismatched pairs."""
    return pair_cosines(*_vectors(joint, audios, texts))


def shuffled_floor(joint: JointEmbedder, audios: Sounds, texts: Sequence[str], seed: int = 0) -> list[float]:
    """The cosine of each clip with the sentence of another clip, drawn by `seed`: what blind chance scores.

    Raises UserError for mismatched pairs, and where more than half of the clips have the same sentence.
    """
    sounds, sentences = _vectors(joint, audios, texts)
    return pair_cosines(sounds, sentences[derangement(texts, seed)])


def pair_cosines(sounds: Float[np.ndarray, "N D"], sentences: Float[np.ndarray, "M D"]) -> list[float]:
    """The cosine of each pair of vectors of unit length. Raises UserError for mismatched pairs.

    For vectors that were measured before: the floor is `pair_cosines(sounds, sentences[derangement(texts, seed)])`.
    """
    if sounds.shape != sentences.shape:
        raise UserError(
            f"vectors {sounds.shape} of clips, {sentences.shape} of captions: give one caption for each clip"
        )
    products: list[float] = np.einsum("nd,nd->n", sounds.astype(np.float64), sentences.astype(np.float64)).tolist()
    return products


def derangement(texts: Sequence[str], seed: int = 0) -> Int[np.ndarray, "N"]:
    """An order in which every clip gets the sentence of another, and one that says something else than its own.

    Clips of one sentence stand together, sentences and clips in an order that is drawn; then each takes from the one
    that stands as many places further as the largest group has clips. Every clip gives once and takes once.
    """
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        groups.setdefault(text.strip(), []).append(index)
    largest = max(groups, key=lambda text: len(groups[text]), default="")
    step = len(groups.get(largest, ()))
    if 2 * step > len(texts) or not texts:
        raise UserError(
            f"{step} of {len(texts)} clips have the caption {largest[:40]!r}: captions cannot be shuffled, give clips "
            "with more than one"
        )
    random = np.random.default_rng(seed)
    members = list(groups.values())
    order = np.concatenate([random.permutation(members[group]) for group in random.permutation(len(members))])
    taken = np.empty(len(texts), dtype=np.int64)
    taken[order] = np.roll(order, -step)
    return taken


def _vectors(
    joint: JointEmbedder, audios: Sounds, texts: Sequence[str]
) -> tuple[Float[np.ndarray, "N D"], Float[np.ndarray, "N D"]]:
    if len(audios) != len(texts):
        raise UserError(f"{len(audios)} clips and {len(texts)} captions: give one caption for each clip")
    if not texts:
        raise UserError("no clips: give at least one with its caption")
    if empty := [index for index, text in enumerate(texts) if not text.strip()]:
        raise UserError(f"the caption of clip {empty[0]} is empty: give one, or leave the clip out")
    sounds = audios if isinstance(audios, np.ndarray) else np.stack([joint.embed_audio(audio) for audio in audios])
    if sounds.shape[1] != joint.dim:
        raise UserError(f"vectors of length {sounds.shape[1]}, {joint.identity.name} has {joint.dim}: embed them again")
    distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    sentences = joint.embed_text(list(distinct))
    return sounds, sentences[[distinct[text] for text in texts]]
