"""What the composer writes and the renderer plays: a score of parts made of notes.

Positions and durations are in quarter notes from the start of the piece; tempo is the felt beat (a dotted quarter in
6/8). Everything is frozen: a score is a value, equal to any other made from the same seed.
"""

from dataclasses import dataclass

from cadenza.corpus.theory import Key


@dataclass(frozen=True)
class Meter:
    """Beats in a bar, and the length of a beat in quarter notes."""

    beats: int
    beat_quarters: float = 1.0

    @property
    def bar_quarters(self) -> float:
        return self.beats * self.beat_quarters

    @property
    def middle_quarters(self) -> float:
        """Where the second half of a bar begins: on a beat (the third of 4/4 and 3/4, the fourth of 5/4)."""
        return (self.beats + 1) // 2 * self.beat_quarters

    @property
    def name(self) -> str:
        return f"{self.beats}/4" if self.beat_quarters == 1.0 else f"{self.beats * 3}/8"


@dataclass(frozen=True)
class Note:
    """One note: start and duration in quarter notes, MIDI pitch (or drum key) and velocity 1 to 127."""

    start: float
    duration: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Part:
    """One player: an instrument, its role, its notes by start, and its fader (amplitude is the fader's square)."""

    instrument: str
    role: str
    notes: tuple[Note, ...]
    level: float = 1.0


@dataclass(frozen=True)
class Section:
    """A stretch of bars with one function, one key and one energy (0 a single quiet player, 1 everyone at full force).

    `numerals` holds two chords for each bar, read in the section's key; "" holds the chord before it.
    """

    name: str
    first_bar: int
    num_bars: int
    numerals: tuple[str, ...]
    key: Key
    energy: float = 0.6


@dataclass(frozen=True)
class Score:
    """A whole piece with its ground truth."""

    seed: int
    genre: str
    tempo_bpm: float
    key: Key
    meter: Meter
    moods: tuple[str, ...]
    sections: tuple[Section, ...]
    parts: tuple[Part, ...]

    @property
    def num_bars(self) -> int:
        return sum(section.num_bars for section in self.sections)

    @property
    def seconds_per_quarter(self) -> float:
        return 60.0 / (self.tempo_bpm * self.meter.beat_quarters)

    @property
    def bar_seconds(self) -> float:
        return self.meter.bar_quarters * self.seconds_per_quarter

    @property
    def duration_seconds(self) -> float:
        """Length of all bars, without the tail of the last notes."""
        return self.num_bars * self.bar_seconds

    def key_between(self, start_seconds: float, end_seconds: float) -> Key:
        """The key that lasts longest in a window (the earliest of equals; the last section's key beyond the end)."""
        lasting: dict[Key, float] = {}
        for section in self.sections:
            begin = section.first_bar * self.bar_seconds
            inside = min(begin + section.num_bars * self.bar_seconds, end_seconds) - max(begin, start_seconds)
            if inside > 1e-9:
                lasting[section.key] = lasting.get(section.key, 0.0) + inside
        return max(lasting, key=lambda key: lasting[key]) if lasting else self.sections[-1].key

    def instruments_between(self, start_seconds: float, end_seconds: float, least_share: float = 0.15) -> list[str]:
        """Names of the instruments heard in a window, loudest role first, each once.

        An instrument counts when its notes cover at least `least_share` of the window, or when it strikes at least
        one note every two seconds (drums, plucked strings).
        """
        heard: list[str] = []
        scale = self.seconds_per_quarter
        for part in self.parts:
            covered, strikes = 0.0, 0
            for note in part.notes:
                begin, end = note.start * scale, (note.start + note.duration) * scale
                inside = min(end, end_seconds) - max(begin, start_seconds)
                if inside > 0:
                    covered += inside
                    strikes += begin >= start_seconds
            window = end_seconds - start_seconds
            if (covered >= least_share * window or strikes >= window / 2) and part.instrument not in heard:
                heard.append(part.instrument)
        return heard
