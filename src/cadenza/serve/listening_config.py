"""What a listening test asks, of whom, and how often: its settings, and the questions that the papers ask.

In: a YAML or JSON file, or words of the command line. Out: a checked `ListeningConfig`.

OVL and REL: Copet et al. (2023), 1 to 100, at least five ratings for each clip. Coherence, musicality, diversity and
novelty: Dhariwal et al. (2020), who judged their samples by these four words with their own ears and give no scale; the
scale of OVL is used, and the questions put what they describe under each word.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import pydantic
import yaml
from pydantic import Field

from cadenza.errors import UserError

Kind = Literal["rating", "group", "pair"]


class Question(NamedTuple):
    """What is asked about one clip, several clips of one system, or two clips of two systems."""

    kind: Kind
    title: str
    text: str
    low: str = ""
    high: str = ""
    shows_text: bool = False


QUESTIONS: dict[str, Question] = {
    "ovl": Question(
        "rating",
        "Overall quality",
        "How good is this music altogether, as sound and as music?",
        "very bad",
        "very good",
    ),
    "rel": Question(
        "rating",
        "Relevance to the text",
        "How well does the music match the text?",
        "not at all",
        "in everything",
        shows_text=True,
    ),
    "coherence": Question(
        "rating",
        "Coherence",
        "Does the music stay itself from beginning to end: do harmony, texture and musical ideas hold together?",
        "falls apart",
        "holds together",
    ),
    "musicality": Question(
        "rating",
        "Musicality",
        "Are melody, harmony and rhythm those of music as musicians play it?",
        "not musical",
        "very musical",
    ),
    "diversity": Question(
        "group",
        "Diversity",
        "How different from one another are these pieces?",
        "all the same",
        "each quite different",
    ),
    "novelty": Question(
        "rating",
        "Novelty",
        "Is this something new, or have you heard just this many times before?",
        "heard many times",
        "quite new",
    ),
    "pairs": Question("pair", "Two versions", "Which of the two do you prefer, and how strongly?"),
}
JUKEBOX = ("coherence", "musicality", "diversity", "novelty")
LOW, HIGH = 1, 100
STRENGTHS = ("slightly", "clearly", "strongly")

WELCOME = (
    "You will hear short pieces of music and judge them, one screen after another. There is no right answer: what "
    "counts is how it sounds to you. You can stop at any time and go on later with your code."
)
CONSENT = (
    "I take part of my own free will and can stop whenever I like. My answers are stored together with a random code, "
    "not with my name, and are evaluated with those of others."
)


class Published(pydantic.BaseModel):
    """A figure of a paper, shown beside the test's own and never mixed with them."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    source: str
    protocol: str
    system: str
    value: float = Field(allow_inf_nan=False)
    interval: float | None = Field(None, ge=0, description="half the width of the 95 % interval")


class ListeningConfig(pydantic.BaseModel):
    """Settings of a listening test. Paths are relative to the file they stand in."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    systems: dict[str, tuple[Path, ...]] = Field(
        min_length=1, description="folders or manifests of takes, matched by prompt id; several: more takes of a prompt"
    )
    protocols: tuple[str, ...] = Field(min_length=1, description="ovl, rel, jukebox (or one of its four), pairs")
    title: str = "Listening test"
    welcome: str = Field(WELCOME, description="the first words of the page")
    consent: str = Field(CONSENT, description="what a listener agrees to")
    questions: dict[str, str] = Field({}, description="other words for a protocol's question")
    prompts: Path | None = Field(None, description="JSON lines with id and text, where the takes do not say them")
    reference: str | None = Field(None, description="the system that is real music: the hidden reference")
    anchors: tuple[Literal["lowpass", "opus"], ...] = Field(
        (), description="known bad versions: low-passed at 3.5 kHz (ITU-R BS.1534), Opus at its lowest bitrate"
    )
    anchor_of: str | None = Field(None, description="system that is made bad; None: the reference, or the first")
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False, description="longest part of a clip that is heard")
    least_seconds: float = Field(2.0, gt=0, allow_inf_nan=False, description="prompts with shorter clips are left out")
    loudness_lufs: float = Field(-14.0, ge=-40, le=-6, description="of every clip, as far as its peaks allow")
    format: Literal["flac", "opus", "wav"] = "flac"
    most_prompts: int | None = Field(None, ge=1, description="draw so many of the prompts that all systems have")
    diversity_clips: int = Field(3, ge=2, le=8, description="clips on one screen of the diversity question")
    ratings_per_item: int = Field(5, ge=1, description="what every clip is to get; the least rated come first")
    screens_per_listener: int = Field(40, ge=1, description="judged by one listener, checks and training beside them")
    training_screens: int = Field(2, ge=0, le=20, description="before each question, not counted")
    checks: int = Field(3, ge=0, le=20, description="attention checks in a session")
    failures_allowed: int = Field(1, ge=0, description="of these; who fails more is left out of the filtered figures")
    least_heard: float = Field(1.0, ge=0, le=1, description="share of each clip before it may be judged")
    least_correlation: float = Field(0.25, ge=-1, le=1, description="of a rater with the mean of the others (CrowdMOS)")
    reference_least: float | None = Field(
        None, ge=LOW, le=HIGH, description="who rates the hidden reference lower on average is left out (MusicGen: 85)"
    )
    published: tuple[Published, ...] = ()
    seed: int = Field(0, ge=0)

    @pydantic.field_validator("systems", mode="before")
    @classmethod
    def _lists(cls, systems: Any) -> Any:
        if isinstance(systems, dict):
            return {name: folder if isinstance(folder, list | tuple) else (folder,) for name, folder in systems.items()}
        return systems

    @pydantic.field_validator("protocols", mode="before")
    @classmethod
    def _jukebox(cls, protocols: Any) -> Any:
        named = [protocols] if isinstance(protocols, str) else protocols
        if not isinstance(named, list | tuple):
            return protocols
        spread = [one for name in named for one in (JUKEBOX if name == "jukebox" else (name,))]
        return tuple(dict.fromkeys(spread))

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "ListeningConfig":
        for name in self.protocols:
            if name not in QUESTIONS:
                raise ValueError(f"protocol {name!r} is not one of {', '.join((*QUESTIONS, 'jukebox'))}")
        for name in (*self.questions, *(figure.protocol for figure in self.published)):
            if name not in self.protocols:
                raise ValueError(f"{name!r} is not asked in this test ({', '.join(self.protocols)})")
        if any(figure.protocol == "pairs" for figure in self.published):
            raise ValueError("published figures stand beside ratings; of pairs there is none to stand beside")
        taken = [name for name in self.systems if name in self.anchor_systems]
        if taken:
            raise ValueError(f"system {taken[0]!r} is what an anchor is called: give it another name")
        for field in ("reference", "anchor_of"):
            name = getattr(self, field)
            if name is not None and name not in self.systems:
                raise ValueError(f"{field} {name!r} is not one of the systems ({', '.join(self.systems)})")
        if "pairs" in self.protocols and len(self.systems) + len(self.anchors) < 2:
            raise ValueError("pairs need two systems: give another, or anchors")
        if self.reference_least is not None and (self.reference is None or "ovl" not in self.protocols):
            raise ValueError("reference_least needs the name of the reference, and the protocol ovl")
        return self

    @property
    def anchor_systems(self) -> dict[str, str]:
        """Anchors by the name under which they are a system."""
        return {f"anchor-{anchor}": anchor for anchor in self.anchors}


def read_config(path: str | Path) -> ListeningConfig:
    """Settings from YAML or JSON, paths made absolute. Raises UserError that names the field."""
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as a listening test ({reason[:200]}); give YAML or JSON") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: no settings; give systems: and protocols: at least")
    config = checked(content, str(path))
    folder = path.absolute().parent
    systems = {name: tuple(folder / one for one in folders) for name, folders in config.systems.items()}
    prompts = None if config.prompts is None else folder / config.prompts
    return config.model_copy(update={"systems": systems, "prompts": prompts})


def checked(content: dict[str, Any], source: str) -> ListeningConfig:
    """Settings from plain values. Raises UserError that names the field."""
    try:
        return ListeningConfig.model_validate(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{source}: {field + ': ' if field else ''}{message}; correct it") from error
