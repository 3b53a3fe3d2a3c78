"""All genres, and the instruments that also play alone."""

from cadenza.corpus.genre import Genre
from cadenza.corpus.genres_concert import CONCERT
from cadenza.corpus.genres_electronic import ELECTRONIC
from cadenza.corpus.genres_folk import FOLK
from cadenza.corpus.genres_jazz import JAZZ
from cadenza.corpus.genres_popular import POPULAR

GENRES: tuple[Genre, ...] = (*CONCERT, *JAZZ, *POPULAR, *ELECTRONIC, *FOLK)

SOLO_INSTRUMENTS: dict[str, tuple[str, ...]] = {
    "piano": ("ballad", "rising", "rolling", "alberti", "held", "waltz", "stride"),
    "electric piano": ("ballad", "halves", "rising", "held"),
    "acoustic guitar": ("fingers", "strum", "rising"),
    "classical guitar": ("fingers", "rising"),
    "jazz guitar": ("fingers", "comp", "halves"),
    "electric guitar": ("fingers", "strum", "rising"),
    "distorted guitar": ("power", "gallop", "chug"),
    "harp": ("rising", "rolling", "fingers"),
    "organ": ("held", "halves", "beats"),
    "hammond organ": ("held", "halves"),
    "harpsichord": ("alberti", "rising", "beats"),
    "accordion": ("waltz", "march", "halves"),
    "music box": ("rising", "fingers"),
    "vibraphone": ("halves", "held"),
    "marimba": ("motor", "alberti", "rising", "ostinato"),
    "kalimba": ("fingers", "rising"),
    "strings": ("held", "halves"),
    "choir": ("held", "halves"),
    "synth pad": ("held",),
    "synth pluck": ("sixteenths", "rising", "ostinato"),
    "banjo": ("fingers", "rising"),
    "violin": (),
    "cello": (),
    "viola": (),
    "double bass": (),
    "pizzicato strings": ("beats", "ostinato"),
    "flute": (),
    "piccolo": (),
    "oboe": (),
    "clarinet": (),
    "bassoon": (),
    "trumpet": (),
    "muted trumpet": (),
    "trombone": (),
    "french horn": (),
    "brass": ("halves", "march"),
    "saxophone": (),
    "harmonica": (),
    "tin whistle": (),
    "pan flute": (),
    "synth lead": (),
    "bagpipes": (),
    "sitar": (),
    "steel drums": ("halves", "rising"),
    "celesta": ("rising", "halves"),
    "glockenspiel": (),
    "bass guitar": (),
    "upright bass": (),
    "drums": (),
    "rock drums": (),
    "percussion": (),
    "drum machine": (),
    "tuba": (),
}
"""Patterns that each soloist accompanies itself with (none: it plays a single line)."""

_BY_NAME = {genre.name: genre for genre in GENRES}


def intensity_of(genre: str, energy: float) -> float:
    """How intensely (0 to 1) a genre's accompaniment plays in a section of this energy; solos use the whole span."""
    known = _BY_NAME.get(genre)
    return known.intensity(energy) if known else min(1.0, max(0.0, (energy - 0.35) / 0.65))
