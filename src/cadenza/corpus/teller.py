"""The words of one caption: every method draws a phrase for one fact, or "" where the fact is absent."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.vocabulary import GENRE_NAMES, INSTRUMENT_NAMES, MOOD_WORDS, SPELLINGS, TEMPO_WORDS, USES


@dataclass(frozen=True)
class Facts:
    """What is true of a clip; empty values are unknown or not to be told. `tempo_bpm` counts felt beats a minute."""

    genre: str = ""
    instruments: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    tempo_bpm: float | None = None
    key: str = ""
    meter: str = ""


class Teller:
    """Draws words for facts; every method returns "" where the fact is absent."""

    def __init__(self, facts: Facts, rng: np.random.Generator) -> None:
        self.facts = facts
        self.rng = rng

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.rng.integers(len(options)))] if options else ""

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def plain_or(self, options: Sequence[str], plain: float = 0.5) -> str:
        """The first option with probability `plain`, else any."""
        return options[0] if options and self.chance(plain) else self.pick(options)

    def genre(self) -> str:
        """A noun for the piece, without article: "jazz tune", "solo piano piece"."""
        if self.facts.genre == "solo" or not self.facts.genre:
            return ""
        names = [n for n in GENRE_NAMES.get(self.facts.genre, (self.facts.genre,)) if self.allows(n)]
        return self.plain_or(names or ["piece"], 0.4)

    def allows(self, name: str) -> bool:
        """Whether a genre's name fits what is heard: "piano ballad" needs a piano."""
        for word in ("piano", "guitar", "brass", "acid"):
            if word in name and self.facts.instruments and not any(word in i for i in self.facts.instruments):
                return False
        pace = self.pace()
        if pace is not None and (("slow" in name and pace > 90) or ("jig" in name and self.facts.meter != "6/8")):
            return False
        return not ("reel" in name and self.facts.meter not in ("", "4/4"))

    def pace(self) -> float | None:
        """Beats a minute as felt speed: a dotted beat holds more notes than a plain one."""
        if self.facts.tempo_bpm is None:
            return None
        return self.facts.tempo_bpm * (1.3 if self.facts.meter == "6/8" else 1.0)

    def instruments(self, most: int = 4) -> list[str]:
        """Some or all of the instruments, the first always among them, no word twice."""
        known = list(self.facts.instruments)
        if not known:
            return []
        kept = known[:1] + [i for i in known[1:] if self.chance(0.75)]
        names: list[str] = []
        for instrument in kept[:most]:
            name = self.plain_or(INSTRUMENT_NAMES.get(instrument, (instrument,)), 0.55)
            if name == "fiddle" and self.facts.genre not in ("folk", "celtic", "country", ""):
                name = "violin"
            if name not in names:
                names.append(name)
        return names

    def mood(self) -> str:
        if not self.facts.moods:
            return ""
        mood = self.pick(self.facts.moods)
        return self.plain_or(MOOD_WORDS.get(mood, (mood,)), 0.5)

    def moods(self, most: int = 2) -> list[str]:
        words: list[str] = []
        for _ in range(most):
            word = self.mood()
            if word and word not in words:
                words.append(word)
        return words

    def tempo_adjective(self) -> str:
        pace = self.pace()
        return "" if pace is None else self.plain_or(next(a for limit, a, _ in TEMPO_WORDS if pace < limit), 0.6)

    def tempo_phrase(self) -> str:
        pace = self.pace()
        return "" if pace is None else self.plain_or(next(p for limit, _, p in TEMPO_WORDS if pace < limit), 0.4)

    def bpm(self) -> str:
        if self.facts.tempo_bpm is None:
            return ""
        return f"{self.facts.tempo_bpm:.0f} {self.plain_or(('bpm', 'BPM', 'bpm', 'beats per minute'), 0.6)}"

    def key(self) -> str:
        if not self.facts.key:
            return ""
        tonic, mode = self.facts.key.split()
        return f"{self.plain_or(SPELLINGS.get(tonic, (tonic,)), 0.6)} {mode}"

    def mode(self) -> str:
        return self.facts.key.split()[1] if self.facts.key else ""

    def meter(self) -> str:
        names = {
            "3/4": ("3/4", "3/4 time", "triple time", "three-four"),
            "4/4": ("4/4", "4/4 time"),
            "6/8": ("6/8", "6/8 time"),
        }
        return self.plain_or(names.get(self.facts.meter, (self.facts.meter,)), 0.5) if self.facts.meter else ""

    def use(self) -> str:
        return self.pick(USES.get(self.facts.genre, ()))

    def noun(self, countable: bool = False) -> str:
        """A noun phrase for the piece: its genre, or its solo instrument, or just "piece"."""
        genre = self.genre()
        if genre:
            return genre
        if self.facts.genre == "solo" and len(self.facts.instruments) == 1:
            return self.solo(countable)
        names = self.instruments(1)
        head = self.pick(("piece", "tune", "instrumental", "track", "piece of music"))
        return f"{names[0]} {head}" if names and self.chance(0.5) else head

    def solo(self, countable: bool) -> str:
        """One instrument playing alone; countable names can follow an article."""
        instrument = self.facts.instruments[0]
        name = self.plain_or(INSTRUMENT_NAMES.get(instrument, (instrument,)), 0.6)
        if instrument in ("drums", "rock drums", "percussion", "drum machine", "brushed drums", "marching drums"):
            return self.pick((f"{name} solo", f"{name} groove", f"{name} only", f"{name} loop", f"solo {name}"))
        if countable:
            heads = (
                f"solo {name} piece",
                f"{name} solo",
                f"{name} piece",
                f"{name} tune",
                f"piece for solo {name}",
                f"{name} melody",
            )
            return self.pick(heads)
        return self.pick(
            (
                f"solo {name}",
                f"solo {name}",
                f"{name} solo",
                f"{name} music",
                f"unaccompanied {name}",
                name,
                f"{name} alone",
            )
        )

    def colour(self) -> str:
        """How the music is made as a whole, or what it lacks: "acoustic", "no drums"."""
        known = [INSTRUMENTS[i] for i in self.facts.instruments if i in INSTRUMENTS]
        if not known or len(known) < len(self.facts.instruments):
            return ""
        words = []
        electric = ("electric", "distorted", "bass guitar", "slap", "hammond", "synth", "machine", "acid")
        if any(i.family == "synth" or i.name == "drum machine" for i in known):
            words.append("electronic")
        elif not any(word in i.name for i in known for word in electric):
            words += ["acoustic", "unplugged"]
        if not any(i.family == "drums" for i in known):
            words += ["no drums", "without drums", "no percussion", "drumless"]
        if not any(i.family == "voice" for i in known):
            words += ["instrumental", "no vocals", "no singing"]
        return self.pick(words)

    def tempo_verdict(self) -> str:
        """A word that can follow "the tempo is"."""
        pace = self.pace()
        words = ((66.0, "very slow"), (86.0, "slow"), (112.0, "moderate"), (138.0, "fast"), (1e9, "very fast"))
        return "" if pace is None else next(word for limit, word in words if pace < limit)
