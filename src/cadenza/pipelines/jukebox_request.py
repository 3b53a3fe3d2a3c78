"""What `Jukebox.generate` is asked for -> a request in which everything is decided, before any work.

In: arguments as people write them, one value for all items or a list. Out: a `SongRequest`, and the codes of the
recordings that it goes on from.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from cadenza import __version__
from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.jukebox.labels import LabelConfig, LabelVersion
from cadenza.jukebox.lyrics import Vocabulary
from cadenza.jukebox.prior import PriorConfig
from cadenza.jukebox.song import LevelSampling, SongItem, SongRequest
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.jukebox.windows import hop_of, plan_windows
from cadenza.pipelines.jukebox_labels import LabelBook
from cadenza.pipelines.requests import choose_seeds, spread_audio

PerLevel = float | Sequence[float] | None
"""One number for all levels, or one per level, the finest first; None: the model's own."""

log = logging.getLogger("cadenza")


class JukeboxAsked(NamedTuple):
    """The arguments of one call. Of `artist`, `genre`, `lyrics`, `prompt` and `seed` there may be a list."""

    artist: object = None
    genre: object = None
    lyrics: object = ""
    duration: float = 20.0
    total_duration: float | None = None
    offset: float = 0.0
    prompt: Audio | Sequence[Audio] | None = None
    seed: int | Sequence[int] | None = None
    num_items: int | None = None
    temperature: PerLevel = None
    top_k: int | Sequence[int] | None = None
    top_p: PerLevel = None
    down_to: int = 0


class JukeboxFacts(NamedTuple):
    """What it takes to understand a call."""

    name: str
    licence: str
    weights: Mapping[str, str]
    precision: str
    vqvae: JukeboxVQVAE
    priors: Mapping[int, PriorConfig]
    labels: LabelBook
    hop_fractions: tuple[float, ...]
    temperatures: tuple[float, ...]

    @property
    def top(self) -> int:
        return self.vqvae.num_levels - 1

    @property
    def versions(self) -> list[LabelVersion]:
        """Lists of labels of the priors, that of the top first."""
        labels = [self.priors[level].labels for level in sorted(self.priors, reverse=True)]
        return list(dict.fromkeys(one.version for one in labels if one is not None))


def understand(asked: JukeboxAsked, facts: JukeboxFacts) -> tuple[SongRequest, dict[int, Int[Tensor, "B _"]]]:
    """The request, and the codes of audio prompts by level. Raises UserError for what cannot be."""
    if not 0 <= asked.down_to <= facts.top:
        raise UserError(f"no level {asked.down_to}: use 0 (the finest) to {facts.top}")
    levels = range(asked.down_to, facts.top + 1)
    for level in levels:
        if level not in facts.priors:
            raise UserError(f"{facts.name} has no prior of level {level}: ask for levels down to {level + 1} at most")
    count, is_batch = _count(asked)
    items = _items(asked, facts, count)
    rate = facts.vqvae.sample_rate
    num_samples = _samples(asked.duration, rate, "duration")
    offset = _samples(asked.offset, rate, "offset", least=0)
    request = SongRequest(
        cadenza=__version__,
        model=facts.name,
        licence=facts.licence,
        weights=dict(facts.weights),
        precision=facts.precision,
        sample_rate=rate,
        codebook_size=facts.vqvae.codebook_size,
        hop_lengths=facts.vqvae.hop_lengths,
        num_samples=num_samples,
        total_length=_total(asked, facts, num_samples, offset),
        offset=offset,
        sampling=sampling_of(asked, facts),
        given=(0,) * facts.vqvae.num_levels,
        items=items,
        is_batch=is_batch,
        down_to=asked.down_to,
    )
    codes = _prompt(asked, facts, request, count)
    given = tuple(codes[level].shape[1] if level in codes else 0 for level in range(facts.vqvae.num_levels))
    request = request.model_copy(update={"given": given})
    check_windows(request, facts)
    return request, codes


def check_windows(request: SongRequest, facts: JukeboxFacts) -> None:
    """Raise UserError for windows that cannot be, before hours were spent on the levels above."""
    for level, config in facts.priors.items():
        stride = config.conditioner.stride if config.conditioner is not None else 1
        plan_windows(
            request.num_codes(level), config.context_length, request.sampling[level].hop, request.given[level], stride
        )


def sampling_of(asked: JukeboxAsked, facts: JukeboxFacts) -> tuple[LevelSampling, ...]:
    """How each level is sampled; for a level without a prior these say nothing."""
    count = facts.vqvae.num_levels
    temperatures = _per_level(asked.temperature, facts.temperatures, count, "temperature")
    top_k, top_p = (
        _per_level(value, (0,) * count, count, name) for value, name in ((asked.top_k, "top_k"), (asked.top_p, "top_p"))
    )
    result = []
    for level in range(count):
        config = facts.priors.get(level)
        hop = hop_of(facts.hop_fractions[level], config.context_length) if config is not None else 1
        try:
            chosen = LevelSampling(
                temperature=temperatures[level], top_k=top_k[level], top_p=top_p[level], hop=max(1, hop)
            )
        except ValueError as error:
            numbers = f"temperature {temperatures[level]}, top_k {top_k[level]}, top_p {top_p[level]}"
            raise UserError(f"{numbers}: temperature is 0 to 100, top_k a whole number, top_p 0 to 1") from error
        result.append(chosen)
    return tuple(result)


def _per_level(value: object, usual: Sequence[float], count: int, name: str) -> list[float]:
    if value is None:
        return list(usual)
    if isinstance(value, Sequence):
        if len(value) != count:
            raise UserError(f"{len(value)} values of {name} for {count} levels: give one per level, the finest first")
        return list(value)
    return [value] * count  # type: ignore[list-item]


def _count(asked: JukeboxAsked) -> tuple[int, bool]:
    """How many items, and whether several were asked for."""
    several: list[Sequence[object]]
    several = [value for value in (asked.artist, asked.genre, asked.lyrics) if isinstance(value, list)]
    several += [value for value in (asked.prompt, asked.seed) if isinstance(value, list | tuple)]
    counts = {len(value) for value in several}
    if asked.num_items is not None:
        counts.add(asked.num_items)
    if len(counts) > 1:
        raise UserError(f"lists of {', '.join(map(str, sorted(counts)))} items: give as many of each, or one for all")
    count = counts.pop() if counts else 1
    if not 1 <= count <= 4096:
        raise UserError(f"{count} items: ask for 1 or more")
    return count, asked.num_items is not None or bool(several)


def _spread(value: object, count: int) -> list[object]:
    return value if isinstance(value, list) else [value] * count


def _items(asked: JukeboxAsked, facts: JukeboxFacts, count: int) -> tuple[SongItem, ...]:
    seeds = choose_seeds(asked.seed, count)
    rows = zip(
        seeds, _spread(asked.artist, count), _spread(asked.genre, count), _spread(asked.lyrics, count), strict=True
    )
    return tuple(item_of(*row, facts) for row in rows)


def item_of(seed: int, artist: object, genre: object, lyrics: object, facts: JukeboxFacts) -> SongItem:
    """One item, checked against the lists and tables of the model."""
    versions = facts.versions
    if not versions and (artist or genre):
        raise UserError(f"{facts.name} knows no artists and genres: leave them away")
    item = SongItem(
        seed=seed,
        artist=artist if isinstance(artist, str) else "",
        genre=genre if isinstance(genre, str) else "",
        artists=facts.labels.artist(artist, versions) if versions else {},
        genres=facts.labels.genre(genre, versions) if versions else {},
        lyrics=read_lyrics(lyrics, facts),
    )
    for level in sorted(facts.priors, reverse=True):
        if (labels := facts.priors[level].labels) is not None:
            _check_labels(item, labels, level)
    return item


def _check_labels(item: SongItem, labels: LabelConfig, level: int) -> None:
    genres = item.genres.get(labels.version, ())
    for kind, ids, rows in (
        ("artist", (item.artists.get(labels.version, 0),), labels.num_artists),
        ("genre", genres, labels.num_genres),
    ):
        for one in ids:
            if not 0 <= one < rows:
                raise UserError(f"{kind} {one} is unknown to the prior of level {level}: choose an id below {rows}")
    if len(genres) > labels.max_genres:
        raise UserError(f"{len(genres)} genres {list(genres)}: level {level} takes {labels.max_genres} at most")


def read_lyrics(lyrics: object, facts: JukeboxFacts) -> str:
    """What the top prior can read of a text. What is lost is said; UserError if nothing is left, or nothing is sung."""
    if lyrics is None or lyrics == "":
        return ""
    if not isinstance(lyrics, str):
        raise UserError(f"lyrics {lyrics!r:.60} are no text: give a string")
    config = facts.priors[facts.top].lyrics if facts.top in facts.priors else None
    if config is None:
        if not lyrics.strip():
            return ""
        raise UserError(f"{facts.name} does not sing: leave the lyrics away, or use a model such as 1b-lyrics")
    vocabulary = Vocabulary(config.version)
    clean, lost = vocabulary.clean(lyrics), vocabulary.lost(lyrics)
    if lyrics.strip() and not clean.strip():
        raise UserError(
            f"nothing of the lyrics {lyrics.strip()!r:.40} can be read: write them in Latin, Cyrillic or Greek letters"
        )
    if lost:
        log.warning("the lyrics hold what the model cannot read, left out: %s", " ".join(map(repr, lost[:20])))
    return clean if clean.strip() else ""


# ---- lengths ---------------------------------------------------------------------------------------------------------


def _samples(seconds: object, rate: int, name: str, least: int = 1) -> int:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and math.isfinite(seconds)
    if not is_number or round(seconds * rate) < least:  # type: ignore[operator]
        raise UserError(f"{name} {seconds!r:.20}: give {'a positive number of' if least else '0 or more'} seconds")
    return round(seconds * rate)  # type: ignore[operator]


def _total(asked: JukeboxAsked, facts: JukeboxFacts, num_samples: int, offset: int) -> int:
    """Length of the whole piece; by default the shortest that holds what is asked for and that the model knows."""
    rate, end = facts.vqvae.sample_rate, offset + num_samples
    config = facts.priors.get(facts.top)
    timing = config.timing if config is not None else None
    if asked.total_duration is None:
        total = end if timing is None else max(end, math.ceil(timing.min_seconds * rate))
    else:
        total = _samples(asked.total_duration, rate, "total duration")
        if total < end:
            raise UserError(
                f"the whole piece lasts {total / rate:g} s, what is asked for ends at {end / rate:g} s: "
                "make it longer, or ask for less"
            )
    if timing is not None:
        assert config is not None
        if not timing.min_seconds * rate <= total < timing.max_seconds * rate:
            raise UserError(
                f"a piece of {total / rate:g} s: {facts.name} knows pieces from {timing.min_seconds:g} s and below "
                f"{timing.max_seconds:g} s, choose another (total) duration"
            )
        codes = max(config.context_length, -(-num_samples // config.hop_length))  # the last window ends with a code
        last = offset + codes * config.hop_length
        if last > timing.max_seconds * rate:
            raise UserError(
                f"the window from {(last - config.window_samples) / rate:g} s ends at {last / rate:g} s, "
                f"{facts.name} knows times up to {timing.max_seconds:g} s: lower the offset"
            )
    return total


# ---- recordings ------------------------------------------------------------------------------------------------------


def _prompt(
    asked: JukeboxAsked, facts: JukeboxFacts, request: SongRequest, count: int
) -> dict[int, Int[Tensor, "B _"]]:
    """Codes of audio prompts, as many of each as of the shortest: whole codes of the top level."""
    prompts = [part for part in spread_audio(asked.prompt, count, "audio prompts") if part is not None]
    if not prompts:
        return {}
    if len(prompts) < count:
        raise UserError(f"{len(prompts)} audio prompts for {count} items: give one per item, or one for all")
    heard = encode_levels(prompts, facts.vqvae, range(asked.down_to, facts.top + 1), "the audio prompt")
    if heard[facts.top].shape[1] * request.hop_lengths[-1] >= request.num_samples:
        seconds = heard[facts.top].shape[1] * request.hop_lengths[-1] / request.sample_rate
        raise UserError(
            f"the audio prompt lasts {seconds:g} s, the piece with it {asked.duration:g} s: make the piece longer or "
            "the prompt shorter"
        )
    return heard


@torch.no_grad()
def encode_levels(
    recordings: Sequence[Audio], vqvae: JukeboxVQVAE, levels: Sequence[int], what: str, unit: int | None = None
) -> dict[int, Int[Tensor, "B _"]]:
    """Codes of recordings of any rate and channels, cut to the shortest and to multiples of `unit` samples (None: of
    the longest hop)."""
    coarsest, rows = unit or vqvae.hop_lengths[-1], []
    for audio in recordings:
        mono = audio.resample(vqvae.sample_rate).with_channels(1)
        if mono.num_samples < coarsest:
            raise UserError(
                f"{what} lasts {audio.duration_seconds:.4f} s: give at least {coarsest / vqvae.sample_rate:.4f} s, the "
                "length of a code"
            )
        if not mono.samples.any():
            log.warning("%s is silent: the music goes on from silence", what)
        rows.append(torch.from_numpy(mono.samples))
    length = min(row.shape[1] for row in rows) // coarsest * coarsest
    if len({row.shape[1] // coarsest for row in rows}) > 1:
        log.warning("the recordings differ in length: %.2f s of each are used", length / vqvae.sample_rate)
    device = next(vqvae.parameters()).device
    samples = torch.stack([row[:, :length] for row in rows]).to(device)
    codes = vqvae.encode(samples, list(levels))
    return {level: one.cpu() for level, one in zip(levels, codes, strict=True)}
