"""The instruments as data: how each is sounded, what it can play, and how loud it sits in a mix."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Family = Literal["keys", "mallets", "organ", "guitar", "bass", "strings", "voice", "brass", "wind", "synth", "drums"]
Envelope = Literal["sustain", "decay"]


@dataclass(frozen=True)
class Instrument:
    """One instrument.

    `sound` is a General MIDI program (0 to 127), a drum kit on channel 10 ("kit 0"), or a voice of our own
    synthesiser ("supersaw"). `low` and `high` bound the MIDI pitches written for it. `envelope` says whether a held
    note keeps sounding. `gain` scales velocities so that instruments balance.
    """

    name: str
    family: Family
    sound: int | str
    low: int
    high: int
    envelope: Envelope = "decay"
    trim_db: float = 0.0


_TABLE: tuple[Instrument, ...] = (
    Instrument("piano", "keys", 0, 28, 96, trim_db=5.9),
    Instrument("electric piano", "keys", 4, 36, 88, trim_db=-1.9),
    Instrument("harpsichord", "keys", 6, 36, 88, trim_db=0.9),
    Instrument("celesta", "mallets", 8, 60, 100, trim_db=1.9),
    Instrument("music box", "mallets", 10, 60, 98, trim_db=2.1),
    Instrument("vibraphone", "mallets", 11, 53, 89, trim_db=5.4),
    Instrument("marimba", "mallets", 12, 45, 91, trim_db=2.7),
    Instrument("organ", "organ", 19, 36, 88, "sustain", trim_db=-0.7),
    Instrument("hammond organ", "organ", 16, 36, 88, "sustain", trim_db=2.6),
    Instrument("accordion", "organ", 21, 48, 86, "sustain", trim_db=3.4),
    Instrument("harmonica", "wind", 22, 60, 91, "sustain", trim_db=0.8),
    Instrument("acoustic guitar", "guitar", 25, 40, 81, trim_db=2.1),
    Instrument("classical guitar", "guitar", 24, 40, 83, trim_db=2.8),
    Instrument("jazz guitar", "guitar", 26, 40, 83, trim_db=-1.3),
    Instrument("electric guitar", "guitar", 27, 40, 84, trim_db=1.6),
    Instrument("distorted guitar", "guitar", 30, 38, 84, "sustain", trim_db=-6.8),
    Instrument("upright bass", "bass", 32, 28, 58, trim_db=2.7),
    Instrument("bass guitar", "bass", 33, 28, 58, trim_db=2.0),
    Instrument("slap bass", "bass", 36, 28, 60, trim_db=5.9),
    Instrument("violin", "strings", 40, 55, 96, "sustain", trim_db=0.4),
    Instrument("viola", "strings", 41, 48, 84, "sustain", trim_db=3.9),
    Instrument("cello", "strings", 42, 36, 76, "sustain", trim_db=3.5),
    Instrument("double bass", "strings", 43, 28, 55, "sustain", trim_db=5.7),
    Instrument("strings", "strings", 48, 36, 93, "sustain", trim_db=3.4),
    Instrument("pizzicato strings", "strings", 45, 36, 86, trim_db=2.4),
    Instrument("harp", "guitar", 46, 36, 96, trim_db=2.4),
    Instrument("choir", "voice", 52, 43, 81, "sustain", trim_db=3.6),
    Instrument("trumpet", "brass", 56, 55, 84, "sustain", trim_db=0.8),
    Instrument("muted trumpet", "brass", 59, 55, 84, "sustain", trim_db=-0.9),
    Instrument("trombone", "brass", 57, 40, 72, "sustain", trim_db=-4.0),
    Instrument("tuba", "brass", 58, 28, 58, "sustain", trim_db=0.6),
    Instrument("french horn", "brass", 60, 41, 77, "sustain", trim_db=-1.7),
    Instrument("brass", "brass", 61, 43, 84, "sustain", trim_db=-0.8),
    Instrument("saxophone", "wind", 66, 44, 80, "sustain", trim_db=-1.8),
    Instrument("oboe", "wind", 68, 58, 89, "sustain", trim_db=-0.7),
    Instrument("clarinet", "wind", 71, 50, 88, "sustain", trim_db=-4.1),
    Instrument("bassoon", "wind", 70, 34, 67, "sustain", trim_db=1.7),
    Instrument("flute", "wind", 73, 60, 96, "sustain", trim_db=-0.7),
    Instrument("piccolo", "wind", 72, 72, 102, "sustain", trim_db=-1.6),
    Instrument("tin whistle", "wind", 78, 67, 98, "sustain", trim_db=-5.5),
    Instrument("pan flute", "wind", 75, 60, 93, "sustain", trim_db=-1.3),
    Instrument("banjo", "guitar", 105, 48, 86, trim_db=4.0),
    Instrument("bagpipes", "wind", 109, 58, 82, "sustain", trim_db=-2.6),
    Instrument("sitar", "guitar", 104, 48, 84, trim_db=5.7),
    Instrument("kalimba", "mallets", 108, 53, 88, trim_db=5.9),
    Instrument("steel drums", "mallets", 114, 55, 88, trim_db=3.6),
    Instrument("glockenspiel", "mallets", 9, 67, 103, trim_db=2.0),
    Instrument("timpani", "drums", 47, 36, 57, trim_db=5.9),
    Instrument("drums", "drums", "kit 0", 35, 81, trim_db=5.9),
    Instrument("rock drums", "drums", "kit 16", 35, 81, trim_db=3.3),
    Instrument("brushed drums", "drums", "kit 40", 35, 81, trim_db=5.9),
    Instrument("drum machine", "drums", "machine", 35, 81, trim_db=-6.3),
    Instrument("marching drums", "drums", "kit 48", 35, 81, trim_db=5.9),
    Instrument("percussion", "drums", "kit 0", 35, 81, trim_db=5.4),
    Instrument("synth lead", "synth", "lead", 52, 91, "sustain", trim_db=-3.6),
    Instrument("synth pad", "synth", "pad", 43, 84, "sustain", trim_db=-1.9),
    Instrument("synth bass", "synth", "bass", 26, 55, "sustain", trim_db=-8.4),
    Instrument("acid bass", "synth", "acid", 26, 60, "sustain", trim_db=-6.5),
    Instrument("synth pluck", "synth", "pluck", 48, 91, trim_db=1.6),
)

INSTRUMENTS: dict[str, Instrument] = {instrument.name: instrument for instrument in _TABLE}


@dataclass(frozen=True)
class Patch:
    """One way to sound an instrument: a General MIDI program, a kit or a voice of our own, and its level correction."""

    sound: int | str
    trim_db: float
    weight: float = 1.0


# Other sounds that a listener calls by the same name: sound, how often beside the first's 1, its level in dB
# beside the first's (measured, one phrase each). Those that the shipped ear rarely recognises alone are rare.
_OTHERS: dict[str, tuple[tuple[int | str, float, float], ...]] = {
    "piano": ((1, 0.45, 0.5), (3, 0.05, 1.2)),
    "electric piano": ((5, 0.25, 4.6),),
    "organ": ((20, 0.06, 1.5),),
    "hammond organ": ((17, 0.1, -5.5), (18, 0.1, -5.3)),
    "accordion": ((23, 0.12, 0.0),),
    "electric guitar": ((28, 0.03, 5.6),),
    "distorted guitar": ((29, 0.2, 2.7),),
    "bass guitar": ((34, 0.6, 0.8), (35, 0.15, -2.8)),
    "slap bass": ((37, 0.7, -2.0),),
    "violin": ((110, 0.25, 0.0),),
    "strings": ((49, 0.6, -2.6), (44, 0.1, -0.3), (50, 0.03, -3.1)),
    "choir": ((53, 0.08, -1.2),),
    "brass": ((62, 0.04, 3.9), (63, 0.04, 5.0)),
    "saxophone": ((65, 0.5, -0.6), (64, 0.04, 0.2)),
    "synth lead": (("square lead", 0.6, 4.1), (80, 0.05, 3.5), (81, 0.15, 4.6)),
    "synth pad": (
        ("warm pad", 0.5, 0.2), (97, 0.2, 7.7), (99, 0.2, 4.1), (95, 0.2, 0.2), (94, 0.1, 3.7), (89, 0.1, 5.8),
        (90, 0.1, 6.6), (103, 0.05, 5.6),
    ),
    "synth bass": (("sub bass", 0.25, 0.3), (38, 0.25, 12.8), (39, 0.1, 5.8)),
    "synth pluck": (("bell pluck", 0.12, -2.2),),
    "drums": (("kit 8", 0.5, -0.8),),
    "drum machine": (("kit 25", 0.12, 3.0),),
}  # fmt: skip


def patches_of(name: str) -> tuple[Patch, ...]:
    """Every way to sound an instrument, the usual one first."""
    first = INSTRUMENTS[name]
    others = (Patch(sound, first.trim_db + trim_db, weight) for sound, weight, trim_db in _OTHERS.get(name, ()))
    return (Patch(first.sound, first.trim_db), *others)


def draw_patch(seed: int, name: str) -> Patch:
    """How an instrument sounds in the piece of a seed: the same in all its parts."""
    patches = patches_of(name)
    number = tuple(INSTRUMENTS).index(name)
    rng = np.random.default_rng(np.random.SeedSequence([0xBA7C, seed, number]))
    weights = np.array([patch.weight for patch in patches])
    return patches[int(rng.choice(len(patches), p=weights / weights.sum()))]
