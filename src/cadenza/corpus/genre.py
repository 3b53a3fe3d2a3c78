"""What a genre is: tempo range, meters, modes, progressions, line-ups and moods of a tradition, as data.

A progression is a line of bars; bars are separated by spaces, two chords within a bar by an underscore. A line-up is a
tuple of lines, each a player with a role; one line-up is drawn per piece. The genres themselves are in `genres_*.py`.
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
    """One tradition.

    `tempo` is the range of the felt beat in beats a minute, `meters` lists as often as it occurs each meter, `minor` is
    the share of minor pieces, and `swell` what the calmest and the strongest section do to the accompaniment: from 0
    (each pattern's calmest row, lightest fill) to 1 (its fullest).
    """

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
    swell: tuple[float, float] = (0.1, 1.0)

    def intensity(self, energy: float) -> float:
        """The intensity, from 0 to 1, of the accompaniment in a section of this energy (0.35 is a breakdown's)."""
        low, high = self.swell
        return low + (high - low) * min(1.0, max(0.0, (energy - 0.35) / 0.65))


def melody(*instruments: str, chance: float = 1.0, level: float = 1.0) -> Line:
    return Line("melody", instruments, (), chance, level)


def chords(instruments: str, patterns: str, chance: float = 1.0, level: float = 0.75) -> Line:
    return Line("chords", tuple(instruments.split(", ")), tuple(patterns.split(", ")), chance, level)


def pad(*instruments: str, chance: float = 1.0, level: float = 0.6) -> Line:
    return Line("pad", instruments, ("held",), chance, level)


def bass(instruments: str, patterns: str, chance: float = 1.0, level: float = 0.9) -> Line:
    return Line("bass", tuple(instruments.split(", ")), tuple(patterns.split(", ")), chance, level)


def drums(instruments: str, patterns: str, chance: float = 1.0, level: float = 0.85) -> Line:
    return Line("drums", tuple(instruments.split(", ")), tuple(patterns.split(", ")), chance, level)


def counter(*instruments: str, chance: float = 1.0, level: float = 0.75) -> Line:
    return Line("counter", instruments, (), chance, level)
