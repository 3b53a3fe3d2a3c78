"""From what is known about a recording to the words that a model is trained with.

In: the fields of a recording's description (key, bpm, genre, moods, ..., as audiocraft's JSON files hold them) and an
explicit source of chance. Out: one caption, or None. Copet et al. (2023), section 3.1 (condition merging, text and word
dropout, normalisation); the rules are audiocraft's, its names stand at each field of `CaptionConfig`.

Differences from audiocraft: every draw comes from a given `random.Random`; a value of a wrong type is an error, not an
empty field.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from cadenza.checkpoint import Config
from cadenza.conditioning.normalize import normalize_text
from cadenza.errors import UserError

Info = dict[str, str | float | tuple[str, ...]]
"""Cleaned fields by name; a field that holds nothing is absent."""

MERGED_FIELDS = ("key", "bpm", "genre", "moods", "instrument", "keywords")
"""What can join a description, in the order in which it is drawn."""


class CaptionConfig(Config):
    """The defaults are MusicGen's."""

    merge: float = Field(0.25, ge=0, le=1, description="chance that fields join the description (merge_text_p)")
    drop_description: float = Field(
        0.5, ge=0, le=1, description="chance, where fields join, that the description itself is left out (drop_desc_p)"
    )
    keep_field: float = Field(
        0.5,
        ge=0,
        le=1,
        description="chance, where fields join, that a field is kept (audiocraft calls it drop_other_p)",
    )
    normalize: bool = Field(False, description="leave out stop words and use base forms (normalize_text)")
    word_dropout: float = Field(0.3, ge=0, le=1, description="chance that a word is left out")


def training_caption(info: Info, config: CaptionConfig, draw: random.Random) -> str | None:
    """The words for one item of one batch: merged, normalised, thinned out; None where nothing is left to say."""
    text = merge_conditions(info, config, draw) if config.merge else _description(info)
    if text is not None and config.normalize:
        text = normalize_text(text)
    if text is not None:
        text = drop_words(text, config.word_dropout, draw)
    return text or None


def merge_conditions(info: Info, config: CaptionConfig, draw: random.Random) -> str | None:
    """The description, with chance `merge` joined or replaced by other fields: `"Slow piano. bpm: 70.0. key: c major"`.

    Exactly the reference's rule, its side effect included: dots at the end of the description are taken off and one is
    put in front of the fields, so that a description to which nothing was joined ends in exactly one dot.
    """
    description = _description(info)
    fields = ""
    if draw.random() < config.merge:
        pairs = [
            f"{name}: {_words(info[name])}"
            for name in MERGED_FIELDS
            if name in info and draw.random() < config.keep_field
        ]
        if draw.random() < config.drop_description:
            description = None
        draw.shuffle(pairs)
        fields = ". ".join(pairs)
    if description is None:
        return fields or None
    return f"{description.rstrip('.')}. {fields}".strip()


def drop_words(text: str, probability: float, draw: random.Random) -> str:
    """The text without some of its space-separated words, each dropped with `probability` (training only)."""
    return " ".join(word for word in text.split(" ") if draw.random() >= probability)


# ---- fields ----------------------------------------------------------------------------------------------------------


def clean_info(raw: Mapping[str, object]) -> Info:
    """Fields as files hold them to fields as captions use them; names that are not known here are left out.

    Text is stripped; a field without text, or with the text `None`, counts as missing. Key, genre, name and instrument
    become lower-case, and a key with a comma (several keys) is dropped. Moods and keywords are a list, or one text
    split at commas and white space. Raises UserError for a value of a wrong type and a tempo that is none.
    """
    info: Info = {}
    for name, clean in _CLEANERS.items():
        value = raw.get(name)
        if isinstance(value, str):
            value = value.strip()
        if value is None or value in ("", "None"):
            continue
        cleaned = clean(name, value)
        if cleaned not in ("", ()):
            info[name] = cleaned
    return info


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UserError(f"{name} is {value!r:.60}: give it as text")
    return value


def _lower(name: str, value: object) -> str:
    return _text(name, value).lower()


def _key(name: str, value: object) -> str:
    key = _lower(name, value)
    return "" if "," in key else key


def _tempo(name: str, value: object) -> float:
    try:
        tempo = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        tempo = math.nan
    if not 0 < tempo < math.inf:
        raise UserError(f"{name} is {value!r:.60}: give it as a number of beats per minute, or leave it out")
    return tempo


def _list(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise UserError(f"{name} is {value!r:.60}: give it as a list of texts, or one text with commas")
    stripped = (item.strip() for item in value)
    return tuple(item.lower() for item in stripped if item not in ("", "None"))


_CLEANERS: dict[str, Callable[[str, object], str | float | tuple[str, ...]]] = {
    "title": _text,
    "artist": _text,
    "description": _text,
    "name": _lower,
    "key": _key,
    "bpm": _tempo,
    "genre": _lower,
    "moods": _list,
    "keywords": _list,
    "instrument": _lower,
}


def _description(info: Info) -> str | None:
    description = info.get("description")
    assert description is None or isinstance(description, str)
    return description


def _words(value: str | float | tuple[str, ...]) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
