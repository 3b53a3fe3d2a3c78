"""Facts about a clip to captions, the way a listener would write them.

`caption` renders any facts in any style, so that held-out prompts can be written with it too. What a caption says is
true of the facts; what it leaves out is drawn. `HELD_OUT_STYLES` are for evaluation: `captions` never draws them.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from cadenza.corpus.facts import Facts, Said
from cadenza.corpus.grammar import expand, sayable, with_articles
from cadenza.corpus.sayings import SAYINGS, SENTENCES
from cadenza.corpus.teller import Teller

_TRIES, _RETRIES = 12, 4
_LAST_RESORT = ("{piece}", "{music}")


def _saying(templates: tuple[str, ...], teller: Teller) -> str:
    """One of the templates that the facts have words for."""
    for _ in range(_TRIES):
        template = teller.pick(templates)
        if sayable(template, teller):
            return expand(template, teller)
    able = [template for template in templates if sayable(template, teller)]
    return expand(teller.pick(able or _LAST_RESORT), teller)


def _sentences(teller: Teller) -> str:
    """Two to five sentences: what it is, then what plays, how it moves, feels and sounds, in any order."""
    kinds = [kind for kind in SENTENCES if kind != "opening"]
    chosen = teller.shuffled(kinds)[: 1 + int(teller.draw() * 4)]
    if teller.draw() < 0.6:
        chosen.sort(key=kinds.index)
    spoken = [_saying(SENTENCES["opening"], teller)]
    for kind in chosen:
        able = [template for template in SENTENCES[kind] if sayable(template, teller)]
        if able:
            spoken.append(expand(teller.pick(able), teller))
    if len(spoken) > 2 and teller.draw() < 0.25:
        spoken[-2:] = [f"{spoken[-2]}, and {spoken[-1]}"]
    return " ".join(sentence[:1].upper() + sentence[1:] + "." for sentence in map(with_articles, spoken))


_FIELDS: tuple[tuple[str, float], ...] = (
    ("tag", 0.85),
    ("instrument", 0.8),
    ("instrument", 0.55),
    ("instrument", 0.35),
    ("mood", 0.65),
    ("mood", 0.35),
    ("pace", 0.3),
    ("bpm_tag", 0.4),
    ("key_tag", 0.35),
    ("mode", 0.05),
    ("meter", 0.12),
    ("era", 0.1),
    ("denial", 0.12),
    ("trait", 0.15),
    ("colour", 0.3),
    ("use", 0.06),
)
"""What may stand in a list of keywords, and how often it does."""


def _keywords(teller: Teller) -> list[str]:
    words = [teller.say(slot) for slot, share in _FIELDS if teller.draw() < share and teller.can(slot)]
    if teller.is_solo and teller.draw() < 0.4:
        teller.said.genre = "solo"
        words.append("solo")
    words = list(dict.fromkeys(words)) or [_saying(_LAST_RESORT, teller)]
    return teller.shuffled(words) if teller.draw() < 0.5 else words


def _listed(teller: Teller) -> str:
    return teller.pick((", ", ", ", ", ", " ", "; ", " / ", " | ")).join(_keywords(teller))


def _tagged(teller: Teller) -> str:
    """Hashtags, or words in brackets."""
    words = _keywords(teller)
    if teller.draw() < 0.7:
        tags = ("".join(filter(_is_tag_sign, word.replace("#", "sharp"))) for word in words)
        return " ".join(f"#{tag}" for tag in tags if tag)
    return " ".join(f"[{word}]" for word in words)


def _is_tag_sign(sign: str) -> bool:
    return sign.isalnum()


def _studio(teller: Teller) -> str:
    """As a producer names a project: "Am, 92, lofi, rhodes+drums"."""
    fields = []
    for slot, share in (("key", 0.8), ("figure", 0.85), ("tag", 0.8), ("meter", 0.15), ("mood", 0.3)):
        if teller.draw() < share and teller.can(slot):
            fields.append(teller.bpm_tag() if slot == "figure" and teller.draw() < 0.6 else teller.say(slot))
    if teller.can("instruments") and teller.draw() < 0.8:
        fields.append(teller.pick(("+", " + ", ", ", "/")).join(teller.names(3)))
    fields = fields or [_saying(_LAST_RESORT, teller)]
    if teller.draw() < 0.4:
        fields = teller.shuffled(fields)
    return teller.pick((", ", ", ", " | ", "; ", " - ", " ", "_")).join(fields)


_STYLES: dict[str, Callable[[Teller], str]] = {
    **{style: partial(_saying, templates) for style, templates in SAYINGS.items()},
    "long": _sentences,
    "keywords": _listed,
    "tags": _tagged,
    "studio": _studio,
}
HELD_OUT_STYLES = ("review", "story", "programme")
STYLES = tuple(name for name in _STYLES if name not in HELD_OUT_STYLES)
_WEIGHTS = {"terse": 2, "phrase": 2, "long": 2, "keywords": 2, "sentence": 2}
_DECK = tuple(name for name in STYLES for _ in range(_WEIGHTS.get(name, 1)))
_FORMAL = frozenset(("sentence", "long", "review", "story", "programme", "question"))


def caption_said(facts: Facts, rng: np.random.Generator, style: str) -> tuple[str, Said]:
    """One caption of some facts, and which of them it speaks of.

    Args:
        facts: what may be said; the caption contradicts none of it and may leave much out.
        rng: all draws come from here.
        style: one of `STYLES` or `HELD_OUT_STYLES`.
    """
    for _ in range(_RETRIES):
        teller = Teller(facts, rng)
        text = " ".join(with_articles(_STYLES[style](teller)).split()).strip(" ,;|")
        if not teller.repeats:
            break
    return _dressed(text, teller, style), teller.said


def caption(facts: Facts, rng: np.random.Generator, style: str) -> str:
    """`caption_said` without the account of what was said."""
    return caption_said(facts, rng, style)[0]


def _dressed(text: str, teller: Teller, style: str) -> str:
    """Capitals, full stops and slips as people leave them: short texts mostly bare, sentences mostly tidy."""
    formal = style in _FORMAL
    if teller.draw() < 0.04:
        text = _misspelt(text, teller)
    draw = teller.draw()
    if draw < 0.03 and not teller.keeps_case:
        return text.upper()
    if draw < 0.06 and not formal and not teller.keeps_case:
        return text.title()
    if draw < (0.65 if formal else 0.3):
        text = text[:1].upper() + text[1:]
        return text + "." if text[-1].isalnum() and (formal or teller.draw() < 0.3) else text
    text = text.lower() if draw > (0.8 if formal else 0.5) else text
    return text.rstrip(".") if formal and teller.draw() < 0.3 else text


def _misspelt(text: str, teller: Teller) -> str:
    """The text with one letter of one long word doubled, dropped or swapped with the next."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha() and word not in ("major", "minor")]
    if not long:
        return text
    at = long[int(teller.draw() * len(long))]
    word = words[at]
    spot = 1 + int(teller.draw() * (len(word) - 3))
    swapped = word[:spot] + word[spot + 1] + word[spot] + word[spot + 2 :]
    words[at] = teller.pick((swapped, word[:spot] + word[spot:][1:], word[:spot] + word[spot] + word[spot:]))
    return " ".join(words)


def captions(facts: Facts, rng: np.random.Generator, count: int = 6, held_out: bool = False) -> list[str]:
    """Several captions of one clip, as different in style as the count allows.

    Args:
        facts: what is true of the clip.
        rng: all draws come from here.
        count: how many, at least 1.
        held_out: in the styles of `HELD_OUT_STYLES`, which are for evaluation only.
    """
    deck = HELD_OUT_STYLES if held_out else _DECK
    order = list(dict.fromkeys(deck[i] for i in rng.permutation(len(deck))))
    return [caption(facts, rng, order[i % len(order)]) for i in range(count)]


__all__ = ["HELD_OUT_STYLES", "STYLES", "Facts", "Said", "caption", "caption_said", "captions"]
