"""A plan as a condition: tempo, key, meter, genre, instruments and moods, told to the model at every frame.

In: a `Plan`. Out: a `Condition` that is summed to the codes' embeddings: a clock (where in its beat and its bar each
frame lies) and what holds throughout. A text says "92 bpm" once; to keep that time a model has to know at every frame
how long ago the last beat was, which a clock tells it and a sentence does not (docs/log.md). Frame-wise controls of
this kind: JASCO (Tal et al. 2024), Music ControlNet (Wu et al. 2023).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config
from cadenza.conditioning.base import Conditioner, Features, Opening, given_features, output_projection
from cadenza.errors import UserError

Meter = Literal["4/4", "3/4", "6/8", "5/4"]
METERS: tuple[str, ...] = get_args(Meter)
BEATS = {"4/4": 4, "3/4": 3, "6/8": 2, "5/4": 5}
"""Felt beats in a bar: a dotted quarter in 6/8."""
PITCH_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MODES = ("major", "minor")
KEYS: tuple[str, ...] = (*(f"{name} {mode}" for mode in MODES for name in PITCH_NAMES), *MODES)
"""Keys by number; the last two are a mode whose tonic is open."""
TEMPO_RANGE = (30.0, 260.0)
_BEAT_HARMONICS, _BAR_HARMONICS = (1, 2, 3, 4), (1, 2, 3)
_CLOCK = 2 + 2 * len(_BEAT_HARMONICS) + 2 * len(_BAR_HARMONICS)
"""Known or not, tempo, and cosine and sine of each harmonic of beat and bar."""
_HEAD = 4
"""Numbers in front of a packed plan: tempo, phase, meter and key, the last two counted from 1."""
_SPELLING = re.compile(r"^\s*([A-Ga-g])\s*(#|♯|b|♭|sharp|flat)?\s*(major|minor|maj|min|m)?\s*$")


@dataclass(frozen=True)
class Plan:
    """What is known of a piece; None and () are open. `tempo_bpm` is that of the felt beat."""

    tempo_bpm: float | None = None
    key: str | None = None
    """Such as "A minor", or a mode alone."""
    meter: str | None = None
    genre: str | None = None
    instruments: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    phase_seconds: float = 0.0
    """How long after a bar line the music begins."""

    def __post_init__(self) -> None:
        low, high = TEMPO_RANGE
        if self.tempo_bpm is not None and not low <= self.tempo_bpm <= high:
            raise UserError(f"a tempo of {self.tempo_bpm:g} bpm cannot be kept: choose {low:g} to {high:g}")
        if self.meter is not None and self.meter not in METERS:
            raise UserError(f"the meter {self.meter!r:.20} is not known: choose one of {', '.join(METERS)}")
        if self.key is not None:
            object.__setattr__(self, "key", spell_key(self.key))

    @property
    def words(self) -> str:
        """The plan for people to read: "92 bpm, A minor, 3/4, waltz, accordion"."""
        tempo = () if self.tempo_bpm is None else (f"{self.tempo_bpm:g} bpm",)
        said = (*tempo, self.key, self.meter, self.genre, *self.instruments, *self.moods)
        return ", ".join(part for part in said if part)

    def over(self, other: "Plan") -> "Plan":
        """This plan, with what it leaves open taken from another."""
        keeps_time = self.tempo_bpm is not None
        return replace(
            self,
            tempo_bpm=self.tempo_bpm if keeps_time else other.tempo_bpm,
            phase_seconds=self.phase_seconds if keeps_time else other.phase_seconds,
            key=self.key or other.key,
            meter=self.meter or other.meter,
            genre=self.genre or other.genre,
            instruments=self.instruments or other.instruments,
            moods=self.moods or other.moods,
        )


def spell_key(text: str) -> str:
    """The one spelling of a key: "Db" is "C# major", "am" is "A minor", "minor" a mode alone. Raises UserError."""
    if text.strip().lower() in MODES:
        return text.strip().lower()
    found = _SPELLING.match(text)
    if found is None:
        raise UserError(f"{text!r:.30} is no key: write it as 'A minor', 'F# major', 'Bb' or 'minor'")
    letter, accidental, mode = found.groups()
    tonic = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[letter.upper()]
    tonic += {"#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}.get(accidental or "", 0)
    minor = mode in ("minor", "min", "m")
    return f"{PITCH_NAMES[tonic % 12]} {'minor' if minor else 'major'}"


class PlanConfig(Config):
    """What a model knows by name, and the steps that it sees."""

    kind: Literal["plan"] = "plan"
    genres: tuple[str, ...] = Field((), description="genres by name")
    instruments: tuple[str, ...] = Field((), description="instruments by name")
    moods: tuple[str, ...] = Field((), description="moods by name")
    length: int = Field(512, ge=1, description="steps of a window")
    steps_per_second: float = Field(50.0, gt=0, description="of the model")
    reader: str | None = Field(None, description="folder of the reader that makes a plan of a text, beside this file")


class PlanConditioner(Conditioner):
    """`Linear([clock, key, meter, genre, instruments, moods])` for every step of a window.

    Features are packed: one row per section of a piece, `[S, 4 + G + I + M]`; `window` unfolds a row.
    """

    accepts = "a Plan (tempo, key, meter, genre, instruments, moods)"

    def __init__(self, config: PlanConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.output_projection = output_projection(self.feature_dim, dim, 1)

    @property
    def _names(self) -> tuple[tuple[str, ...], ...]:
        return self.config.genres, self.config.instruments, self.config.moods

    @property
    def packed_dim(self) -> int:
        return _HEAD + sum(len(names) for names in self._names)

    @property
    def feature_dim(self) -> int:
        """Width of an unfolded row: clock, meter, keys, and per list of names whether it is open, and the names."""
        return _CLOCK + len(METERS) + len(KEYS) + sum(1 + len(names) for names in self._names)

    def prepare(self, values: Sequence[object]) -> list[Features | None]:
        """Packed plans. Raises UserError for what is no plan."""
        return [None if value is None else self._packed(value) for value in values]

    def _packed(self, value: object) -> Features:
        if isinstance(value, Tensor):
            return given_features(value, self.packed_dim, self.accepts)
        if not isinstance(value, Plan):
            raise UserError(f"a {type(value).__name__} is no plan: give {self.accepts}")
        return self.pack(value)[None]

    def pack(self, plan: Plan) -> Float[Tensor, "P"]:
        """A plan in numbers; names that the model does not know are left out."""
        row = torch.zeros(self.packed_dim)
        row[0] = plan.tempo_bpm or 0.0
        row[1] = plan.phase_seconds
        row[2] = 0 if plan.meter is None else 1 + METERS.index(plan.meter)
        row[3] = 0 if plan.key is None else 1 + KEYS.index(plan.key)
        position = _HEAD
        for names, said in zip(self._names, ((plan.genre,), plan.instruments, plan.moods), strict=True):
            for name in said:
                if name in names:
                    row[position + names.index(name)] = 1.0
            position += len(names)
        return row

    def unpack(self, row: Float[Tensor, "P"]) -> Plan:
        """The plan that `pack` made a row of."""
        tempo, phase, meter, key = (float(value) for value in row[:_HEAD])
        position, found = _HEAD, list[tuple[str, ...]]()
        for names in self._names:
            found.append(tuple(name for name, on in zip(names, row[position:].tolist(), strict=False) if on > 0))
            position += len(names)
        genres, instruments, moods = found
        return Plan(
            tempo if tempo > 0 else None,
            KEYS[round(key) - 1] if key > 0 else None,
            METERS[round(meter) - 1] if meter > 0 else None,
            genres[0] if genres else None,
            instruments,
            moods,
            phase,
        )

    def section(self, features: Features, number: int) -> Features:
        return features[min(number, len(features) - 1)][None]

    def window(
        self, features: Float[Tensor, "1 P"] | None, start_seconds: float, opening: Opening | None = None
    ) -> Float[Tensor, "S E"] | None:
        """The steps `[length, E]` of a window; where the opening stands in its place, the clock is the opening's."""
        if features is None:
            return None
        assert features.shape[0] == 1, "a window lies in one section"
        row = features[0].double()
        steps = torch.arange(self.config.length, dtype=torch.float64) / self.config.steps_per_second
        seconds = start_seconds + steps
        if opening is not None:
            seconds = torch.where(steps < opening.seconds, opening.start_seconds + steps, seconds)
        held = self._held(row).expand(self.config.length, -1)
        return torch.cat([self._clock(row, seconds), held], dim=1).float()

    def _clock(self, row: Tensor, seconds: Tensor) -> Tensor:
        clock = torch.zeros(len(seconds), _CLOCK, dtype=torch.float64)
        tempo = float(row[0])
        if tempo <= 0:
            return clock
        clock[:, 0] = 1.0
        clock[:, 1] = math.log2(tempo / 100.0)
        beats = (seconds + row[1]) * (tempo / 60.0)
        clock[:, 2:10] = _waves(beats, _BEAT_HARMONICS)
        if row[2] > 0:  # without a meter there are beats, but no bars
            clock[:, 10:16] = _waves(beats / BEATS[METERS[round(float(row[2])) - 1]], _BAR_HARMONICS)
        return clock

    def _held(self, row: Tensor) -> Tensor:
        """What holds throughout: meter, key, and each list of names behind whether it is open."""
        parts = [torch.zeros(len(METERS) + len(KEYS), dtype=torch.float64)]
        if row[2] > 0:
            parts[0][round(float(row[2])) - 1] = 1.0
        if row[3] > 0:
            number = round(float(row[3])) - 1
            parts[0][len(METERS) + number] = 1.0
            if number < 24:  # a key has its mode too
                parts[0][len(METERS) + 24 + number // 12] = 1.0
        position = _HEAD
        for names in self._names:
            said = row[position : position + len(names)]
            parts += [said.new_tensor([0.0 if said.any() else 1.0]), said]
            position += len(names)
        return torch.cat(parts)


def _waves(turns: Tensor, harmonics: Sequence[int]) -> Tensor:
    """Cosines, then sines, of the harmonics of a phase in whole turns."""
    angles = 2 * math.pi * turns[:, None] * torch.tensor(harmonics, dtype=turns.dtype)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
