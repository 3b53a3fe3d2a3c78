"""The words of one caption: facts in, a phrase for each slot of a template out, and an account of what was said."""

import random
from collections.abc import Callable, Sequence

import numpy as np

from cadenza.corpus.facts import Facts, Said
from cadenza.corpus.grammar import Speaker
from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.vocabulary import (
    COLOURS,
    METERS,
    MOOD_WORDS,
    PACES,
    PLACES,
    TRAIT_ROLES,
    TRAITS,
    key_names,
)
from cadenza.corpus.vocabulary_genres import GENRE_WORDS, MOOD_USES, ONLY_WITH, GenreWords
from cadenza.corpus.vocabulary_instruments import FAMILIES_OF, INSTRUMENT_NAMES

_HEADS = ("piece", "tune", "instrumental", "track", "piece of music", "melody")
_ELECTRIC = ("electric", "distorted", "bass guitar", "slap", "hammond")
_PLURAL_VERBS = {"carries": "carry", "is": "are", "has": "have", "goes": "go"}
_NO_WORDS = GenreWords((), (), ())


class Teller(Speaker):
    """Says facts in words: `can` tells whether a slot has any, `say` draws them and keeps account in `said`.

    `repeats` tells whether a player had to be named where all had been, as in "piano tune with piano"; `keeps_case`
    whether capitals would change the meaning, as of "Am".
    """

    def __init__(self, facts: Facts, rng: np.random.Generator) -> None:
        self.facts = facts
        self.said = Said()
        self.draw = random.Random(int(rng.integers(1 << 62))).random
        self._used: set[str] = set()
        self._many = False
        self.repeats = False
        self.keeps_case = False
        self._roles = dict(facts.roles)

    # ------------------------------------------------------------------------------------------------------- drawing

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.draw() * len(options))] if options else ""

    def plain_or(self, options: Sequence[str], plain: float) -> str:
        """The first option with probability `plain`, else any."""
        return options[0] if self.draw() < plain else options[int(self.draw() * len(options))]

    def shuffled(self, words: Sequence[str]) -> list[str]:
        return [word for _, word in sorted((self.draw(), word) for word in words)]

    # --------------------------------------------------------------------------------------------------------- slots

    def can(self, slot: str) -> bool:
        return _CAN[slot.partition(" ")[0]](self)

    def say(self, slot: str) -> str:
        name, _, argument = slot.partition(" ")
        return _VERBS[name](self, argument) if name in _VERBS else _SAY[name](self)

    # -------------------------------------------------------------------------------------------------------- genres

    @property
    def is_solo(self) -> bool:
        return self.facts.genre == "solo" and len(self.facts.instruments) == 1

    @property
    def has_genre(self) -> bool:
        return self.facts.genre not in ("", "solo")

    def _named(self, names: Sequence[str], plain: float = 0.4) -> str:
        """One of the names of the genre that fits what is heard: a "piano ballad" needs a piano."""
        self.said.genre = self.facts.genre
        name = self.plain_or(names or (self.facts.genre,), plain)
        for _ in range(4):
            if all(part not in name or self._holds(kind, value) for part, kind, value in ONLY_WITH):
                return name
            name = self.pick(names)
        return self.facts.genre if self.facts.genre != "piano ballad" else "ballad"

    def _holds(self, kind: str, value: str) -> bool:
        if kind == "instrument":
            return not self.facts.instruments or any(w in i for w in value.split() for i in self.facts.instruments)
        if kind == "pace":
            return self.facts.pace is None or self.facts.pace < float(value)
        return (self.facts.genre if kind == "genre" else self.facts.meter or value) == value

    def tag(self) -> str:
        """The genre as a tag or before a noun: "jazz"."""
        return self._named(GENRE_WORDS.get(self.facts.genre, _NO_WORDS).tags)

    def piece(self) -> str:
        """A noun that takes an article: "jazz tune", "solo piano piece", "track"."""
        if self.has_genre:
            return self._named(GENRE_WORDS.get(self.facts.genre, _NO_WORDS).pieces, 0.25)
        if self.is_solo:
            return self._solo(("solo {} piece", "{} solo", "{} piece", "{} tune", "piece for solo {}", "{} melody"))
        if self._untold() and self.draw() < 0.5:
            return f"{self.instrument()} {self.pick(_HEADS[:5])}"
        return self.pick(_HEADS)

    def music(self) -> str:
        """A noun that takes none: "jazz", "piano music", "music"."""
        if self.has_genre:
            return self._named(GENRE_WORDS.get(self.facts.genre, _NO_WORDS).musics, 0.4)
        if self.is_solo:
            return self._solo(("solo {}", "{} solo", "{} music", "unaccompanied {}", "{} alone", "{}", "{} only"))
        return f"{self.instrument()} music" if self._untold() and self.draw() < 0.5 else "music"

    def _solo(self, forms: Sequence[str]) -> str:
        instrument = self.facts.instruments[0]
        if INSTRUMENTS.get(instrument) is not None and INSTRUMENTS[instrument].family == "drums":
            forms = ("{} solo", "{} groove", "{} loop", "solo {} groove")
        form = self.pick(forms)
        if any(word in form for word in ("solo", "unaccompanied", "alone", "only")):
            self.said.genre = "solo"
        return form.format(self._name(instrument))

    def era(self) -> str:
        self.said.genre = self.facts.genre
        return self.pick(GENRE_WORDS[self.facts.genre].eras)

    def use(self) -> str:
        """What follows "for": "a wedding", "studying"."""
        moods = [mood for mood in self.facts.moods if mood in MOOD_USES]
        uses = GENRE_WORDS.get(self.facts.genre, _NO_WORDS).uses
        if moods and (not uses or self.draw() < 0.2):
            mood = self.pick(moods)
            self._tell_mood(mood)
            return self.pick(MOOD_USES[mood])
        self.said.genre = self.facts.genre
        return self.pick(uses)

    def occasion(self) -> str:
        """A use without its article: "boss fight"."""
        use = self.use()
        return use.partition(" ")[2] if use.startswith(("a ", "an ", "the ")) else use

    # --------------------------------------------------------------------------------------------------- instruments

    def _untold(self) -> list[str]:
        return [i for i in self.facts.instruments if i not in self.said.instruments]

    def _name(self, instrument: str) -> str:
        """One name for an instrument; "drums" for all kits, "guitar" for all guitars where the kind does not matter."""
        if instrument not in self.said.instruments:
            self.said.instruments.append(instrument)
        names = INSTRUMENT_NAMES.get(instrument, (instrument,))
        families = FAMILIES_OF.get(instrument, ())
        if families and self.draw() < (0.65 if instrument == "drums" else 0.25):
            name = self.plain_or(families, 0.6)
        else:
            name = self.plain_or(names, 0.5)
        self._many = name.endswith("s") and not name.endswith("ss")
        self._used.add(name)
        return name

    def instrument(self) -> str:
        """One that has not been named yet, the leading one if it can be."""
        untold = self._untold()
        self.repeats = self.repeats or not untold
        return self._name((untold or self.facts.instruments)[0])

    def names(self, most: int = 4) -> list[str]:
        """Some or all of those that have not been named yet; no word twice."""
        untold = self._untold()
        if not untold:
            return [self.instrument()]
        kept = [untold[0]] + [i for i in untold[1:] if self.draw() < 0.72]
        words: list[str] = []
        for instrument in kept[:most]:
            used = set(self._used)
            word = self._name(instrument)
            if word in used:
                word = INSTRUMENT_NAMES.get(instrument, (instrument,))[0]
            if word not in used:
                words.append(word)
        return words

    def instruments(self) -> str:
        words = self.names()
        self._many = self._many or len(words) > 1
        return join(words, " and " if self.draw() < 0.9 else " & " if self.draw() < 0.6 else ", ")

    def band(self) -> str:
        """Two or more."""
        untold = self._untold()
        words = [self._name(untold[0]), *(self.names() if len(untold) > 1 else ())]
        self._many = True
        return join(words, self.pick((" and ", " and ", ", ", " & ")))

    def duo(self) -> str:
        """The first two."""
        return self.pick(("{} and {}", "{} and {}", "{} & {}", "{} {}", "{}, {}", "{} with {}")).format(
            self.instrument(), self.instrument()
        )

    def role(self, role: str) -> str:
        self.repeats = self.repeats or self._roles[role] in self.said.instruments
        return self._name(self._roles[role])

    def entrant(self) -> str:
        return self._name(self.facts.entering[0])

    # ---------------------------------------------------------------------------------------- moods, tempo, key, meter

    def _tell_mood(self, mood: str) -> None:
        if mood not in self.said.moods:
            self.said.moods.append(mood)

    def mood(self) -> str:
        untold = [m for m in self.facts.moods if m not in self.said.moods] or list(self.facts.moods)
        mood = self.pick(untold)
        self._tell_mood(mood)
        words = [w for w in MOOD_WORDS.get(mood, (mood,)) if w not in self._used] or [mood]
        word = self.plain_or(words, 0.45)
        self._used.add(word)
        return word

    def moods(self) -> str:
        count = 2 if self.draw() < 0.8 else 3
        words = list(dict.fromkeys(self.mood() for _ in range(min(count, len(self.facts.moods)))))
        return join(words, self.pick((" and ", " and ", " yet ", ", ")))

    def _pace_row(self) -> tuple[float, str, tuple[str, ...], tuple[str, ...]]:
        pace = self.facts.pace
        assert pace is not None
        row = next(row for row in PACES if pace < row[0])
        self.said.pace = row[1]
        return row

    def tempo(self) -> str:
        """Before a noun: "slow"."""
        return self.plain_or(self._pace_row()[2], 0.5)

    def pace(self) -> str:
        """In a list of keywords: "slow tempo", "allegro"."""
        return self.plain_or(self._pace_row()[3], 0.3)

    def verdict(self) -> str:
        """After "the tempo is"."""
        return self._pace_row()[1]

    def _figure(self) -> str:
        bpm = self.facts.tempo_bpm
        assert bpm is not None
        self.said.tempo_bpm = bpm
        return f"{bpm:.0f}"

    def figure(self) -> str:
        """The number alone."""
        return self._figure()

    def bpm(self) -> str:
        """After "at" or in a list: "92 bpm"."""
        return self.plain_or(("{} bpm", "{} BPM", "{}bpm", "{} beats per minute", "{} beats a minute"), 0.55).format(
            self._figure()
        )

    def bpm_tag(self) -> str:
        forms = ("{} bpm", "{}bpm", "bpm: {}", "{} BPM", "tempo {}", "tempo: {}", "BPM {}", "{} beats per minute")
        return self.plain_or(forms, 0.4).format(self._figure())

    def at_bpm(self) -> str:
        """Behind a noun: "at a tempo of 92"."""
        forms = (
            "at {} bpm",
            "at a tempo of {}",
            "at {} beats per minute",
            "at {}bpm",
            "around {} bpm",
            "at about {} bpm",
            "with a tempo of {} bpm",
        )
        return self.plain_or(forms, 0.45).format(self._figure())

    def key(self) -> str:
        """Behind "in" or "the key is": "A minor"."""
        self.said.key, self.said.mode = self.facts.key, self.facts.key.split()[1]
        words, short, german = key_names(self.facts.key)
        draw = self.draw()
        if draw < 0.87:
            return self.plain_or(words, 0.5)
        self.keeps_case = True
        return self.pick(short) if draw < 0.98 else german[0]

    def key_tag(self) -> str:
        """In a list: "Am", "key of A minor", "key: A minor"."""
        forms = ("{}", "key of {}", "key: {}", "in {}", "in the key of {}", "{} key")
        # "A major key" may be any.
        form = self.plain_or(forms[:-1] if self.facts.key.startswith("A ") else forms, 0.55)
        if form == "{}" and self.draw() < 0.4:
            self.key()
            self.keeps_case = True
            return self.pick(key_names(self.facts.key)[1])
        return form.format(self.key())

    def mode(self) -> str:
        self.said.mode = self.facts.key.split()[1]
        return self.said.mode

    def meter(self) -> str:
        self.said.meter = self.facts.meter
        return self.plain_or(METERS.get(self.facts.meter, (self.facts.meter,)), 0.4)

    # -------------------------------------------------------------------------------------------- sound, way of playing

    def denials(self) -> list[str]:
        """What the clip lacks, or how it is made as a whole."""
        names = (*self.facts.instruments, *self.facts.faint)
        known = [INSTRUMENTS[i] for i in names if i in INSTRUMENTS]
        if not known or len(known) < len(names):
            return []
        words = []
        synthetic = any(i.family == "synth" or i.name == "drum machine" for i in known)
        if synthetic:
            words.append("electronic")
        elif not any(word in i.name for i in known for word in _ELECTRIC):
            words += ["acoustic", "unplugged"]
        if not any(i.family == "drums" for i in known):
            words += ["no drums", "without drums", "no percussion", "drumless"]
        if not any(i.family == "voice" for i in known):
            words += ["instrumental", "no vocals", "no singing"]
        return words

    def denial(self) -> str:
        return self.pick(self.denials())

    def trait(self) -> str:
        trait = self.pick(self.facts.traits)
        player = self._roles.get(TRAIT_ROLES.get(trait, ""))
        if player and player not in self.said.instruments:
            self.said.instruments.append(player)
        return self.pick(TRAITS.get(trait, (trait,)))

    def colour(self) -> str:
        colour = self.pick(self.facts.colours)
        return self.pick(COLOURS.get(colour, (colour,)))

    def place(self) -> str:
        return self.pick(PLACES.get(self.facts.place, ()))


def join(words: Sequence[str], last: str = " and ") -> str:
    return ", ".join(words[:-1]) + last + words[-1] if len(words) > 1 else "".join(words)


_SAY: dict[str, Callable[[Teller], str]] = {
    "tag": Teller.tag,
    "piece": Teller.piece,
    "music": Teller.music,
    "era": Teller.era,
    "use": Teller.use,
    "occasion": Teller.occasion,
    "instrument": Teller.instrument,
    "instruments": Teller.instruments,
    "band": Teller.band,
    "duo": Teller.duo,
    "mood": Teller.mood,
    "moods": Teller.moods,
    "tempo": Teller.tempo,
    "pace": Teller.pace,
    "verdict": Teller.verdict,
    "figure": Teller.figure,
    "bpm": Teller.bpm,
    "bpm_tag": Teller.bpm_tag,
    "at_bpm": Teller.at_bpm,
    "key": Teller.key,
    "key_tag": Teller.key_tag,
    "mode": Teller.mode,
    "meter": Teller.meter,
    "denial": Teller.denial,
    "trait": Teller.trait,
    "colour": Teller.colour,
    "place": Teller.place,
    "melody": lambda teller: teller.role("melody"),
    "chords": lambda teller: teller.role("chords"),
    "bass": lambda teller: teller.role("bass"),
    "drums": lambda teller: teller.role("drums"),
    "pad": lambda teller: teller.role("pad"),
    "counter": lambda teller: teller.role("counter"),
    "entrant": Teller.entrant,
}
_VERBS: dict[str, Callable[[Teller, str], str]] = {
    # a verb that agrees with the players named last: "{does play}" is "play" or "plays"
    "does": lambda teller, verb: (
        _PLURAL_VERBS.get(verb, verb) if teller._many else verb if verb in _PLURAL_VERBS else verb + "s"
    ),
}


def _has(name: str) -> Callable[[Teller], bool]:
    return lambda teller: bool(getattr(teller.facts, name))


def _role(name: str) -> Callable[[Teller], bool]:
    """Whether the player of a role is known and has not been named yet."""
    return lambda teller: name in teller._roles and teller._roles[name] not in teller.said.instruments


def _always(teller: Teller) -> bool:
    return True


def _has_use(teller: Teller) -> bool:
    words = GENRE_WORDS.get(teller.facts.genre, _NO_WORDS)
    return bool(words.uses) or any(mood in MOOD_USES for mood in teller.facts.moods)


_CAN: dict[str, Callable[[Teller], bool]] = {
    "tag": lambda teller: teller.has_genre,
    "piece": _always,
    "music": _always,
    "era": lambda teller: bool(GENRE_WORDS.get(teller.facts.genre, _NO_WORDS).eras),
    "use": _has_use,
    "occasion": _has_use,
    "instrument": lambda teller: bool(teller._untold()),
    "instruments": lambda teller: bool(teller._untold()),
    "band": lambda teller: len(teller._untold()) > 1,
    "duo": lambda teller: len(teller._untold()) > 1,
    "mood": _has("moods"),
    "moods": _has("moods"),
    **dict.fromkeys(("tempo", "pace", "verdict", "figure", "bpm", "bpm_tag", "at_bpm"), _has("tempo_bpm")),
    **dict.fromkeys(("key", "key_tag", "mode"), _has("key")),
    "meter": _has("meter"),
    "denial": lambda teller: bool(teller.denials()),
    "trait": _has("traits"),
    "colour": _has("colours"),
    "place": lambda teller: teller.facts.place in PLACES,
    **{role: _role(role) for role in ("melody", "chords", "bass", "drums", "pad", "counter")},
    "entrant": lambda teller: bool(teller.facts.entering) and teller.facts.entering[0] not in teller.said.instruments,
    "does": _always,
}
