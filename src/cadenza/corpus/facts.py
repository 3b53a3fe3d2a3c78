"""What is true of a clip, and what of it a caption says: values that captions are made from and judged by."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Facts:
    """What is true of a clip; empty values are unknown or not to be told.

    `tempo_bpm` counts felt beats a minute. `roles` pairs a role ("melody", "bass") with its player; `entering` are
    players who begin within the clip, `faint` those heard too little to be named, but too much to be denied. `traits`
    are ways of playing ("walking bass"), `colours` of the sound ("vinyl"); `place` is the part of the form that the
    clip shows ("beginning", "ending"), `sections` the names of the sections heard.
    """

    genre: str = ""
    instruments: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    tempo_bpm: float | None = None
    key: str = ""
    meter: str = ""
    roles: tuple[tuple[str, str], ...] = ()
    entering: tuple[str, ...] = ()
    faint: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    place: str = ""
    sections: tuple[str, ...] = ()

    @property
    def pace(self) -> float | None:
        """Beats a minute as felt speed: a dotted beat holds more notes than a plain one."""
        if self.tempo_bpm is None:
            return None
        return self.tempo_bpm * (1.3 if self.meter == "6/8" else 1.0)


@dataclass
class Said:
    """Which facts a caption speaks of: the fact where it does, else an empty value.

    `tempo_bpm` and `key` are set where figures or a tonic are given; `pace` ("slow") and `mode` ("minor") also where
    only those are. A word that several instruments answer to ("guitar") speaks of the one that plays. A use ("for
    studying") speaks of the genre or mood that it is known for.
    """

    genre: str = ""
    instruments: list[str] = field(default_factory=list)
    moods: list[str] = field(default_factory=list)
    tempo_bpm: float | None = None
    pace: str = ""
    key: str = ""
    mode: str = ""
    meter: str = ""
