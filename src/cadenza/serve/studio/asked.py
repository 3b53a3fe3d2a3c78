"""The words of the HTTP API: what may be asked, and what is answered. Copet et al. (2023) for the settings' meaning."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from cadenza.conditioning.plan import Plan
from cadenza.serve.studio.tables import Take

Status = Literal["queued", "running", "done", "cancelled", "failed"]
OVER: tuple[Status, ...] = ("done", "cancelled", "failed")
MOST_SEED = 2**53 - 1
"""Above, JavaScript's numbers are not exact."""


def _no_surrogates(text: str) -> str:
    if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in text):
        raise ValueError("holds letters that are no text")
    return text


Words = Annotated[str, Field(max_length=4000), AfterValidator(_no_surrogates)]
Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(_no_surrogates)]
Tag = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40), AfterValidator(_no_surrogates)
]
Tags = Annotated[tuple[Tag, ...], Field(max_length=32)]
Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,40}$")]
Seconds = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]


class Body(pydantic.BaseModel):
    """What a client sends: nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AskedPlan(Body):
    """What is known of the piece; what is left open is read from the text."""

    tempo_bpm: float | None = Field(None, allow_inf_nan=False, description="felt beats a minute, 30 to 260")
    key: Short | None = Field(None, description='such as "A minor", or "minor"')
    meter: Short | None = Field(None, description="4/4, 3/4, 6/8 or 5/4")
    genre: Short | None = Field(None, description="one that /v1/vocabulary knows")
    instruments: Annotated[tuple[Short, ...], Field(max_length=32)] = Field((), description="by name")
    moods: Annotated[tuple[Short, ...], Field(max_length=32)] = Field((), description="by name")

    def plan(self) -> Plan:
        """Raises UserError for a tempo, key or meter that cannot be."""
        return Plan(
            self.tempo_bpm, self.key or None, self.meter or None, self.genre or None, self.instruments, self.moods
        )


class Asked(Body):
    """Music, as it is asked for."""

    text: Words | Annotated[tuple[tuple[Seconds, Words], ...], Field(min_length=1, max_length=200)] = Field(
        ..., description="a sentence, or a timeline of [seconds, sentence]"
    )
    duration: float = Field(10.0, ge=0.05, le=86400, allow_inf_nan=False, description="seconds, with the audio prompt")
    seed: int | None = Field(None, ge=0, le=MOST_SEED, description="same seed, same music; null: drawn")
    model: Short | None = Field(None, description="one of /v1/models; null: the studio's own")
    guidance: float | None = Field(None, ge=-100, le=100, allow_inf_nan=False, description="how closely to the words")
    temperature: float | None = Field(None, ge=0, le=100, allow_inf_nan=False, description="above 1: bolder")
    top_k: int | None = Field(None, ge=0, le=1_000_000, description="choose among the best k; 0: all")
    top_p: float | None = Field(None, ge=0, le=1, description="choose within this probability; 0: off")
    plan: AskedPlan | None = Field(None, description="tempo, key, meter and more, for models that are told them")
    melody: Id | None = Field(None, description="id of an upload or a take whose melody to follow")
    prompt: Id | None = Field(None, description="id of an upload or a take to go on from")
    prompt_seconds: float | None = Field(
        None, ge=0.05, le=86400, allow_inf_nan=False, description="how much of the end of `prompt` to hear; null: all"
    )
    count: int = Field(1, ge=1, le=8, description="variations; their seeds count up")
    tags: Tags = Field((), description="given to the takes")

    @property
    def words(self) -> str:
        """The text in one line."""
        return self.text if isinstance(self.text, str) else " | ".join(f"{at:g} s: {text}" for at, text in self.text)

    @property
    def title(self) -> str:
        """What its takes are called until somebody renames them."""
        first = self.text if isinstance(self.text, str) else self.text[0][1]
        line = " ".join(first.split()) or "untitled"
        return line if len(line) <= 80 else f"{line[:79].rstrip()}…"


class TakeChange(Body):
    """What may be changed of a take."""

    starred: bool | None = None
    tags: Tags | None = None
    title: Short | None = None


class ModelName(Body):
    """One of /v1/models."""

    name: Short


class TakeView(pydantic.BaseModel):
    """A take, as it is shown."""

    id: str
    generation: str
    item: int
    status: Status
    title: str
    text: str
    seed: int
    model: str
    duration: float = Field(description="seconds of sound that there are")
    sample_rate: int
    channels: int
    loudness_lufs: float | None
    complete: bool = Field(description="false: stopped before its end")
    starred: bool
    tags: list[str]
    created: datetime
    error: str | None
    asked: dict[str, Any] = Field(description="what makes it again")

    @classmethod
    def of(cls, take: Take) -> "TakeView":
        facts = take.model_dump(
            exclude={"job", "created", "attempts", "seconds_asked", "source", "tag_lines", "words", "size_bytes"}
        )
        return cls(**facts, generation=take.job, created=moment(take.created))


class Generation(pydantic.BaseModel):
    """What was asked for, and how far it is."""

    id: str
    items: list[str] = Field(description="ids of its takes")
    status: Status
    position: int | None = Field(description="in the queue, 1 is next; null once it has begun")
    seconds_made: float
    seconds_total: float
    seconds_left: float | None = Field(description="until it is done, the queue included; null: not known yet")
    created: datetime
    started: datetime | None
    finished: datetime | None
    error: str | None
    asked: dict[str, Any]
    takes: list[TakeView]


class TakePage(pydantic.BaseModel):
    """Some of the takes; `next` is the cursor of those behind them."""

    items: list[TakeView]
    next: str | None


class GenerationPage(pydantic.BaseModel):
    """Some of the generations; `next` is the cursor of those behind them."""

    items: list[Generation]
    next: str | None


class SamplingView(pydantic.BaseModel):
    """How a model draws codes by itself."""

    guidance: float
    temperature: float
    top_k: int
    top_p: float


class ModelView(pydantic.BaseModel):
    """A model that can be asked for."""

    name: str
    kind: str
    default: bool
    loaded: bool
    loading: bool
    error: str | None = Field(description="why it could not be loaded")
    licence: str
    conditions: list[str]
    sample_rate: int | None = Field(description="hertz; null: not known before it is loaded")
    max_duration: float = Field(description="longest take, seconds")
    sampling: SamplingView | None = Field(description="where a job says nothing; null: not known before it is loaded")


class Vocabulary(pydantic.BaseModel):
    """Words that the model knows by name, and prompts to begin with."""

    genres: list[str]
    instruments: list[str]
    moods: list[str]
    keys: list[str]
    meters: list[str]
    examples: list[str]


class Health(pydantic.BaseModel):
    """Whether the studio works."""

    status: Literal["ok"]
    version: str
    model: str
    ready: bool = Field(description="the model is loaded")
    places: int
    queued: int
    running: int


def moment(seconds: float) -> datetime:
    """A time of the tables for people."""
    return datetime.fromtimestamp(seconds, UTC)


def settings_given(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the generation that somebody chose."""
    names = ("guidance", "temperature", "top_k", "top_p")
    return {name: asked[name] for name in names if asked.get(name) is not None}
