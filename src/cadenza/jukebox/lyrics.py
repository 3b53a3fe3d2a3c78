"""Lyrics as characters: what is kept of a text, its ids, and which of them a window of music hears.

In: a text. Out: ids, one per character; 0 is padding. Dhariwal et al. (2020), arXiv 2005.00341, section 5: there is no
alignment but the assumption that a piece is sung at an even pace. The two vocabularies are those of the published
models: v2 of 5b_lyrics, v3 (without the plus sign) of 1b_lyrics.
"""

import string
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from cadenza.checkpoint import Config
from cadenza.errors import UserError
from cadenza.jukebox.labels import LabelVersion
from cadenza.jukebox.transformer import TransformerConfig
from cadenza.jukebox.transliterate import transliterate

_LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits
_SYMBOLS: dict[LabelVersion, str] = {
    "v2": _LETTERS + ".,:;!?-+'\"()[] \t\n",
    "v3": _LETTERS + ".,:;!?-'\"()[] \t\n",
}


class SequenceLyrics(Config):
    """Lyrics in front of the music, in one sequence with it. Defaults: 1b_lyrics."""

    kind: Literal["sequence"] = "sequence"
    version: LabelVersion = Field("v3", description="the vocabulary of characters")
    num_tokens: int = Field(384, ge=1, le=65536, description="characters that a window hears, L")
    loss_weight: float = Field(0.4, ge=0, description="weight of the lyrics' share of the loss")
    alignment: tuple[int, int] | None = Field(
        None, description="layer and head that follow the lyrics as they are sung; None: not known"
    )


class EncodedLyrics(Config):
    """Lyrics read by a transformer of their own, to which the prior listens. Defaults: 5b_lyrics, without layers."""

    kind: Literal["encoded"] = "encoded"
    version: LabelVersion = Field("v2", description="the vocabulary of characters")
    num_tokens: int = Field(512, ge=1, le=65536, description="characters that a window hears, L")
    loss_weight: float = Field(0.4, ge=0, description="weight of the lyrics' share of the loss")
    alignment: tuple[int, int] | None = Field(
        None, description="layer and head that follow the lyrics as they are sung; None: not known"
    )
    encoder: TransformerConfig = Field(description="the transformer that reads them")
    init_scale: float = Field(0.7, gt=0, description="of the encoder's random weights")


LyricsConfig = Annotated[SequenceLyrics | EncodedLyrics, Field(discriminator="kind")]


class Vocabulary:
    """Characters and ids. Id 0 is padding, and is written as nothing."""

    def __init__(self, version: LabelVersion) -> None:
        self.symbols = _SYMBOLS[version]
        self._ids = {symbol: number for number, symbol in enumerate(self.symbols, start=1)}

    def __len__(self) -> int:
        return len(self.symbols) + 1

    def clean(self, text: str) -> str:
        """What the model can read of a text: spelt in ASCII, backslashes as line breaks, other characters left out."""
        return "".join(symbol for symbol in self._spelt(text) if symbol in self._ids)

    def lost(self, text: str) -> str:
        """Characters of a text, each once, of which `clean` leaves nothing; for a warning."""
        return "".join(dict.fromkeys(symbol for symbol in text if not self.clean(symbol)))

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._ids[symbol] for symbol in self.clean(text))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.symbols[number - 1] for number in ids if number)

    def check(self, ids: Sequence[int]) -> None:
        """Raise UserError for ids that are no characters."""
        wrong = next((number for number in ids if not 0 <= number < len(self)), None)
        if wrong is not None:
            raise UserError(f"{wrong} is no character of this model: ids go from 0 to {len(self) - 1}")

    @staticmethod
    def _spelt(text: str) -> str:
        return transliterate(text).replace("\\", "\n")


class LyricWindow(NamedTuple):
    """`pads` times padding, then the characters `first` up to `last`, which is not one of them."""

    pads: int
    first: int
    last: int

    def of(self, ids: Sequence[int]) -> tuple[int, ...]:
        return (*[0] * self.pads, *ids[self.first : self.last])

    @property
    def indices(self) -> tuple[int, ...]:
        """The character behind each id of the window; -1 for padding."""
        return (*[-1] * self.pads, *range(self.first, self.last))


def lyric_window(
    length: int, num_tokens: int, total_length: int, start: int, duration: int, exact: bool = False
) -> LyricWindow:
    """Which of `length` characters a window of music hears: those around the same share of the piece as its middle.

    Args:
        length: characters of the whole lyrics.
        num_tokens: characters that a window hears; fewer are padded in front.
        total_length, start, duration: of the piece, of the window in it and of the window, samples.
        exact: calculate in float64, as in training. The published models sample in float32, which gives another
            character in one of some ten thousand windows.
    """
    if length < num_tokens:
        return LyricWindow(num_tokens - length, 0, length)
    number = np.float64 if exact else np.float32
    # Half a window is whole samples, or exact in either precision.
    middle = int(number(length) * (number(start) + number(duration / 2.0)) / number(total_length))
    before = num_tokens // 2
    middle = min(max(middle, before), length - (num_tokens - before))
    return LyricWindow(0, middle - before, middle + num_tokens - before)
