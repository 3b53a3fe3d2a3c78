"""The instruments as data: how each is sounded, what it can play, and how loud it sits in a mix."""

from dataclasses import dataclass
from typing import Literal

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
    gain: float = 1.0


_TABLE: tuple[Instrument, ...] = (
    Instrument("piano", "keys", 0, 28, 96),
    Instrument("electric piano", "keys", 4, 36, 88, gain=1.05),
    Instrument("harpsichord", "keys", 6, 36, 88, gain=1.0),
    Instrument("celesta", "mallets", 8, 60, 100, gain=1.1),
    Instrument("music box", "mallets", 10, 60, 98, gain=1.15),
    Instrument("vibraphone", "mallets", 11, 53, 89, gain=1.1),
    Instrument("marimba", "mallets", 12, 45, 91, gain=1.15),
    Instrument("organ", "organ", 19, 36, 88, "sustain", 0.8),
    Instrument("hammond organ", "organ", 16, 36, 88, "sustain", 0.8),
    Instrument("accordion", "organ", 21, 48, 86, "sustain", 0.85),
    Instrument("harmonica", "wind", 22, 60, 91, "sustain", 0.95),
    Instrument("acoustic guitar", "guitar", 25, 40, 81, gain=1.1),
    Instrument("classical guitar", "guitar", 24, 40, 83, gain=1.15),
    Instrument("jazz guitar", "guitar", 26, 40, 83, gain=1.1),
    Instrument("electric guitar", "guitar", 27, 40, 84, gain=1.05),
    Instrument("distorted guitar", "guitar", 30, 38, 84, "sustain", 0.8),
    Instrument("upright bass", "bass", 32, 28, 58, gain=1.15),
    Instrument("bass guitar", "bass", 33, 28, 58, gain=1.05),
    Instrument("slap bass", "bass", 36, 28, 60, gain=1.0),
    Instrument("violin", "strings", 40, 55, 96, "sustain", 1.0),
    Instrument("viola", "strings", 41, 48, 84, "sustain", 1.0),
    Instrument("cello", "strings", 42, 36, 76, "sustain", 1.0),
    Instrument("double bass", "strings", 43, 28, 55, "sustain", 1.0),
    Instrument("strings", "strings", 48, 36, 93, "sustain", 0.9),
    Instrument("pizzicato strings", "strings", 45, 36, 86, gain=1.1),
    Instrument("harp", "guitar", 46, 36, 96, gain=1.1),
    Instrument("choir", "voice", 52, 43, 81, "sustain", 0.95),
    Instrument("trumpet", "brass", 56, 55, 84, "sustain", 0.95),
    Instrument("muted trumpet", "brass", 59, 55, 84, "sustain", 1.0),
    Instrument("trombone", "brass", 57, 40, 72, "sustain", 0.95),
    Instrument("tuba", "brass", 58, 28, 58, "sustain", 1.0),
    Instrument("french horn", "brass", 60, 41, 77, "sustain", 1.0),
    Instrument("brass", "brass", 61, 43, 84, "sustain", 0.9),
    Instrument("saxophone", "wind", 66, 44, 80, "sustain", 0.95),
    Instrument("oboe", "wind", 68, 58, 89, "sustain", 0.95),
    Instrument("clarinet", "wind", 71, 50, 88, "sustain", 0.95),
    Instrument("bassoon", "wind", 70, 34, 67, "sustain", 1.0),
    Instrument("flute", "wind", 73, 60, 96, "sustain", 1.0),
    Instrument("piccolo", "wind", 72, 72, 102, "sustain", 0.85),
    Instrument("tin whistle", "wind", 78, 67, 98, "sustain", 0.9),
    Instrument("pan flute", "wind", 75, 60, 93, "sustain", 1.0),
    Instrument("banjo", "guitar", 105, 48, 86, gain=1.1),
    Instrument("bagpipes", "wind", 109, 58, 82, "sustain", 0.75),
    Instrument("sitar", "guitar", 104, 48, 84, gain=1.05),
    Instrument("kalimba", "mallets", 108, 53, 88, gain=1.15),
    Instrument("steel drums", "mallets", 114, 55, 88, gain=1.05),
    Instrument("glockenspiel", "mallets", 9, 67, 103, gain=0.95),
    Instrument("timpani", "drums", 47, 36, 57, gain=1.1),
    Instrument("drums", "drums", "kit 0", 35, 81, gain=1.0),
    Instrument("rock drums", "drums", "kit 16", 35, 81, gain=1.0),
    Instrument("brushed drums", "drums", "kit 40", 35, 81, gain=1.05),
    Instrument("drum machine", "drums", "machine", 35, 81, gain=1.0),
    Instrument("marching drums", "drums", "kit 48", 35, 81, gain=1.1),
    Instrument("percussion", "drums", "kit 0", 35, 81, gain=1.1),
    Instrument("synth lead", "synth", "lead", 52, 91, "sustain", 1.0),
    Instrument("synth pad", "synth", "pad", 43, 84, "sustain", 1.0),
    Instrument("synth bass", "synth", "bass", 26, 55, "sustain", 1.0),
    Instrument("acid bass", "synth", "acid", 26, 60, "sustain", 1.0),
    Instrument("synth pluck", "synth", "pluck", 48, 91, gain=1.0),
)

INSTRUMENTS: dict[str, Instrument] = {instrument.name: instrument for instrument in _TABLE}
