"""What `Jukebox.upsample` is asked for -> a request whose top level is there already.

In: a song in a directory, a recording or codes of the top level, and what shall be otherwise. Out: a `SongRequest`, and
the codes of the top level.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor

from cadenza import __version__
from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.jukebox.song import Song, SongItem, SongRequest, select
from cadenza.pipelines.jukebox_request import (
    JukeboxAsked,
    JukeboxFacts,
    PerLevel,
    check_windows,
    encode_levels,
    item_of,
    sampling_of,
)
from cadenza.pipelines.requests import choose_seeds


class UpsampleAsked(NamedTuple):
    """The arguments of one call; None: as the song has it."""

    items: Sequence[int] | None
    artist: object
    genre: object
    seed: int | Sequence[int] | None
    temperature: PerLevel
    top_k: int | Sequence[int] | None
    top_p: PerLevel
    down_to: int


def understand_upsampling(
    source: str | Path | Audio | Int[Tensor, "B T"], asked: UpsampleAsked, facts: JukeboxFacts
) -> tuple[SongRequest, dict[int, Int[Tensor, "B T"]]]:
    """The request, and the codes of the top level. Raises UserError for what cannot be."""
    top = facts.top
    if not 0 <= asked.down_to < top:
        raise UserError(f"level {asked.down_to} is none below the top: use 0 (the finest) to {top - 1}")
    for level in range(asked.down_to, top):
        if level not in facts.priors:
            raise UserError(f"{facts.name} has no prior of level {level}: use a model with upsamplers")
    if isinstance(source, str | Path):
        song = Song.open(source)
        if not song.is_complete(top):
            raise UserError(f"the top level of {source} is not complete: resume it first")
        if song.request.weights.get("vqvae") != facts.weights["vqvae"]:
            raise UserError(
                f"{source} has codes of another VQ-VAE than that of {facts.name}: load {song.request.model}"
            )
        request, codes = select(song, range(len(song.request.items)) if asked.items is None else asked.items)
        upper = codes[top]
    else:
        upper = _top_codes(source, facts)
        if asked.items is not None:
            raise UserError("items are those of a song: leave them away")
        request = _plain_request(upper, choose_seeds(asked.seed, len(upper)), facts)
    request = request.model_copy(
        update={
            "cadenza": __version__,
            "model": facts.name,
            "licence": facts.licence,
            "weights": dict(facts.weights),
            "precision": facts.precision,
            "items": _items(request, asked, facts),
            "sampling": sampling_of(
                JukeboxAsked(temperature=asked.temperature, top_k=asked.top_k, top_p=asked.top_p), facts
            ),
            "given": tuple(upper.shape[1] if level == top else 0 for level in range(top + 1)),
            "down_to": asked.down_to,
        }
    )
    check_windows(request, facts)
    return request, {top: upper}


def _top_codes(source: Audio | Tensor, facts: JukeboxFacts) -> Tensor:
    if isinstance(source, Audio):
        return encode_levels([source], facts.vqvae, [facts.top], "the audio")[facts.top]
    size = facts.vqvae.codebook_size
    if source.ndim != 2 or source.is_floating_point() or not source.numel():
        raise UserError(f"codes of shape {tuple(source.shape)}: give whole numbers [items, codes] of the top level")
    if not 0 <= int(source.min()) <= int(source.max()) < size:
        raise UserError(f"codes from {int(source.min())} to {int(source.max())}: this model has 0 to {size - 1}")
    return source.cpu().long()


def _plain_request(upper: Tensor, seeds: Sequence[int], facts: JukeboxFacts) -> SongRequest:
    """Of codes that no song tells more about."""
    hops = facts.vqvae.hop_lengths
    length = upper.shape[1] * hops[-1]
    return SongRequest(
        cadenza=__version__,
        model=facts.name,
        weights=dict(facts.weights),
        sample_rate=facts.vqvae.sample_rate,
        codebook_size=facts.vqvae.codebook_size,
        hop_lengths=hops,
        num_samples=length,
        total_length=length,
        sampling=sampling_of(JukeboxAsked(), facts),
        given=(0,) * len(hops),
        items=tuple(SongItem(seed=seed) for seed in seeds),
        is_batch=len(seeds) > 1,
    )


def _items(request: SongRequest, asked: UpsampleAsked, facts: JukeboxFacts) -> tuple[SongItem, ...]:
    """Those of the request, but for what shall be otherwise."""
    count = len(request.items)
    seeds = [item.seed for item in request.items] if asked.seed is None else choose_seeds(asked.seed, count)
    result = []
    for item, seed in zip(request.items, seeds, strict=True):
        told = item_of(seed, asked.artist, asked.genre, "", facts)
        changed: dict[str, object] = {"seed": seed}
        if asked.artist is not None:
            changed |= {"artist": told.artist, "artists": told.artists}
        if asked.genre is not None:
            changed |= {"genre": told.genre, "genres": told.genres}
        result.append(item.model_copy(update=changed))
    return tuple(result)
