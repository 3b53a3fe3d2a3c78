"""Guitar chords that a hand can hold: a chord in, the pitches of a shape on six strings out.

All shapes within four frets are searched, in standard tuning: open chords, barre chords, four-string shells and bare
fifths. A shape has the chord's bass on its lowest string and needs at most four fingers, one of which may lie across
the strings. Successive chords take the shape nearest to the last one.
"""

from functools import lru_cache
from itertools import product

from cadenza.corpus.theory import Chord

TUNING = (40, 45, 50, 55, 59, 64)
GUITARS = ("acoustic guitar", "classical guitar", "jazz guitar", "electric guitar", "distorted guitar")
_FULL = ((0, 1, 2, 3, 4, 5), (1, 2, 3, 4, 5), (2, 3, 4, 5), (0, 1, 2, 3, 4), (1, 2, 3, 4))
_SHELLS = ((0, 2, 3, 4), (1, 2, 3, 4), (2, 3, 4, 5))
_FIFTHS = ((0, 1, 2), (1, 2, 3), (2, 3, 4))
_SPAN = 3
_HIGHEST_WINDOW = 9

Shape = tuple[tuple[int, int], ...]
"""(string, fret) pairs, from the lowest string up."""


@lru_cache(maxsize=4096)
def shapes(chord: Chord, shells: bool = False) -> tuple[Shape, ...]:
    """All playable shapes of a chord; if none has its bass lowest, those with any member lowest.

    Args:
        shells: four strings, as jazz guitarists play; else as many as sound.
    """
    found = _search(chord, shells, (chord.bass,)) or _search(chord, shells, chord.classes)
    assert found, f"no shape for {chord}"
    return found


def _search(chord: Chord, shells: bool, lowest: tuple[int, ...]) -> tuple[Shape, ...]:
    members = set(chord.classes)
    # The fifth may go where there are four or more members, and beside a bass that the left hand has to reach for.
    needed = members - {chord.fifth} - ({chord.root} if len(members) > 4 else set())
    found: dict[Shape, None] = {}
    for window in range(_HIGHEST_WINDOW + 1):
        for strings in _FIFTHS if len(members) == 2 else _SHELLS if shells else _FULL:
            options = [
                [
                    fret
                    for fret in range(window, window + _SPAN + 1)
                    if (TUNING[string] + fret) % 12 in (lowest if i == 0 else members)
                ]
                for i, string in enumerate(strings)
            ]
            for frets in product(*options):
                sounding = {(TUNING[string] + fret) % 12 for string, fret in zip(strings, frets, strict=True)}
                if needed <= sounding and can_hold(frets):
                    found[tuple(zip(strings, frets, strict=True))] = None
    return tuple(found)


def can_hold(frets: tuple[int, ...]) -> bool:
    """Whether four fingers hold these frets: at most four notes, or three above a finger across all strings."""
    pressed = [fret for fret in frets if fret > 0]
    if len(pressed) <= 4:
        return True
    return len(pressed) == len(frets) and sum(fret > min(pressed) for fret in pressed) <= 3


def pitches(shape: Shape) -> tuple[int, ...]:
    """MIDI pitches from the lowest string up (on close strings they may cross)."""
    return tuple(TUNING[string] + fret for string, fret in shape)


@lru_cache(maxsize=65536)
def fret_chord(previous: tuple[int, ...] | None, chord: Chord, shells: bool = False) -> tuple[int, ...]:
    """Ascending pitches of the shape nearest to the previous pitches; at first, one low on the neck."""

    def cost(shape: Shape) -> float:
        sounding = sorted(pitches(shape))
        position = min((fret for _, fret in shape if fret > 0), default=0)
        total = 0.4 * position + 1.2 * (6 - len(shape)) + 0.2 * sum(fret > 0 for _, fret in shape)
        if previous is not None:
            total += 0.9 * abs(sounding[-1] - previous[-1]) + 0.2 * abs(sounding[0] - previous[0])
        return total

    return tuple(sorted(set(pitches(min(shapes(chord, shells), key=lambda s: (cost(s), s))))))
