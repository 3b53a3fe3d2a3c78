"""Which character is sung when: what one head of the top prior attends to while it writes music.

In: the codes of a piece and what it was told. Out: for each code a weight for each character, `[T, characters]`.
Dhariwal et al. (2020), arXiv 2005.00341, section 5.1. Nothing is taught to align: in a prior that has learned to sing,
some heads follow the lyrics, and the configuration names the one that does so best.
"""

from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.errors import UserError
from cadenza.jukebox.labels import Piece, start_positions
from cadenza.jukebox.lyrics import lyric_window
from cadenza.jukebox.prior import Prior, PriorConditions
from cadenza.jukebox.transformer import TransformerLayer
from cadenza.jukebox.windows import plan_windows


@torch.no_grad()
def lyric_attention(
    prior: Prior, codes: Int[Tensor, "B T"], conditions: PriorConditions, layer: int
) -> Float[Tensor, "B H T L"]:
    """How much each code of a window attends to each character that the window hears, head by head."""
    lyrics = prior.config.lyrics
    assert lyrics is not None, "a prior without lyrics"
    x, _ = prior.embedded(codes, conditions)
    x = prior.transformer(x, conditions.source, stop=layer)
    part = cast(TransformerLayer, prior.transformer.layers[layer])
    return part.attention.lyric_weights(part.norm_attention(x), lyrics.num_tokens, conditions.source)


@torch.no_grad()
def align(
    prior: Prior, codes: Int[Tensor, "B T"], pieces: Sequence[Piece], hop: int
) -> list[Float[Tensor, "T characters"]]:
    """The weights of every item, over all windows of a piece; where windows overlap the earlier counts.

    (The original leaves, beside them, what the later one gave to characters that the earlier does not hear.)

    Args:
        codes: of the top level, as they were sampled.
        hop: codes between the beginnings of windows (see `plan_windows`).

    Raises UserError for a prior that hears no lyrics, or of which no head is known to follow them.
    """
    config = prior.config
    if config.lyrics is None or config.lyrics.alignment is None:
        raise UserError("no head of this prior is known to follow lyrics: set alignment in its configuration")
    layer, head = config.lyrics.alignment
    total = codes.shape[1]
    results = [torch.zeros(total, len(piece.lyrics), device=prior.device) for piece in pieces]
    for window in reversed(plan_windows(total, config.context_length, hop, skip_written=False)):
        span = slice(window.start, window.end)
        conditions = prior.conditions(pieces, window.start)
        times = start_positions(pieces, window.start * config.hop_length, torch.device("cpu"))
        weights = lyric_attention(prior, codes[:, span].to(prior.device), conditions, layer)[:, head]
        for result, piece, row, (length, start) in zip(results, pieces, weights, times.tolist(), strict=True):
            heard = lyric_window(len(piece.lyrics), config.lyrics.num_tokens, length, start, config.window_samples)
            result[span] = 0.0
            result[span, heard.first : heard.last] = row[:, heard.pads :]
    return results
