"""Keys, chords and voice leading: pitch classes in, MIDI pitches out.

Chords are written as Roman numerals, so that one progression serves every key. The case of the numeral gives the
triad ("IV" major, "iv" minor), accidentals are relative to the major scale in both modes ("bVI" in C minor is A flat),
and a slash applies a chord to another degree ("V7/V").
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise, product

PITCH_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
}

QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m6": (0, 3, 7, 9),
    "6": (0, 4, 7, 9),
    "9": (0, 4, 7, 10, 14),
    "m9": (0, 3, 7, 10, 14),
    "maj9": (0, 4, 7, 11, 14),
    "dim": (0, 3, 6),
    "dim7": (0, 3, 6, 9),
    "m7b5": (0, 3, 6, 10),
    "aug": (0, 4, 8),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "5": (0, 7),
    "add9": (0, 4, 7, 14),
    "madd9": (0, 3, 7, 14),
}

_DEGREES = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
_NUMERAL = re.compile(r"^([b#]?)(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)$")


@dataclass(frozen=True)
class Key:
    """A tonic (pitch class, 0 = C) and a mode, "major" or "minor"."""

    tonic: int
    mode: str

    @property
    def name(self) -> str:
        return f"{PITCH_NAMES[self.tonic]} {self.mode}"

    @property
    def scale(self) -> tuple[int, ...]:
        """Pitch classes of the scale (natural minor for minor keys)."""
        return tuple((self.tonic + step) % 12 for step in SCALES[self.mode])

    def pitches(self, scale: str, low: int, high: int) -> list[int]:
        """MIDI pitches of a named scale on this tonic between two pitches, both included."""
        classes = {(self.tonic + step) % 12 for step in SCALES[scale]}
        return [pitch for pitch in range(low, high + 1) if pitch % 12 in classes]


@dataclass(frozen=True)
class Chord:
    """A root (pitch class), its intervals above the root in semitones, and the bass (pitch class)."""

    root: int
    intervals: tuple[int, ...]
    bass: int

    @cached_property
    def classes(self) -> tuple[int, ...]:
        return tuple((self.root + interval) % 12 for interval in self.intervals)

    @property
    def third(self) -> int:
        """Pitch class of the chord's second member: the third, or what is suspended in its place."""
        return self.classes[1]

    @property
    def fifth(self) -> int:
        """Pitch class of the fifth, whichever kind the chord has."""
        return next((self.root + i) % 12 for i in self.intervals if i in (6, 7, 8))


@lru_cache(maxsize=4096)
def chord_from_numeral(numeral: str, key: Key) -> Chord:
    """The chord that a Roman numeral names in a key.

    >>> chord_from_numeral("V7/V", Key(0, "major")).classes
    (2, 6, 9, 0)
    """
    head, _, target = numeral.partition("/")
    base = key.tonic
    if target:
        base = (chord_from_numeral(target, key).root) % 12
    match = _NUMERAL.match(head)
    assert match is not None, f"not a Roman numeral: {numeral!r}"
    accidental, degree, suffix = match.groups()
    root = (base + _DEGREES[degree.lower()] + {"": 0, "b": -1, "#": 1}[accidental]) % 12
    quality = suffix
    if degree.islower():
        quality = suffix if suffix.startswith(("m", "dim")) else "m" + suffix
    return Chord(root, QUALITIES[quality], root)


def nearest_pitch(pitch_class: int, around: int, low: int, high: int) -> int:
    """The pitch of a class nearest to `around` that lies in [low, high] (a range of an octave or more)."""
    candidates = [p for p in range(low, high + 1) if p % 12 == pitch_class % 12]
    assert candidates, f"no pitch of class {pitch_class} in {low}..{high}"
    return min(candidates, key=lambda p: (abs(p - around), p))


@lru_cache(maxsize=65536)
def lead_voices(previous: tuple[int, ...] | None, chord: Chord, count: int, low: int, high: int) -> tuple[int, ...]:
    """Voices for a chord, ascending, with the least total motion from the previous voicing.

    Every voice sings a chord tone; among equally near voicings the more complete one wins. The first voicing sits in
    the middle of the range.

    Args:
        previous: the pitches that sounded before, ascending, or None at the start.
        chord: what to voice.
        count: number of voices, 1 to 5.
        low: lowest pitch allowed.
        high: highest pitch allowed, at least 14 semitones above `low`.
    """
    classes = chord.classes
    if previous is None or len(previous) != count:
        centre = (low + high) // 2
        previous = tuple(int(centre + (i - (count - 1) / 2) * 4) for i in range(count))
    options = []
    for pitch in previous:
        near = sorted((p for p in range(low, high + 1) if p % 12 in classes), key=lambda p: abs(p - pitch))[:4]
        options.append(near)
    essential = set(classes[: min(len(classes), 4)]) - ({chord.fifth} if len(classes) > 3 else set())
    best: tuple[float, tuple[int, ...]] | None = None
    for voicing in product(*options):
        if any(b - a < 1 for a, b in pairwise(voicing)):
            continue
        motion = sum(abs(a - b) for a, b in zip(voicing, previous, strict=True))
        missing = len(essential - {p % 12 for p in voicing}) if count >= len(essential) else 0
        clusters = sum(b - a < 3 for a, b in pairwise(voicing))
        gaps = sum(max(0, b - a - 9) for a, b in pairwise(voicing))
        cost = motion + 3.5 * missing + 1.0 * clusters + 0.5 * gaps
        if best is None or (cost, voicing) < best:
            best = (cost, voicing)
    assert best is not None, f"no voicing of {chord} in {low}..{high}"
    return best[1]
