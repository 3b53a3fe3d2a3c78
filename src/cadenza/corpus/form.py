"""How a piece is laid out: a plan and a number of bars in, sections with names, lengths, keys and energies out.

A form is written in letters, one for each phrase of four bars. Equal neighbours make one section: "vv" is a verse of
two phrases, which ask and answer. What does not divide by four becomes a short introduction or an ending, so that a
piece is as long as it was asked to be. Chords are `harmony`'s work.
"""

from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from cadenza.corpus.score import Section
from cadenza.corpus.theory import Key

PHRASE_BARS = 4

_NAMES = {
    "i": "intro", "v": "verse", "p": "pre-chorus", "c": "chorus", "b": "bridge", "s": "solo", "d": "breakdown",
    "u": "build-up", "D": "drop", "o": "outro", "a": "theme", "f": "episode", "g": "second episode", "x": "round",
}  # fmt: skip

_ENERGY = {
    "intro": 0.4, "verse": 0.55, "pre-chorus": 0.7, "chorus": 0.9, "bridge": 0.6, "solo": 0.8, "breakdown": 0.35,
    "build-up": 0.65, "drop": 1.0, "outro": 0.45, "theme": 0.65, "episode": 0.55, "second episode": 0.75, "round": 0.7,
    "ending": 0.65,
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """One way of laying out a piece.

    `short` holds, for 1, 2, ... phrases, the layouts to draw from. A longer piece is the head, as many cycles as fit,
    and the tail; `spare` says for each number of phrases left over what to put before, between and after.
    """

    short: tuple[tuple[str, ...], ...]
    head: str
    cycle: str
    tail: str
    spare: tuple[tuple[str, str, str], ...]

    def letters(self, rng: np.random.Generator, count: int) -> str:
        """The letters of `count` phrases."""
        if count <= len(self.short):
            choices = self.short[count - 1]
            return choices[int(rng.integers(len(choices)))]
        cycles, left = divmod(count - len(self.head) - len(self.tail), len(self.cycle))
        before, between, after = self.spare[left]
        return before + self.head + self.cycle * cycles + between + self.tail + after


FORMS: dict[str, Form] = {
    "song": Form(
        (
            ("v",),
            ("vc",),
            ("vvc", "vpc"),
            ("vvcc", "ivvc", "vpcc"),
            ("ivvcc", "vvpcc", "ivpcc"),
            ("ivvpcc", "vvccbc", "ivvccc"),
            ("ivvpccc", "vvpccbc", "ivvccsc"),
            ("ivvpccbc", "vvccbbcc", "ivvccvcc"),
        ),
        "i",
        "vvpcc",
        "bcc",
        (("", "", ""), ("", "", "o"), ("", "ss", ""), ("", "ss", "o"), ("", "ssd", "o")),
    ),
    "ternary": Form(
        (
            ("a",),
            ("aa",),
            ("afa",),
            ("aafa", "aaff"),
            ("aaffa", "afaga"),
            ("aaffaa",),
            ("iaaffaa", "aafagaa"),
            ("aaffaaga", "aaffaaoo"),
        ),
        "aa",
        "ffaa",
        "",
        (("", "", ""), ("", "", "o"), ("", "", "oo"), ("i", "", "oo")),
    ),
    "binary": Form(
        (("a",), ("aa", "af"), ("aaf", "afa"), ("aaff",), ("aaffa", "iaaff"), ("aaffaa", "aaaaff")),
        "",
        "aaff",
        "aa",
        (("", "", ""), ("", "", "a"), ("", "", "ff"), ("i", "", "ff")),
    ),
    "aaba": Form(
        (
            ("a",),
            ("aa",),
            ("aba", "aab"),
            ("aaba",),
            ("iaaba", "aabaa"),
            ("aabbaa", "iaabao"),
            ("iaabbaa",),
            ("aaaabbaa",),
            ("iaaaabbaa",),
            ("aaaabbaaoo",),
            ("iaaaabbaaoo",),
        ),
        "aaaabbaa",
        "ssss",
        "bbaa",
        (("", "", ""), ("i", "", ""), ("", "ss", ""), ("i", "ss", "")),
    ),
    "blues": Form(
        (("x",), ("xx",), ("xxx",), ("ixxx",), ("ixxxo",)),
        "xxx",
        "sss",
        "xxx",
        (("", "", ""), ("i", "", ""), ("i", "", "o")),
    ),
    "dance": Form(
        (
            ("D",),
            ("uD", "DD"),
            ("uDD", "iDD"),
            ("iuDD", "iDdD"),
            ("iuDDo", "iDDuD"),
            ("iuDDdD", "iuDduD"),
            ("iuDDduD",),
            ("iiuDDduD",),
            ("iiuDDduDD",),
        ),
        "iiu",
        "DDdu",
        "DDo",
        (("", "", ""), ("", "", "o"), ("", "", "Do"), ("i", "", "Do")),
    ),
    "flow": Form(
        (("a",), ("aa",), ("aaf", "iaa"), ("iaaf", "aaff"), ("iaafa",), ("iaaffa",), ("iaaffao",)),
        "i",
        "aaff",
        "aao",
        (("", "", ""), ("i", "", ""), ("i", "", "o"), ("i", "", "oo")),
    ),
}


def lay_out(rng: np.random.Generator, form: str, key: Key, num_bars: int, wanders: str = "") -> tuple[Section, ...]:
    """Sections that fill exactly `num_bars`, without chords yet.

    Args:
        form: a name in `FORMS`.
        key: the key the piece begins in.
        num_bars: at least 4.
        wanders: how the piece may change key: "" not at all, "lift" a step up for the last chorus, "related" into
            the dominant, relative or subdominant key and back.
    """
    count, left = divmod(num_bars, PHRASE_BARS)
    letters = _contrast(FORMS[form].letters(rng, count))
    assert len(letters) == count
    opening = 2 if left >= 2 and letters[0] != "i" and rng.random() < 0.4 else 0
    drafts = [("intro", opening)] if opening else []
    for letter, run in groupby(letters):
        phrases, longest = len(list(run)), 3 if letter in "xs" and form == "blues" else 2
        while phrases:
            taken = min(phrases, longest)
            drafts.append((_NAMES[letter], taken * PHRASE_BARS))
            phrases -= taken
    if left > opening:
        drafts.append(("ending", left - opening))
    sections, bar = [], 0
    for name, length in drafts:
        sections.append(Section(name, bar, length, (), key, _ENERGY[name]))
        bar += length
    return _wander(rng, _grow(sections), form, wanders, count)


def _contrast(letters: str) -> str:
    """Every second episode of a long piece is another one."""
    parts = ["".join(run) for _, run in groupby(letters)]
    episodes = 0
    for index, part in enumerate(parts):
        if part[0] == "f":
            parts[index] = part if episodes % 2 == 0 else "g" * len(part)
            episodes += 1
    return "".join(parts)


def _grow(sections: list[Section]) -> list[Section]:
    """A section that returns comes back a little stronger, the last big one strongest."""
    seen: dict[str, int] = {}
    grown = []
    for section in sections:
        times = seen[section.name] = seen.get(section.name, -1) + 1
        grown.append(replace(section, energy=round(min(1.0, section.energy + 0.05 * min(times, 3)), 3)))
    return grown


def _wander(
    rng: np.random.Generator, sections: list[Section], form: str, wanders: str, count: int
) -> tuple[Section, ...]:
    chance = float(rng.random())
    home = sections[0].key
    if wanders == "related" and count >= 5 and chance < 0.75:
        first = home.moved(7) if home.mode == "major" else home.relative
        second = home.relative if home.mode == "major" else home.moved(5)
        away = {"episode": first, "second episode": second, "bridge": home.moved(5)}
        # A single phrase is too short to settle in another key.
        return tuple(replace(s, key=away.get(s.name, home)) if s.num_bars > PHRASE_BARS else s for s in sections)
    if wanders == "lift" and count >= 8 and chance < 0.4:
        last = max((i for i, s in enumerate(sections) if s.name == "chorus"), default=0)
        lifted = home.moved(1 if chance < 0.15 else 2)
        if any(s.name == "chorus" for s in sections[:last]):
            return tuple(replace(s, key=lifted) if i >= last else s for i, s in enumerate(sections))
    return tuple(sections)
