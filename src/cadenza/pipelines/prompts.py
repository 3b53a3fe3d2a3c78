"""What people ask for, in words: a sentence, several, or a timeline -> sections of text, each with its start."""

import logging
import math
from collections.abc import Sequence
from typing import NamedTuple

from cadenza.conditioning.clap import ClapConditioner
from cadenza.conditioning.text import TextConditioner
from cadenza.errors import UserError

Text = str | Sequence[str] | Sequence[tuple[float, str]]
"""A sentence, a batch of sentences, or one timeline of (seconds, sentence)."""

log = logging.getLogger("cadenza")


class Section(NamedTuple):
    """Text that holds from `start_seconds` on."""

    start_seconds: float
    text: str


Piece = tuple[Section, ...]
"""The sections of one item, the first at 0."""


def parse_text(text: Text) -> tuple[list[Piece], bool]:
    """The pieces asked for, and whether they were asked for as a batch."""
    if isinstance(text, str):
        return [(Section(0.0, text),)], False
    if not isinstance(text, Sequence):
        raise UserError(f"the prompt {text!r:.60} is no text: give a sentence, a list of sentences or a timeline")
    entries = list(text)
    if not entries:
        raise UserError("no prompt: give a sentence, a list of sentences or a timeline")
    if all(isinstance(entry, str) for entry in entries):
        return [(Section(0.0, str(entry)),) for entry in entries], True
    return [_timeline(entries)], False


def _timeline(entries: Sequence[object]) -> Piece:
    sections: list[Section] = []
    for entry in entries:
        if not isinstance(entry, tuple | list) or len(entry) != 2 or not isinstance(entry[1], str):
            raise UserError(f"{entry!r:.60} is no part of a timeline: give pairs such as (20, 'drums enter')")
        start = entry[0]
        if not isinstance(start, int | float) or not math.isfinite(start) or start < 0:
            raise UserError(f"the timeline has a part at {start!r:.20}: give seconds from 0 on")
        if sections and start <= sections[-1].start_seconds:
            raise UserError(f"the timeline goes from {sections[-1].start_seconds:g} s to {start:g} s: put it in order")
        sections.append(Section(float(start), entry[1]))
    if sections[0].start_seconds != 0:
        raise UserError(f"the timeline begins at {sections[0].start_seconds:g} s: begin at 0")
    return tuple(sections)


def fit(section: Section, conditioner: TextConditioner | ClapConditioner) -> Section:
    """The section as the model can hear it: text beyond the encoder's limit is cut, and that is said; so is no text."""
    text = section.text
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # what a shell's bytes become that are no UTF-8
        raise UserError(f"the prompt {text!a:.60} holds bytes that are no text: write it in UTF-8")
    if not text.strip():
        log.warning("empty prompt: the music is the model's own choice")
        return Section(section.start_seconds, "")
    if conditioner.encoder is None:
        return section
    tokenizer = conditioner.encoder.tokenizer.tokenizer
    limit = conditioner.config.max_tokens
    encoding = tokenizer.encode(text)
    num_tokens = len(encoding.ids)
    if num_tokens <= limit:
        return section
    for kept in range(limit - 1, 0, -1):  # one place is for the end mark; more if a shorter text divides otherwise
        text = section.text[: encoding.offsets[kept - 1][1]]
        text = text.rsplit(maxsplit=1)[0] if len(text.split()) > 1 else text  # no half words
        if len(tokenizer.encode(text).ids) <= limit:
            break
    words = f"{len(text.split())} of {len(section.text.split())} words"
    log.warning("the prompt has %d tokens, %d fit: using the first %s", num_tokens, limit, words)
    return Section(section.start_seconds, text)
