"""The genres as data: tempo range, meters, modes, progressions, line-ups and moods of each tradition.

A progression is a line of bars; bars are separated by spaces, two chords within a bar by an underscore. A line-up is a
tuple of lines, each a player with a role; one line-up is drawn per piece.
"""

from dataclasses import dataclass
from typing import Literal

from cadenza.corpus.score import Meter

Role = Literal["melody", "counter", "chords", "pad", "bass", "drums"]

FOUR, THREE, SIX, FIVE = Meter(4), Meter(3), Meter(2, 1.5), Meter(5)


@dataclass(frozen=True)
class Line:
    """One player: its role, the instruments and patterns to draw from, how often it takes part, and its level."""

    role: Role
    instruments: tuple[str, ...]
    patterns: tuple[str, ...] = ()
    chance: float = 1.0
    level: float = 1.0


@dataclass(frozen=True)
class Genre:
    """One tradition. `tempo` is the range of the felt beat in beats a minute; `minor` the share of minor pieces."""

    name: str
    tempo: tuple[float, float]
    meters: tuple[Meter, ...]
    minor: float
    major_progressions: tuple[str, ...]
    minor_progressions: tuple[str, ...]
    lineups: tuple[tuple[Line, ...], ...]
    moods: tuple[str, ...] = ()
    swing: float = 0.5
    density: tuple[float, float] = (0.3, 0.6)
    major_scale: str = "major"
    minor_scale: str = "minor"
    weight: float = 1.0


def _melody(*instruments: str, chance: float = 1.0, level: float = 1.0) -> Line:
    return Line("melody", instruments, (), chance, level)


def _chords(instruments: str, patterns: str, chance: float = 1.0, level: float = 0.75) -> Line:
    return Line("chords", tuple(instruments.split(", ")), tuple(patterns.split(", ")), chance, level)


def _pad(*instruments: str, chance: float = 1.0, level: float = 0.6) -> Line:
    return Line("pad", instruments, ("held",), chance, level)


def _bass(instruments: str, patterns: str, chance: float = 1.0, level: float = 0.9) -> Line:
    return Line("bass", tuple(instruments.split(", ")), tuple(patterns.split(", ")), chance, level)


def _drums(instruments: str, patterns: str, chance: float = 1.0, level: float = 0.85) -> Line:
    return Line("drums", tuple(instruments.split(", ")), tuple(patterns.split(", ")), chance, level)


def _counter(*instruments: str, chance: float = 1.0, level: float = 0.75) -> Line:
    return Line("counter", instruments, (), chance, level)


_POP_MAJOR = ("I V vi IV", "I vi IV V", "I IV vi V", "vi IV I V", "I iii IV V", "I IV I V")
_POP_MINOR = ("i bVI bIII bVII", "i bVII bVI V", "i iv bVI V", "i bVI iv V", "i bIII bVII iv", "i iv i V")
_CLASSIC_MAJOR = ("I V I V", "I IV V I", "I vi ii V", "I IV ii_V I", "I V7/V V I", "I vi IV_V I", "I ii V7 I")
_CLASSIC_MINOR = ("i iv V i", "i V i V", "i bVI iv V", "i iv bVII bIII", "i bVI iidim_V7 i", "i bVII bVI V")
_JAZZ_MAJOR = (
    "ii7 V7 Imaj7 Imaj7",
    "Imaj7 vi7 ii7 V7",
    "Imaj7 VI7 ii7 V7",
    "iii7 VI7 ii7 V7",
    "Imaj7 IVmaj7 iii7_vi7 ii7_V7",
)
_JAZZ_MINOR = ("iim7b5 V7 i7 i7", "i7 iv7 iim7b5 V7", "i7 bVImaj7 iim7b5 V7", "i7 i7 iv7 V7", "im6 bVI7 V7 im6")
_BLUES = ("I7 IV7 I7 I7", "IV7 IV7 I7 I7", "V7 IV7 I7 V7", "I7 I7 IV7 I7_V7")
_BLUES_MINOR = ("i7 iv7 i7 i7", "iv7 iv7 i7 i7", "bVI7 V7 i7 V7")
_HOUSE_MINOR = ("i7 bVImaj7 bIIImaj7 bVII", "i7 iv7 i7 bVII", "i i bVI bVII", "i7 i7 bVImaj7 bVImaj7", "i bVII bVI bVII")
_HOUSE_MAJOR = ("IVmaj7 Imaj7 vi7 V", "I V vi IV", "ii7 iii7 IVmaj7 V", "Imaj7 Imaj7 IVmaj7 IVmaj7")
_AMBIENT_MAJOR = ("Iadd9 Iadd9 IVmaj7 IVmaj7", "Imaj7 Imaj7 iii7 IVmaj7", "Iadd9 vi7 IVmaj7 Iadd9", "Isus2 IVadd9 Isus2 IVadd9")
_AMBIENT_MINOR = ("im9 im9 bVImaj7 bVImaj7", "imadd9 iv7 imadd9 bVImaj7", "i7 bVImaj7 bIIImaj7 bVII", "imadd9 imadd9 bVII bVII")
_FOLK_MAJOR = ("I IV I V", "I V IV I", "I vi IV V", "I I IV V", "I IV V I", "I bVII IV I")
_FOLK_MINOR = ("i bVII i bVII", "i bVI bVII i", "i iv bVII i", "i bIII bVII i", "i bVII bVI bVII")
_EPIC_MINOR = ("i bVI bIII bVII", "i bVI iv V", "i bVII bVI V", "i i bVI bVII", "i bIII bVII iv")
_EPIC_MAJOR = ("I V vi IV", "I IV bVI bVII", "I iii vi IV", "I bVII IV I", "IV V vi I")
_REGGAE_MAJOR = ("I IV I V", "I V vi IV", "I I IV IV", "I ii IV I")
_REGGAE_MINOR = ("i iv i iv", "i bVII i bVII", "i i iv V", "i bVI bVII i")
_LOFI_MAJOR = ("ii9 V9 Imaj9 vi7", "Imaj9 vi7 ii9 V9", "IVmaj7 iii7 ii7 Imaj7", "Imaj7 iii7 IVmaj7 iv7")
_LOFI_MINOR = ("i9 iv9 bVII9 bIIImaj7", "i9 bVImaj7 i9 bVImaj7", "iv9 bVII9 bIIImaj7 i9", "i7 bVImaj7 iim7b5 V7")
_METAL = ("I5 bVI5 bVII5 I5", "I5 I5 bVI5 V5", "I5 bIII5 bVII5 IV5", "I5 I5 bII5 I5", "I5 IV5 bVI5 V5")
_METAL_MAJOR = ("I5 V5 VI5 IV5", "I5 IV5 V5 I5", "I5 bVII5 IV5 I5")
_ROCK_MAJOR = ("I V vi IV", "I IV V IV", "I bVII IV I", "I IV I V", "vi IV I V")
_ROCK_MINOR = ("i bVII bVI bVII", "i bVI bIII bVII", "i iv bVII i", "i bIII iv bVI")

GENRES: tuple[Genre, ...] = (
    Genre(
        "piano ballad", (54, 86), (FOUR, FOUR, THREE, SIX), 0.55, _POP_MAJOR, _POP_MINOR,
        (
            (_melody("piano"), _chords("piano", "ballad, rising, held")),
            (_melody("piano"), _chords("piano", "rising, rolling, ballad")),
            (_melody("piano"), _chords("piano", "ballad, rising"), _pad("strings")),
            (_melody("piano"), _chords("piano", "rising"), _counter("cello", "violin")),
        ),
        ("tender", "romantic", "emotional"), density=(0.15, 0.45), weight=2.0,
    ),
    Genre(
        "classical", (66, 144), (FOUR, THREE, FOUR), 0.45, _CLASSIC_MAJOR, _CLASSIC_MINOR,
        (
            (_melody("violin"), _counter("violin", level=0.7), _pad("viola", level=0.7), _bass("cello", "two, ballad, roots")),
            (_melody("violin"), _chords("strings", "beats, halves"), _bass("cello", "two, roots")),
            (_melody("piano"), _chords("piano", "alberti, alberti, rising")),
            (_melody("flute", "oboe", "clarinet"), _chords("piano", "alberti, beats, rising")),
            (_melody("cello"), _chords("piano", "rising, beats, alberti")),
            (_melody("violin"), _chords("pizzicato strings", "beats, march"), _bass("double bass", "two")),
            (_melody("flute"), _counter("oboe"), _pad("clarinet"), _bass("bassoon", "two, ballad")),
        ),
        ("elegant", "graceful", "refined"), density=(0.35, 0.75), weight=1.4,
    ),
    Genre(
        "baroque", (70, 126), (FOUR, THREE, FOUR), 0.5, _CLASSIC_MAJOR, _CLASSIC_MINOR,
        (
            (_melody("harpsichord"), _counter("harpsichord", level=0.9), _bass("harpsichord", "two, walking, roots", level=1.0)),
            (_melody("organ"), _counter("organ", level=0.9), _bass("organ", "two, roots", level=0.9)),
            (_melody("violin", "oboe", "flute"), _chords("harpsichord", "beats, motor"), _bass("cello", "walking, two")),
            (_melody("trumpet"), _pad("strings"), _chords("harpsichord", "beats"), _bass("cello", "eighths, two")),
        ),
        ("ornate", "stately", "elegant"), density=(0.6, 0.95), weight=1.2,
    ),
    Genre(
        "orchestral", (60, 150), (FOUR, FOUR, THREE, SIX), 0.6, _EPIC_MAJOR, _EPIC_MINOR,
        (
            (_melody("french horn", "trumpet", "brass"), _pad("strings", level=0.8), _chords("strings", "eighths, sixteenths"), _bass("double bass", "roots, eighths"),
             Line("drums", ("timpani",), ("timpani",), 0.8)),
            (_melody("strings"), _pad("choir", level=0.7), _pad("brass", chance=0.6), _bass("double bass", "roots, two"), Line("drums", ("timpani",), ("timpani",), 0.7)),
            (_melody("flute", "oboe", "clarinet"), _chords("harp", "rising, rolling"), _pad("strings"), _bass("double bass", "roots")),
            (_melody("violin", "cello"), _chords("piano", "rising, rolling"), _pad("strings")),
            (_melody("choir"), _pad("strings"), _bass("cello", "roots, two")),
        ),
        ("epic", "cinematic", "dramatic"), density=(0.15, 0.45), weight=1.8,
    ),
    Genre(
        "waltz", (84, 176), (THREE,), 0.4, _CLASSIC_MAJOR, _CLASSIC_MINOR,
        (
            (_melody("violin"), _chords("strings", "waltz"), _bass("double bass", "waltz")),
            (_melody("piano"), _chords("piano", "waltz")),
            (_melody("accordion"), _chords("acoustic guitar", "waltz"), _bass("upright bass", "waltz")),
            (_melody("music box", "celesta"), _chords("harp", "waltz"), _pad("strings", chance=0.5)),
            (_melody("clarinet", "flute"), _chords("piano", "waltz"), _bass("double bass", "waltz")),
        ),
        ("graceful", "dancing", "charming"), density=(0.2, 0.55), weight=1.2,
    ),
    Genre(
        "jazz", (84, 208), (FOUR, FOUR, FOUR, THREE), 0.4, _JAZZ_MAJOR, _JAZZ_MINOR,
        (
            (_melody("piano"), _chords("piano", "comp", level=0.6), _bass("upright bass", "walking"), _drums("brushed drums, drums", "swing")),
            (_melody("saxophone"), _chords("piano", "comp"), _bass("upright bass", "walking"), _drums("drums", "swing")),
            (_melody("muted trumpet", "trumpet"), _chords("piano", "comp"), _bass("upright bass", "walking"), _drums("brushed drums", "swing")),
            (_melody("jazz guitar"), _chords("piano", "comp", 0.4), _bass("upright bass", "walking"), _drums("brushed drums", "swing")),
            (_melody("vibraphone"), _chords("jazz guitar", "comp", 0.6), _bass("upright bass", "walking"), _drums("brushed drums", "swing")),
        ),
        ("smooth", "cool", "sophisticated"), swing=0.64, density=(0.45, 0.8), weight=1.5,
    ),
    Genre(
        "bossa nova", (104, 148), (FOUR,), 0.4, _JAZZ_MAJOR, _JAZZ_MINOR,
        (
            (_melody("flute", "saxophone"), _chords("classical guitar", "bossa"), _bass("upright bass", "bossa"), _drums("drums", "bossa")),
            (_melody("piano", "vibraphone"), _chords("classical guitar", "bossa"), _bass("upright bass", "bossa"), _drums("drums", "bossa")),
            (_melody("classical guitar"), _chords("classical guitar", "bossa"), _drums("percussion", "bossa", 0.6)),
        ),
        ("breezy", "relaxed", "sunny"), density=(0.3, 0.6),
    ),
    Genre(
        "latin", (92, 132), (FOUR,), 0.5, _POP_MAJOR, _POP_MINOR,
        (
            (_melody("trumpet", "brass"), _chords("piano", "stabs, bossa"), _bass("bass guitar", "bossa"), _drums("percussion", "latin, samba")),
            (_melody("flute", "piano"), _chords("piano", "stabs, bossa"), _bass("upright bass", "bossa"), _drums("percussion", "latin")),
            (_melody("classical guitar"), _chords("classical guitar", "bossa, funk"), _drums("percussion", "latin")),
            (_melody("steel drums"), _chords("acoustic guitar", "bossa"), _bass("bass guitar", "bossa"), _drums("percussion", "samba, latin")),
        ),
        ("festive", "passionate", "rhythmic"), density=(0.4, 0.75),
    ),
    Genre(
        "blues", (62, 132), (FOUR,), 0.35, _BLUES, _BLUES_MINOR,
        (
            (_melody("electric guitar"), _chords("piano, hammond organ", "comp, beats"), _bass("bass guitar", "shuffle, walking"), _drums("drums", "shuffle")),
            (_melody("harmonica"), _chords("acoustic guitar", "beats, strum"), _bass("upright bass", "shuffle"), _drums("drums", "shuffle", 0.6)),
            (_melody("piano"), _chords("piano", "beats, comp"), _bass("upright bass", "walking, shuffle"), _drums("drums", "shuffle", 0.7)),
            (_melody("saxophone"), _chords("hammond organ", "comp"), _bass("bass guitar", "walking, shuffle"), _drums("drums", "shuffle")),
        ),
        ("soulful", "gritty", "laid-back"), swing=0.65, density=(0.35, 0.65), major_scale="blues", minor_scale="blues", weight=1.2,
    ),
    Genre(
        "rock", (92, 168), (FOUR,), 0.45, _ROCK_MAJOR, _ROCK_MINOR,
        (
            (_melody("electric guitar"), _chords("distorted guitar", "power, eighths", level=0.6), _bass("bass guitar", "rock, eighths"), _drums("rock drums", "rock")),
            (_chords("distorted guitar", "power, eighths", level=0.8), _bass("bass guitar", "eighths, rock"), _drums("rock drums", "rock")),
            (_melody("distorted guitar", level=0.8), _chords("electric guitar", "eighths, strum"), _bass("bass guitar", "rock"), _drums("rock drums", "rock")),
            (_melody("electric guitar"), _chords("hammond organ", "halves, held", level=0.6), _bass("bass guitar", "rock"), _drums("drums", "rock")),
        ),
        ("energetic", "driving", "powerful"), density=(0.3, 0.6), major_scale="major pentatonic", minor_scale="minor pentatonic", weight=1.3,
    ),
    Genre(
        "metal", (120, 190), (FOUR,), 0.95, _METAL_MAJOR, _METAL,
        (
            (_melody("distorted guitar", level=0.8), _chords("distorted guitar", "gallop, chug, power", level=0.8), _bass("bass guitar", "eighths"), _drums("rock drums", "metal")),
            (_chords("distorted guitar", "gallop, chug, power"), _bass("bass guitar", "eighths"), _drums("rock drums", "metal")),
        ),
        ("aggressive", "heavy", "intense"), density=(0.5, 0.9), weight=0.8,
    ),
    Genre(
        "funk", (92, 120), (FOUR,), 0.6, ("I7 I7 IV7 I7", "I9 IV9 I9 IV9", "I7 IV7 I7 V7"), ("i7 iv7 i7 iv7", "i7 IV7 i7 IV7", "i7 i7 bVII bVI"),
        (
            (_melody("brass", "saxophone"), _chords("electric guitar", "funk"), _bass("slap bass", "funk"), _drums("drums", "funk")),
            (_melody("electric piano"), _chords("electric guitar", "funk"), _bass("bass guitar, slap bass", "funk"), _drums("drums", "funk")),
            (_chords("hammond organ", "stabs, funk"), _chords("electric guitar", "funk", level=0.6), _bass("slap bass", "funk"), _drums("drums", "funk")),
        ),
        ("groovy", "funky", "playful"), density=(0.4, 0.75), minor_scale="dorian", major_scale="mixolydian",
    ),
    Genre(
        "disco", (110, 128), (FOUR,), 0.55, _HOUSE_MAJOR, _HOUSE_MINOR,
        (
            (_melody("strings", "brass"), _chords("electric guitar", "funk, offbeat"), _bass("bass guitar", "disco"), _drums("drums", "disco")),
            (_melody("trumpet", "strings"), _chords("electric piano", "stabs, offbeat"), _bass("bass guitar", "disco"), _drums("drums", "disco")),
        ),
        ("groovy", "danceable", "glamorous"), density=(0.3, 0.6),
    ),
    Genre(
        "lo-fi hip hop", (68, 92), (FOUR,), 0.5, _LOFI_MAJOR, _LOFI_MINOR,
        (
            (_melody("electric piano", "vibraphone", chance=0.6, level=0.8), _chords("electric piano", "chopped, held, halves"), _bass("upright bass, bass guitar", "lofi"), _drums("drum machine", "lofi, hip hop")),
            (_melody("jazz guitar", chance=0.7), _chords("electric piano", "chopped, held"), _bass("bass guitar", "lofi"), _drums("drum machine", "lofi")),
            (_melody("piano", chance=0.7), _chords("piano", "chopped, held, halves"), _bass("upright bass", "lofi"), _drums("drum machine", "lofi, hip hop")),
        ),
        ("chill", "mellow", "nostalgic"), swing=0.58, density=(0.2, 0.45), weight=1.4,
    ),
    Genre(
        "hip hop", (78, 102), (FOUR,), 0.75, _POP_MAJOR, _POP_MINOR,
        (
            (_chords("piano", "chopped, halves, rising"), _bass("synth bass", "lofi, roots"), _drums("drum machine", "hip hop, trap")),
            (_melody("flute", "music box", "synth pluck"), _pad("strings", "synth pad"), _bass("synth bass", "lofi"), _drums("drum machine", "trap, hip hop")),
        ),
        ("confident", "urban", "moody"), density=(0.25, 0.5),
    ),
    Genre(
        "house", (118, 130), (FOUR,), 0.6, _HOUSE_MAJOR, _HOUSE_MINOR,
        (
            (_chords("piano", "stabs, offbeat"), _bass("synth bass", "house"), _drums("drum machine", "house")),
            (_melody("synth lead", chance=0.6), _chords("synth pluck", "stabs, sixteenths"), _pad("synth pad", level=0.7), _bass("synth bass", "house"), _drums("drum machine", "house")),
            (_chords("electric piano", "stabs, offbeat"), _pad("synth pad", "strings"), _bass("synth bass", "house"), _drums("drum machine", "house")),
        ),
        ("danceable", "uplifting", "energetic"), density=(0.3, 0.55), weight=1.2,
    ),
    Genre(
        "techno", (124, 146), (FOUR,), 0.95, _HOUSE_MAJOR, ("i i i i", "i i bII i", "i i bVI i", "i i iv i"),
        (
            (_bass("acid bass", "acid", level=1.0), _drums("drum machine", "techno")),
            (_bass("acid bass", "acid"), _pad("synth pad"), _drums("drum machine", "techno, house")),
            (_chords("synth pluck", "sixteenths, stabs"), _bass("synth bass", "house, synthwave"), _drums("drum machine", "techno")),
        ),
        ("hypnotic", "dark", "driving"), density=(0.3, 0.5), weight=1.2,
    ),
    Genre(
        "trance", (130, 142), (FOUR,), 0.75, _EPIC_MAJOR, _EPIC_MINOR,
        (
            (_melody("synth lead"), _chords("synth pluck", "sixteenths"), _pad("synth pad"), _bass("synth bass", "house"), _drums("drum machine", "house")),
            (_chords("synth lead", "stabs"), _bass("synth bass", "house"), _drums("drum machine", "house")),
        ),
        ("euphoric", "uplifting", "energetic"), density=(0.4, 0.7),
    ),
    Genre(
        "synthwave", (84, 118), (FOUR,), 0.75, _POP_MAJOR, _EPIC_MINOR,
        (
            (_melody("synth lead"), _pad("synth pad"), _bass("synth bass", "synthwave"), _drums("drum machine", "synthwave")),
            (_chords("synth pluck", "sixteenths, rising"), _pad("synth pad"), _bass("synth bass", "synthwave"), _drums("drum machine", "synthwave")),
        ),
        ("retro", "nostalgic", "neon"), density=(0.2, 0.45), weight=1.2,
    ),
    Genre(
        "ambient", (50, 80), (FOUR, FOUR, SIX), 0.5, _AMBIENT_MAJOR, _AMBIENT_MINOR,
        (
            (_pad("synth pad", level=1.0),),
            (_pad("synth pad", level=0.9), _melody("piano", "vibraphone", "celesta", level=0.8)),
            (_pad("choir", "strings", level=0.9), _pad("synth pad")),
            (_pad("synth pad", level=0.8), _chords("harp, electric piano, kalimba", "rising", level=0.6)),
        ),
        ("dreamy", "ethereal", "meditative"), density=(0.02, 0.2), weight=1.4,
    ),
    Genre(
        "country", (88, 152), (FOUR, FOUR, THREE), 0.2, _FOLK_MAJOR, _FOLK_MINOR,
        (
            (_melody("banjo"), _chords("acoustic guitar", "strum, march"), _bass("upright bass", "country"), _drums("drums", "country", 0.7)),
            (_melody("violin"), _chords("acoustic guitar", "strum"), _bass("upright bass", "country"), _drums("drums", "country")),
            (_melody("electric guitar", "harmonica"), _chords("acoustic guitar", "strum"), _bass("bass guitar", "country"), _drums("drums", "country")),
        ),
        ("rustic", "cheerful", "warm"), density=(0.4, 0.8), major_scale="major pentatonic", minor_scale="minor pentatonic",
    ),
    Genre(
        "folk", (72, 128), (FOUR, THREE, FOUR), 0.4, _FOLK_MAJOR, _FOLK_MINOR,
        (
            (_chords("acoustic guitar", "fingers, strum", level=1.0),),
            (_melody("acoustic guitar"), _chords("acoustic guitar", "fingers", level=0.8)),
            (_melody("flute", "violin", "harmonica", "accordion"), _chords("acoustic guitar", "fingers, strum")),
            (_melody("pan flute", "flute"), _chords("acoustic guitar", "fingers"), _drums("percussion", "bodhran", 0.6)),
        ),
        ("warm", "intimate", "rustic"), density=(0.25, 0.55), weight=1.4,
    ),
    Genre(
        "reggae", (64, 92), (FOUR,), 0.45, _REGGAE_MAJOR, _REGGAE_MINOR,
        (
            (_melody("hammond organ", "trombone", "saxophone", chance=0.7), _chords("electric guitar", "skank"), _bass("bass guitar", "reggae", level=1.0), _drums("drums", "reggae")),
            (_chords("piano, hammond organ", "skank"), _chords("electric guitar", "skank", 0.7, 0.6), _bass("bass guitar", "reggae", level=1.0), _drums("drums", "reggae")),
        ),
        ("laid-back", "sunny", "relaxed"), density=(0.25, 0.5),
    ),
    Genre(
        "celtic", (92, 128), (SIX, SIX, FOUR), 0.45, _FOLK_MAJOR, _FOLK_MINOR,
        (
            (_melody("tin whistle", "flute"), _chords("acoustic guitar", "strum"), _drums("percussion", "bodhran", 0.8)),
            (_melody("violin"), _chords("acoustic guitar", "strum, fingers"), _drums("percussion", "bodhran", 0.8)),
            (_melody("harp"), _chords("harp", "fingers, rising", level=0.7)),
            (_melody("bagpipes", level=0.9), Line("pad", ("bagpipes",), ("drone",), 1.0, 0.5), _drums("marching drums", "bodhran, march", 0.6)),
            (_melody("accordion"), _chords("acoustic guitar", "strum"), _bass("upright bass", "country", 0.6), _drums("percussion", "bodhran")),
        ),
        ("lively", "joyful", "rustic"), density=(0.7, 0.98), minor_scale="dorian", weight=1.2,
    ),
    Genre(
        "march", (100, 132), (FOUR, FOUR, SIX), 0.2, _CLASSIC_MAJOR, _CLASSIC_MINOR,
        (
            (_melody("trumpet", "brass"), _counter("trombone", "french horn"), _chords("brass", "march", level=0.6), _bass("tuba", "march"), _drums("marching drums", "march", level=0.65)),
            (_melody("piccolo", "flute"), _chords("brass", "march"), _bass("tuba", "march"), _drums("marching drums", "march", level=0.65)),
        ),
        ("triumphant", "proud", "ceremonial"), density=(0.4, 0.7), weight=0.7,
    ),
    Genre(
        "children's music", (96, 140), (FOUR, THREE, SIX), 0.1, _CLASSIC_MAJOR, _CLASSIC_MINOR,
        (
            (_melody("glockenspiel", "marimba", "music box"), _chords("acoustic guitar", "strum, fingers")),
            (_melody("flute", "clarinet"), _chords("pizzicato strings", "march, beats"), _bass("bassoon, tuba", "march")),
            (_melody("marimba", "kalimba"), _chords("piano", "march, alberti")),
        ),
        ("playful", "innocent", "cheerful"), density=(0.35, 0.65), weight=0.8,
    ),
)

SOLO_INSTRUMENTS: dict[str, tuple[str, ...]] = {
    "piano": ("ballad", "rising", "rolling", "alberti", "held", "waltz"),
    "electric piano": ("ballad", "halves", "rising", "held"),
    "acoustic guitar": ("fingers", "strum", "rising"),
    "classical guitar": ("fingers", "rising"),
    "jazz guitar": ("fingers", "comp", "halves"),
    "electric guitar": ("fingers", "strum", "rising"),
    "distorted guitar": ("power", "gallop"),
    "harp": ("rising", "rolling", "fingers"),
    "organ": ("held", "halves", "beats"),
    "hammond organ": ("held", "halves"),
    "harpsichord": ("alberti", "rising", "beats"),
    "accordion": ("waltz", "march", "halves"),
    "music box": ("rising", "fingers"),
    "vibraphone": ("halves", "held"),
    "marimba": ("motor", "alberti", "rising"),
    "kalimba": ("fingers", "rising"),
    "strings": ("held", "halves"),
    "choir": ("held", "halves"),
    "synth pad": ("held",),
    "synth pluck": ("sixteenths", "rising"),
    "banjo": ("fingers", "rising"),
    "violin": (), "cello": (), "viola": (), "flute": (), "oboe": (), "clarinet": (), "bassoon": (), "trumpet": (), "muted trumpet": (),
    "trombone": (), "french horn": (), "saxophone": (), "harmonica": (), "tin whistle": (), "pan flute": (), "synth lead": (),
    "bagpipes": (), "sitar": (), "steel drums": ("halves", "rising"), "celesta": ("rising", "halves"), "glockenspiel": (),
    "bass guitar": (), "upright bass": (), "drums": (), "rock drums": (), "percussion": (), "drum machine": (), "tuba": (),
}
"""Instruments that also play alone, with the patterns they accompany themselves with (none: a single line)."""
