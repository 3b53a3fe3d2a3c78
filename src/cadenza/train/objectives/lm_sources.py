"""The batches of a language-model run: windows of a token cache, and beside them what the model's conditions need.

In: a cache, the settings, the modules. Out: a source for training and one for validation. Raises UserError where cache
and model do not fit.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cadenza.conditioning.clap import ClapConditioner, ClapConfig
from cadenza.conditioning.mert import Mert
from cadenza.conditioning.style import StyleConditioner, StyleConfig
from cadenza.conditioning.text import TextConfig
from cadenza.data.batches import BatchSource, FiniteBatchSource
from cadenza.data.excerpts import WithExcerpts
from cadenza.data.manifest import read_manifest
from cadenza.data.melodies import read_melodies
from cadenza.data.sounds import WithSounds, read_sounds
from cadenza.data.texts import text_encoder_hash
from cadenza.data.tokens import CodedItem, FixedWindows, RandomWindows, TokenCache
from cadenza.errors import UserError
from cadenza.train.objectives.lm import Parts
from cadenza.train.objectives.lm_config import LMObjectiveConfig


class Sources(NamedTuple):
    """Batches for training, and for validation if there is something to validate on."""

    train: BatchSource
    valid: FiniteBatchSource | None


def lm_sources(
    cache: TokenCache,
    place: str,
    family: LMObjectiveConfig,
    parts: Parts,
    batch_size: int,
    seed: int,
    valid_items: int,
    rows: range,
) -> Sources:
    """`place` is the cache's folder; `valid_items` 0: no validation; `rows` of every batch are those held here."""
    train, valid = cache.split("train"), cache.split("valid")[:valid_items]
    _check_text(cache, place, family, parts)
    if family.melody is not None:
        read_melodies(place, family.melody)  # raises if they are of another kind
        if any(item.melody is None for item in train):
            raise UserError(f"{place} has no melodies: compute them with `cadenza data tokens ... --melody`")
    num_frames = round(family.window_seconds * cache.frame_rate)
    sources = Sources(
        RandomWindows(train, num_frames, batch_size, seed, cache.frame_rate),
        FixedWindows(valid, num_frames, batch_size) if valid else None,
    )
    if family.style is not None:
        sources = _with_excerpts(sources, family, parts, cache, (train, valid), seed, rows)
    if family.clap is not None:
        sources = _with_sounds(sources, family.clap, parts, cache, place)
    return sources


def _with_excerpts(
    sources: Sources,
    family: LMObjectiveConfig,
    parts: Parts,
    cache: TokenCache,
    items: tuple[Sequence[CodedItem], Sequence[CodedItem]],
    seed: int,
    rows: range,
) -> Sources:
    name = family.name_of(StyleConfig)
    assert name is not None
    assert family.style is not None
    if family.recordings is None:
        raise UserError("a style is heard in the recordings: name the folder of their manifest in objective.recordings")
    if family.excerpt_seconds[1] > family.window_seconds:
        raise UserError(
            f"excerpts of up to {family.excerpt_seconds[1]:g} s do not fit into {family.window_seconds:g} s"
        )
    style = parts.conditioning.conditioner(name)
    assert isinstance(style, StyleConditioner)
    rate = style.extractor.sample_rate if isinstance(style.extractor, Mert) else parts.codec.sample_rate
    used = {item.id for part in items for item in part}
    entries = [entry for entry in read_manifest(family.recordings) if entry.id in used]
    train = WithExcerpts(sources.train, entries, rate, cache.frame_rate, family.excerpt_seconds, seed, rows)
    if sources.valid is None:
        return Sources(train, None)
    length = family.style.excerpt_seconds
    return Sources(train, WithExcerpts(sources.valid, entries, rate, cache.frame_rate, (length, length), fixed=True))


def _with_sounds(sources: Sources, config: ClapConfig, parts: Parts, cache: TokenCache, place: str) -> Sources:
    clap = next(part for part in parts.conditioning.children() if isinstance(part, ClapConditioner))
    vectors = read_sounds(place, clap)
    valid = None if sources.valid is None else WithSounds(sources.valid, vectors, config, cache.frame_rate)
    return Sources(WithSounds(sources.train, vectors, config, cache.frame_rate), valid)


def _check_text(cache: TokenCache, place: str, family: LMObjectiveConfig, parts: Parts) -> None:
    """Whether text states of the cache, which stand for the encoder, are those that it would make."""
    settings, text = cache.text_settings, family.conditioning.conditioners.get(family.name_of(TextConfig) or "")
    if settings is None or settings["form"] != "states" or family.train_text_encoder or text is None:
        return
    assert isinstance(text, TextConfig)
    assert parts.text_encoder is not None
    if cache.text_encoder != text_encoder_hash(parts.text_encoder):
        raise UserError(f"{place} holds the text of another encoder than the model's: compute it again")
    if family.captions.merge or family.captions.word_dropout:
        raise UserError(
            f"{place} holds encoded captions, so that words cannot be drawn anew: set objective.captions.merge=0 and "
            "objective.captions.word_dropout=0, or use a cache without text"
        )
    for name, ours in (("max_tokens", text.max_tokens), ("normalize", text.normalize)):
        if settings[name] != ours:
            raise UserError(f"{place} was encoded with {name} {settings[name]}, the model has {ours}: make them equal")
