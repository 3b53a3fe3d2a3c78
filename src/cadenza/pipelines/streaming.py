"""Codes as they are made -> sound as it can be heard, in pieces that join exactly."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.codec.base import Codec

CHUNK_SECONDS = 1.0  # decoding is cheapest in pieces; one second is soon enough to listen


def decode_stream(
    codec: Codec, codes: Iterable[Int[Tensor, "B K _"]], num_samples: int
) -> Iterator[Float[Tensor, "B C _"]]:
    """Decode codes as they arrive, about a second at a time, and yield `num_samples` samples in all (or what there is).

    Pieces are cut by the count of frames alone, so that a stream and a whole are decoded by the same steps.
    """
    chunk = max(1, round(CHUNK_SECONDS * codec.frame_rate))
    state = codec.new_decode_state()
    waiting: list[Tensor] = []
    made = 0

    def decode(count: int | None) -> Tensor:
        """Decode the first `count` frames that wait; None: all of them, and flush what lies ahead."""
        joined = torch.cat(waiting, dim=2)
        waiting.clear()
        if count is not None and joined.shape[2] > count:
            waiting.append(joined[:, :, count:])
        return codec.decode_step(joined[:, :, :count], state, last=count is None)

    for part in codes:
        waiting.append(part)
        # One frame always stays back: whatever comes last must go with `last`, and the end is not known before.
        while sum(piece.shape[2] for piece in waiting) > chunk:
            audio = decode(chunk)[..., : num_samples - made]
            made += audio.shape[2]
            if audio.shape[2]:
                yield audio
    if waiting:
        audio = decode(None)[..., : num_samples - made]
        if audio.shape[2]:
            yield audio
