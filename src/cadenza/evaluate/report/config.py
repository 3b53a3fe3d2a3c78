"""What a report is about: a YAML or JSON file in, a checked `ReportConfig` out.

The same file, the same report: everything that decides a figure stands here or in what it names, and the report carries
it. Paths are relative to the file's folder. Without a file: the model that comes with Cadenza, the prompts, the ear and
the true music that come with it.
"""

import json
from pathlib import Path
from typing import Any, Literal, Self

import pydantic
import yaml
from pydantic import Field, model_validator

from cadenza.checkpoint import Config
from cadenza.errors import UserError

EMBEDDED = "embedded"
"""The word for what comes with Cadenza: the model, the prompts, the true music."""


class SamplingConfig(Config):
    """How models make takes; None: the model's own default."""

    duration_seconds: float = Field(10.0, gt=0, le=600, allow_inf_nan=False, description="length of a take")
    seeds: tuple[int, ...] = Field(
        (1,), min_length=1, description="one take per prompt and each of these; the seed of a take is 100,000 times "
        "this and the prompt's place from 1 on, so that no two takes share one"
    )  # fmt: skip
    guidance: float | None = Field(None, allow_inf_nan=False, description="strength of the words")
    top_k: int | None = Field(None, ge=0, description="choose among this many codes; 0: all")
    top_p: float | None = Field(None, ge=0, le=1, description="choose within this probability; 0: off")
    temperature: float | None = Field(None, ge=0, allow_inf_nan=False, description="above 1: bolder")
    device: str | None = Field(None, description="cpu, cuda, cuda:1, mps; None: a GPU if there is one")
    precision: str | None = Field(None, description="fp32, bf16, fp16, int8 or int4; None: what suits the device")
    threads: int = Field(
        1, ge=1, le=1024, description="processor threads; a fixed number, since the last digits depend on it"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds {list(self.seeds)} must differ and not be negative")
        return self


class SystemConfig(Config):
    """One maker of music: a model, a folder of anyone's audio, or a set that was measured before; one of the three."""

    name: str = Field(description="what the report calls it", min_length=1, max_length=60)
    model: str | None = Field(None, description='what cadenza.load takes, or "embedded": takes are made of the prompts')
    audio: str | None = Field(None, description="folder or manifest of clips; those named as a prompt answer it")
    measured: str | None = Field(None, description="a file that `cadenza evaluate measure` wrote")
    codec: str | None = Field(
        None, description="codec (file, directory, name or model) that the true music passes as the ceiling; "
        "None: that of the model"
    )  # fmt: skip
    sampling: SamplingConfig | None = Field(
        None, description="for a model: its own way to make takes; what it leaves out is as in the report's `sampling`"
    )  # fmt: skip

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("model", "audio", "measured") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of model, audio and measured, not {' and '.join(given) or 'none'}")
        if self.sampling is not None and self.model is None:
            raise ValueError("only a model is sampled: leave sampling out")
        return self


class ReportConfig(Config):
    """Everything that decides a report."""

    title: str = Field("How good is the music?", description="of the page")
    systems: tuple[SystemConfig, ...] = Field(
        (SystemConfig(name="Cadenza's embedded model", model=EMBEDDED),),
        min_length=1, description="what is compared, in the order of the tables",
    )  # fmt: skip
    prompts: str | tuple[str, ...] | None = Field(
        EMBEDDED, description='JSONL of prompts (id, text, tempo_bpm, key, instruments, genre, melody), or "embedded", '
        '"strangers"; several: control figures stand for each set as well. None: systems are given as audio, with '
        "captions in their manifests"
    )  # fmt: skip
    max_prompts: int | None = Field(None, ge=1, description="only the first so many, of each set; None: all")
    sampling: SamplingConfig = Field(SamplingConfig(), description="how models make takes")
    reference: str | None = Field(
        EMBEDDED, description="true music that distances are taken from: folder, manifest or measured set"
    )
    truth: str | None = Field(
        None, description="true music beside the reference, measured as a system: what a perfect model would "
        "reach. None: with the embedded reference its other half, else nothing"
    )  # fmt: skip
    embedders: tuple[str, ...] = Field(("mel",), description="for distances; `cadenza evaluate embedders` lists them")
    labellers: tuple[str, ...] = Field(("mel",), description="for the divergence of labels")
    joints: tuple[str, ...] = Field(("mel",), description="sound and text in one space, for text alignment")
    mauve: bool = Field(True, description="MAD beside the other distances")
    embedder_device: str = Field("cpu", description="cpu, cuda, mps: where embedders, labellers and joints listen")
    paired: bool = Field(
        False, description="clips of the reference (or truth) are the recordings that captions of the same name were "
        "written for: KL divergence pair by pair, as in the papers"
    )  # fmt: skip
    ceilings: bool = Field(True, description="pass true music through the codecs of models, where audio is at hand")
    ceiling_clips: int = Field(200, ge=1, description="of true music, evenly spread, that pass a codec")
    loudness_lufs: float | None = Field(
        -14.0, ge=-70, le=0, description="every clip is brought to it before it is heard; None: as it is"
    )
    samples: int = Field(2, ge=0, le=20, description="clips to listen to per system and kind: best, median, worst")
    sound: Literal["page", "folder"] = Field("page", description="where those are: inside the page, or beside it")
    published: bool = Field(True, description="show the papers' figures in a table of their own")
    memorization: tuple[str, ...] = Field((), description="JSON files that `cadenza evaluate memorization` wrote")
    codec: tuple[str, ...] = Field((), description="JSON files that `cadenza evaluate codec` wrote")
    seed: int = Field(0, ge=0, description="of resampling")

    @model_validator(mode="before")
    @classmethod
    def _own_sampling(cls, value: Any) -> Any:
        """A system's sampling in full, so that the report says what it was."""
        common, systems = (value.get(name) for name in ("sampling", "systems")) if isinstance(value, dict) else (0, 0)
        if not isinstance(common, dict) or not isinstance(systems, list | tuple):
            return value
        own = [
            one | {"sampling": common | one["sampling"]}
            if isinstance(one, dict) and isinstance(one.get("sampling"), dict)
            else one
            for one in systems
        ]
        return value | {"systems": own}

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [system.name for system in self.systems]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two systems are called {twice[0]!r}: give each a name of its own")
        if self.prompts is None and any(system.model is not None for system in self.systems):
            raise ValueError("a model needs prompts: name a file, or leave prompts out for those that come along")
        return self


def read_report_config(path: Path | None) -> ReportConfig:
    """The configuration in a YAML or JSON file; None: the embedded one. UserError names field, value and remedy."""
    if path is None:
        return ReportConfig()
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a YAML or JSON file") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} is not readable YAML or JSON ({reason}): put it right") from error
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a {type(value).__name__}: give fields such as `title: ...`, one per line")
    return check_report_config(value, str(path))


def check_report_config(value: dict[str, Any], source: str) -> ReportConfig:
    """A checked configuration from plain values that were read from `source`."""
    try:
        return ReportConfig.model_validate(value)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the configuration"
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            known = ", ".join(_fields_at(first["loc"][:-1]))
            raise UserError(f"{source}: {place}: there is no such field; use one of {known}") from error
        given = first["input"]
        shown = "" if isinstance(given, (dict, pydantic.BaseModel)) else f" = {given!r:.80}"
        raise UserError(f"{source}: {place}{shown}: {message}; put it right") from error


def _fields_at(place: tuple[int | str, ...]) -> list[str]:
    """The names of the fields where an unknown one stood."""
    kinds: dict[str, type[Config]] = {"systems": SystemConfig, "sampling": SamplingConfig}
    names = [part for part in place if isinstance(part, str)]
    return sorted((kinds[names[-1]] if names else ReportConfig).model_fields)
