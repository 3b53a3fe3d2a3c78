"""Keys, chords and voice leading: pitch classes in, MIDI pitches out.

Chords are written as Roman numerals, so that one progression serves every key. The case of the numeral gives the
triad ("IV" major, "iv" minor), accidentals are relative to the major scale in both modes ("bVI" in C minor is A flat),
a slash applies a chord to another degree ("V7/V"), and "^3" or "^5" puts the third or the fifth into the bass ("V^3").
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations, pairwise, product

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

_DEGREE_NAMES = ("I", "bII", "II", "bIII", "III", "IV", "bV", "V", "bVI", "VI", "bVII", "VII")
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

    @property
    def relative(self) -> "Key":
        """The key with the same notes and the other mode."""
        return Key((self.tonic + 9) % 12, "minor") if self.mode == "major" else Key((self.tonic + 3) % 12, "major")

    def moved(self, semitones: int) -> "Key":
        """The key of the same mode some semitones higher."""
        return Key((self.tonic + semitones) % 12, self.mode)

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
    numeral, _, member = numeral.partition("^")
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
    chord = Chord(root, QUALITIES[quality], root)
    return Chord(root, chord.intervals, {"": root, "3": chord.third, "5": chord.fifth}[member])


def dominant_of(goal: Key, seen_from: Key) -> str:
    """The numeral, read in the key `seen_from`, of the dominant seventh that leads into the key `goal`."""
    degree = (goal.tonic - seen_from.tonic) % 12
    return f"V7/{_DEGREE_NAMES[degree]}" if degree else "V7"


def nearest_pitch(pitch_class: int, around: int, low: int, high: int) -> int:
    """The pitch of a class nearest to `around` that lies in [low, high] (a range of an octave or more)."""
    candidates = [p for p in range(low, high + 1) if p % 12 == pitch_class % 12]
    assert candidates, f"no pitch of class {pitch_class} in {low}..{high}"
    return min(candidates, key=lambda p: (abs(p - around), p))


def count_parallels(before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """Pairs of voices that move from a perfect fifth or octave to the same interval, in the same direction."""
    return sum(
        before[low] != after[low]
        and (before[high] - before[low]) % 12 in (0, 7)
        and before[high] - before[low] == after[high] - after[low]
        for low, high in combinations(range(len(before)), 2)
    )


@lru_cache(maxsize=65536)
def lead_voices(previous: tuple[int, ...] | None, chord: Chord, count: int, low: int, high: int) -> tuple[int, ...]:
    """Voices for a chord, ascending, with the least total motion from the previous voicing.

    Every voice sings a chord tone; among equally near voicings the more complete one wins, and parallel fifths and
    octaves are avoided. The first voicing sits in the middle of the range.

    Args:
        previous: the pitches that sounded before, ascending, or None at the start.
        chord: what to voice.
        count: number of voices, 1 to 5.
        low: lowest pitch allowed.
        high: highest pitch allowed, at least 14 semitones above `low`.
    """
    classes = chord.classes
    first = previous is None or len(previous) != count
    if previous is None or len(previous) != count:
        centre = (low + high) // 2
        previous = tuple(int(centre + (i - (count - 1) / 2) * 4) for i in range(count))
    options = []
    for pitch in previous:
        near = sorted((p for p in range(low, high + 1) if p % 12 in classes), key=lambda p: abs(p - pitch))[:4]
        options.append(near)
    essential = set(classes[: min(len(classes), 4)]) - ({chord.fifth} if len(classes) > 3 else set())
    complete = len(essential) if count >= len(essential) else 0
    best: tuple[float, tuple[int, ...]] | None = None
    for voicing in product(*options):
        gaps = [b - a for a, b in pairwise(voicing)]
        if gaps and min(gaps) < 1:
            continue
        cost = float(sum([abs(a - b) for a, b in zip(voicing, previous, strict=True)]))
        if best is not None and cost > best[0]:
            continue
        missing = len(essential - {p % 12 for p in voicing}) if complete else 0
        cost += 3.5 * missing + sum([1.0 if gap < 3 else 0.5 * max(0, gap - 9) for gap in gaps])
        if best is not None and cost > best[0]:
            continue
        if not first:
            cost += 12.0 * count_parallels(previous, voicing)
        if best is None or (cost, voicing) < best:
            best = (cost, voicing)
    assert best is not None, f"no voicing of {chord} in {low}..{high}"
    return best[1]
