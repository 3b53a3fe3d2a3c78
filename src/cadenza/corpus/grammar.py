"""Sentences with holes: a template in, text out, with every choice drawn.

A template is plain text in which `{slot}` asks a speaker for words, `(a|b)` takes one of several, `[...]` is said half
the time and `<...>` one time in five. What needs a word that the speaker does not have is never chosen. `a@` becomes
"a" or "an" by the word behind it. Words are asked for only where they end up in the text, in their order, so a
speaker may keep account of what it has said.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

_OFTEN, _SELDOM = 0.5, 0.2


class Speaker(ABC):
    """Who fills the holes. `draw` gives numbers that are uniform from 0 to 1."""

    draw: Callable[[], float]

    @abstractmethod
    def can(self, slot: str) -> bool:
        """Whether there is a word for a slot."""

    @abstractmethod
    def say(self, slot: str) -> str:
        """A word for a slot."""


@dataclass(frozen=True)
class _Slot:
    name: str


@dataclass(frozen=True)
class _Choice:
    """One of several sequences, or with `chance` below 1 perhaps none."""

    options: tuple["_Sequence", ...]
    chance: float = 1.0


_Sequence = tuple["str | _Slot | _Choice", ...]
_CLOSING = {"[": "]", "<": ">", "(": ")"}


@cache
def _parsed(template: str) -> _Sequence:
    sequence, end = _parse(template, 0, "")
    assert end == len(template), f"unbalanced: {template!r}"
    return sequence


def _parse(text: str, at: int, closing: str) -> tuple[_Sequence, int]:
    """The sequence from `at` up to the closing sign or a bar at its level, and where that sign stands."""
    items: list[str | _Slot | _Choice] = []
    literal = ""
    while at < len(text) and not (closing and text[at] in (closing, "|")):
        sign = text[at]
        if sign not in "{[<(":
            literal, at = literal + sign, at + 1
            continue
        if literal:
            items.append(literal)
            literal = ""
        if sign == "{":
            end = text.index("}", at)
            items.append(_Slot(text[at + 1 : end]))
            at = end + 1
            continue
        options, end = [], at
        while True:
            option, end = _parse(text, end + 1, _CLOSING[sign])
            options.append(option)
            assert end < len(text), f"unbalanced: {text!r}"
            if text[end] == _CLOSING[sign]:
                break
        items.append(_Choice(tuple(options), {"[": _OFTEN, "<": _SELDOM, "(": 1.0}[sign]))
        at = end + 1
    return (*items, literal) if literal else tuple(items), at


def _sayable(sequence: _Sequence, speaker: Speaker) -> bool:
    for item in sequence:
        if isinstance(item, _Slot):
            if not speaker.can(item.name):
                return False
        elif isinstance(item, _Choice) and item.chance == 1.0 and not any(_sayable(o, speaker) for o in item.options):
            return False
    return True


def sayable(template: str, speaker: Speaker) -> bool:
    """Whether the speaker has words for all that a template must say."""
    return _sayable(_parsed(template), speaker)


def expand(template: str, speaker: Speaker) -> str:
    """The text of a template that is `sayable`, in single spaces, without articles set (see `with_articles`)."""
    words: list[str] = []
    _expand(_parsed(template), speaker, words)
    return "".join(words)


def _expand(sequence: _Sequence, speaker: Speaker, words: list[str]) -> None:
    for item in sequence:
        if isinstance(item, str):
            words.append(item)
        elif isinstance(item, _Slot):
            words.append(speaker.say(item.name))
        elif item.chance == 1.0 or speaker.draw() < item.chance:
            options = [option for option in item.options if _sayable(option, speaker)]
            if options:
                _expand(options[int(speaker.draw() * len(options))], speaker, words)


_LIKE_A = ("eu", "uni", "use", "one", "ukulele")
_LIKE_AN = ("8", "808", "11", "18", "edm", "hour", "honest", "mp3", "fm ")


def with_articles(text: str) -> str:
    """The text with each `a@` as "a" or "an", by the sound of what follows."""
    pieces = text.replace("A@ ", "a@ A@").split("a@ ")
    for index in range(1, len(pieces)):
        first = "A" if pieces[index].startswith("A@") else "a"
        rest = pieces[index].removeprefix("A@")
        sound = rest.lower()
        vowel = (sound[:1] in tuple("aeiou") and not sound.startswith(_LIKE_A)) or sound.startswith(_LIKE_AN)
        pieces[index] = f"{first}{'n' if vowel else ''} {rest}"
    return "".join(pieces)
