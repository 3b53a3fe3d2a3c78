"""Facts about a clip to captions, the way a listener would write them.

`caption` renders any facts in any style, so that held-out prompts can be written with it too. What a caption says is
true of the facts; what it leaves out is drawn. `HELD_OUT_STYLES` are for evaluation: `captions` never draws them.
"""

from collections.abc import Callable, Sequence

import numpy as np

from cadenza.corpus.teller import Facts, Teller
from cadenza.corpus.vocabulary import VERBS_OPEN


def _join(words: Sequence[str], last: str = " and ") -> str:
    words = [w for w in words if w]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + last + words[-1] if words else ""


_UNCOUNTABLE = frozenset(
    [
        "music",
        "jazz",
        "blues",
        "rock",
        "metal",
        "funk",
        "house",
        "techno",
        "trance",
        "reggae",
        "folk",
        "country",
        "lofi",
        "EDM",
        "lo-fi",
        "synthwave",
        "retrowave",
        "ambient",
        "disco",
        "beats",
        "bebop",
        "salsa",
        "bluegrass",
        "chillhop",
        "counterpoint",
        "strings",
        "drums",
        "bells",
        "vibes",
        "pads",
        "voices",
        "violins",
        "percussion",
        "keys",
        "americana",
        "pizzicato",
        "brass",
        "timpani",
        "bagpipes",
        "pipes",
        "mallets",
        "only",
        "pans",
        "horns",
        "brushes",
        "bossa",
        "congas",
    ]
)
"""Last words that take no article."""


def _article(phrase: str) -> str:
    """The phrase with "a" or "an", or none where the noun takes none."""
    last_word = phrase.split()[-1] if phrase else ""
    if last_word in _UNCOUNTABLE or phrase.endswith(("hip hop", "boom bap", "bossa nova")):
        return phrase
    vowel = phrase[:1].lower() in "aeiou" and not phrase.lower().startswith(("eu", "uni", "one"))
    vowel = vowel or phrase.startswith(("8", "EDM", "e-piano"))
    return f"{'an' if vowel else 'a'} {phrase}"


def _described(teller: Teller, tempo: float = 0.4, moods: float = 0.8, countable: bool = True) -> str:
    """Adjectives and the noun: "slow, sad piano ballad"."""
    adjectives = []
    if teller.chance(tempo):
        adjectives.append(teller.tempo_adjective())
    if teller.chance(moods):
        adjectives += teller.moods(1 if teller.chance(0.7) else 2)
    adjectives = [a for a in adjectives if a]
    noun = teller.noun(countable)
    adjectives = [a for a in adjectives if not noun.startswith(a)]
    separator = ", " if teller.chance(0.3) else " "
    return " ".join(filter(None, [separator.join(adjectives), noun]))


def _terse(t: Teller) -> str:
    names = t.instruments(2)
    options = [
        f"{t.mood()} {t.noun()}",
        f"{t.tempo_adjective()} {t.noun()}",
        f"{t.mood()} {_join(names)}",
        t.noun(),
        f"{t.mood()} {t.pick(('music', 'tune', 'piece'))}",
    ]
    if len(t.facts.instruments) == 1:
        options += [f"{t.mood()} {names[0]}", f"{t.tempo_adjective()} {t.mood()} {names[0]}"]
    return t.pick(options)


def _keywords(t: Teller) -> str:
    words = [t.genre() if t.chance(0.9) else "", *t.instruments(), *t.moods(2)]
    if t.chance(0.15):
        words.append(t.colour())
    if t.facts.genre == "solo" and t.chance(0.6):
        words.append("solo")
    if t.chance(0.5):
        words.append(t.tempo_phrase())
    if t.chance(0.4):
        words.append(t.bpm())
    if t.chance(0.3):
        words.append(t.key())
    if t.chance(0.1):
        words.append(t.meter())
    words = [w for w in dict.fromkeys(words) if w]
    if t.chance(0.4):
        words = [words[i] for i in t.rng.permutation(len(words))]
    return (" " if t.chance(0.1) else ", ").join(words)


def _phrase(t: Teller) -> str:
    with_article = t.chance(0.5)
    text = _described(t, countable=with_article)
    if with_article:
        text = _article(text)
    names = [n for n in t.instruments() if n not in text]
    if names and t.facts.genre != "solo":
        text += f" {t.pick(('with', 'featuring', 'with', 'played by', 'on'))} {_join(names)}"
    if t.chance(0.3):
        text += f" {t.pick(('in', 'in the key of'))} {t.key()}" if t.key() else ""
    elif t.chance(0.15) and t.mode():
        text += f" in a {t.mode()} key"
    if t.chance(0.35) and t.bpm():
        text += t.pick((", ", " at ", ", around ")) + t.bpm()
    elif t.chance(0.08) and t.colour():
        text += f", {t.colour()}"
    return text


def _sentence(t: Teller) -> str:
    names = t.instruments()
    subject = _article(_described(t, 0.5, 0.9))
    listing = _join([n for n in names if n not in subject])
    use = t.use()
    forms = [f"{subject} {use}".strip(), f"this is {subject}" + (f" with {listing}" if listing else "")]
    if listing:
        forms += [
            f"{subject} with {listing}",
            f"{subject} featuring {listing}",
            f"{listing} playing {subject}",
            f"{subject}, {listing}",
        ]
    if t.key() and t.chance(0.5):
        forms.append(f"{subject} in {t.key()}")
    text = t.pick(forms)
    if t.chance(0.25) and t.bpm():
        text += f" at {t.bpm()}"
    return text


def _long(t: Teller) -> str:
    names, moods = t.instruments(5), t.moods(2)
    parts = [
        t.pick(("this is {}", "the music is {}", "{}", "we hear {}", "here is {}")).format(
            _article(_described(t, 0.4, 0.5))
        )
    ]
    if names:
        verb = "plays" if len(names) == 1 and not names[0].endswith("s") else "play"
        parts.append(
            t.pick(
                (
                    "it features {}",
                    "the instruments are {}",
                    "one can hear {}",
                    "{} " + verb + " throughout",
                    "the sound is made of {}",
                )
            ).format(_join(names))
        )
    if moods:
        parts.append(
            t.pick(
                ("the mood is {}", "it feels {}", "it sounds {}", "the atmosphere is {}", "overall it is {}")
            ).format(_join(moods))
        )
    details = []
    if t.tempo_phrase() and t.chance(0.7):
        details.append(
            t.pick(
                (
                    f"the tempo is {t.bpm()}",
                    f"it moves at {_article(t.tempo_verdict())} pace, {t.bpm()}",
                    f"the tempo is {t.tempo_verdict()}",
                )
            )
        )
    if t.key() and t.chance(0.5):
        details.append(t.pick((f"it is in {t.key()}", f"the key is {t.key()}", f"it is written in {t.key()}")))
    if t.meter() and t.chance(0.2):
        details.append(f"the time signature is {t.facts.meter}")
    use = t.use()
    if use and t.chance(0.3):
        details.append(f"it would be good {use}" if use.startswith(("for", "to")) else f"it is {use}")
    parts += details
    if len(parts) > 3:
        parts = parts[:1] + [parts[1 + i] for i in sorted(t.rng.permutation(len(parts) - 1)[:3].tolist())]
    return ". ".join(p[:1].upper() + p[1:] for p in parts)


def _request(t: Teller) -> str:
    thing = _article(_described(t, 0.4, 0.8))
    names = [n for n in t.instruments() if n not in thing]
    ending = t.pick(
        (
            t.use(),
            f"with {_join(names)}" if names else "",
            f"in {t.key()}" if t.key() else "",
            f"at {t.bpm()}" if t.bpm() else "",
            "",
        )
    )
    return f"{t.pick(VERBS_OPEN)} {thing} {ending}".strip()


def _technical(t: Teller) -> str:
    title = t.genre() or t.noun()
    names = [n for n in t.instruments() if n not in title]
    fields = [title, t.bpm(), t.key(), t.meter() if t.chance(0.5) else "", _join(names, ", ")]
    if t.chance(0.3):
        fields = [fields[0], *[fields[1 + i] for i in t.rng.permutation(4)]]
    return t.pick((", ", " | ", "; ", ", ")).join(f for f in fields if f)


def _review(t: Teller) -> str:
    moods, names = t.moods(2), t.instruments(3)
    opening = t.pick(("imagine {}", "think of {}", "something like {}", "the kind of {} you would remember"))
    noun = t.noun(countable=True)
    text = opening.format(noun if "kind of" in opening else _article(noun))
    if moods:
        text += f", {_join(moods, ' yet ' if len(moods) > 1 else '')}"
    if names:
        text += f", where {_join(names)} {'carries' if len(names) == 1 else 'carry'} the whole thing"
    return text


_STYLES: dict[str, Callable[[Teller], str]] = {
    "terse": _terse,
    "keywords": _keywords,
    "phrase": _phrase,
    "sentence": _sentence,
    "long": _long,
    "request": _request,
    "technical": _technical,
    "review": _review,
}
HELD_OUT_STYLES = ("review",)
STYLES = tuple(name for name in _STYLES if name not in HELD_OUT_STYLES)


def caption(facts: Facts, rng: np.random.Generator, style: str) -> str:
    """One caption of some facts.

    Args:
        facts: what may be said; the caption contradicts none of it and may leave much out.
        rng: all draws come from here.
        style: one of `STYLES` or `HELD_OUT_STYLES`.
    """
    teller = Teller(facts, rng)
    text = " ".join(_STYLES[style](teller).split()).strip(" ,;|") or "music"
    return _dress(text, teller, style)


def _dress(text: str, teller: Teller, style: str) -> str:
    """Capitals and full stops as people leave them: mostly none in short texts, mostly both in sentences."""
    formal = style in ("sentence", "long", "request", "review")
    draw = teller.rng.random()
    if draw < 0.03:
        return text.upper()
    if draw < 0.06 and not formal:
        return text.title()
    if draw < (0.65 if formal else 0.3):
        text = text[:1].upper() + text[1:]
        return text + "." if formal or teller.chance(0.3) else text
    return text.lower() if draw > 0.8 else text


def captions(facts: Facts, rng: np.random.Generator, count: int = 6) -> list[str]:
    """Several captions of one clip, as different in style as the count allows.

    Args:
        facts: what is true of the clip.
        rng: all draws come from here.
        count: how many, at least 1.
    """
    order = [STYLES[i] for i in rng.permutation(len(STYLES))]
    return [caption(facts, rng, order[i % len(order)]) for i in range(count)]


__all__ = ["HELD_OUT_STYLES", "STYLES", "Facts", "caption", "captions"]
