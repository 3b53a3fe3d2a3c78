"""The conditions of audiocraft's models: `conditioners` and `fuser` of their settings, `condition_provider.*` tensors.

In: settings and tensors of a `state_dict.bin`. Out: a `ConditioningConfig` and the tensors it needs; and back. Every
kind of condition has a row in `KINDS`, by the name that audiocraft gives it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cadenza.checkpoint import parse_config
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.clap import ClapConfig
from cadenza.conditioning.provider import ConditionerConfig, ConditioningConfig, ConditionProvider
from cadenza.conditioning.style import StyleConfig
from cadenza.conditioning.text import TextConfig
from cadenza.convert.assemble import require
from cadenza.convert.audiocraft_clap import read_clap, rename_clap, write_clap
from cadenza.convert.audiocraft_style import read_style, rename_style, write_style
from cadenza.convert.names import Names
from cadenza.convert.settings import Settings
from cadenza.errors import CheckpointError, UserError

CONDITIONERS = "condition_provider.conditioners."
_WINDOW = ".chroma.spec.window"
_CHROMA_RATE = 32000 / 4096


class Foreign(NamedTuple):
    """One condition in a foreign checkpoint."""

    name: str
    own: Mapping[str, Any]
    """Its settings."""
    state: Mapping[str, Tensor]
    """Its tensors, names without the part that all of them share."""
    segment_seconds: float
    """Length of what the model was trained on."""
    source: str | Path

    @property
    def width(self) -> int | None:
        """Width of the features, as the projection tells."""
        projection = self.state.get("output_proj.weight")
        return None if projection is None else projection.shape[-1]


class Whole(NamedTuple):
    """What else of a model its conditions are written with."""

    text_encoder: str | None
    """Name of the T5."""
    segment_seconds: float


class Kind(NamedTuple):
    """How one kind of condition is read and written."""

    read: Callable[[Foreign], dict[str, Any]]
    """To our configuration. Raises CheckpointError for settings that are not supported."""
    write: Callable[[Any, Whole], dict[str, Any]]
    """Our configuration to settings. Raises UserError for what cannot be said."""
    config: type
    rename: Callable[[str], str] = lambda name: name.replace("output_projection.", "output_proj.")
    """Our name of a tensor of this condition -> theirs."""
    constants: Callable[[Any], dict[str, Tensor]] = lambda _: {}
    """Tensors that files hold although they follow from the configuration."""


class ReadConditions(NamedTuple):
    """What a checkpoint says about its conditions."""

    config: ConditioningConfig
    state: dict[str, Tensor]
    """The tensors under their foreign names, without constants."""
    text_encoder: str | None
    """Name of the T5; None: no text condition of this kind."""


def read_conditions(settings: Settings, dim: int, state: Mapping[str, Tensor], source: str | Path) -> ReadConditions:
    """Raises CheckpointError for conditions that are not supported."""
    parts: dict[str, dict[str, Any]] = {}
    encoders: list[str] = []
    kept = dict(state)
    segment = float(settings.get("dataset.segment_duration", 30))
    conditioners = {name: part for name, part in (settings.get("conditioners") or {}).items() if name != "args"}
    for name, part in conditioners.items():
        kind = part.get("model")
        if kind not in KINDS:
            raise CheckpointError(
                f"{source}: its condition {name!r} is of kind {kind!r}, which is not supported: "
                f"the known kinds are {', '.join(KINDS)}"
            )
        prefix = f"{CONDITIONERS}{name}."
        own_state = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
        foreign = Foreign(name, part.get(kind) or {}, own_state, segment, source)
        parts[name] = KINDS[kind].read(foreign)
        if kind == "t5":
            encoders.append(str(foreign.own["name"]))
        if kind == "chroma_stem":
            kept.pop(prefix + _WINDOW.removeprefix("."), None)
    if len(set(encoders)) > 1:
        raise CheckpointError(f"{source}: it needs several text encoders ({', '.join(encoders)}), one is supported")
    value = {"dim": dim, "conditioners": parts, "fuser": _fuser(settings, parts, source)}
    return ReadConditions(parse_config(ConditioningConfig, value, source), kept, encoders[0] if encoders else None)


def write_conditions(config: ConditioningConfig, whole: Whole) -> dict[str, Any]:
    """The groups `fuser` and `conditioners`. Raises UserError for conditions that audiocraft does not have."""
    conditioners = {}
    for name, part in config.conditioners.items():
        kind = kind_of(name, part)
        conditioners[name] = {"model": kind, kind: KINDS[kind].write(part, whole)}
    fuser = {
        "cross_attention_pos_emb": False,
        "cross_attention_pos_emb_scale": 1,
        "sum": list(config.fuser.sum),
        "prepend": list(config.fuser.prepend),
        "cross": list(config.fuser.cross),
        "input_interpolate": [],
    }
    return {"fuser": fuser, "conditioners": conditioners}


def kind_of(name: str, config: ConditionerConfig) -> str:
    """audiocraft's name for this kind of condition. Raises UserError if it has none."""
    for kind, row in KINDS.items():
        if isinstance(config, row.config):
            return kind
    raise UserError(f"audiocraft has no condition like {name!r} ({config.kind}): keep it as a Cadenza directory")


def condition_names(provider: ConditionProvider) -> Names:
    """`description.output_projection.weight` -> `condition_provider.conditioners.description.output_proj.weight`."""
    names: Names = {}
    for name in provider.state_dict():
        condition, _, rest = name.partition(".")
        row = KINDS[kind_of(condition, provider.config.conditioners[condition])]
        names[name] = (f"{CONDITIONERS}{condition}.{row.rename(rest)}",)
    return names


def buffers_of(config: ConditioningConfig) -> dict[str, Tensor]:
    """Tensors that files hold although they are no weights."""
    return {
        f"{CONDITIONERS}{name}.{key}": tensor
        for name, part in config.conditioners.items()
        for key, tensor in KINDS[kind_of(name, part)].constants(part).items()
    }


def _fuser(settings: Settings, parts: Mapping[str, Mapping[str, Any]], source: str | Path) -> dict[str, Any]:
    """Conditions are visited text first, sound next, then what is both (CLAP), and each one prepended stands in front
    of the former: so chroma, then text."""
    fuser = settings.get("fuser") or {}
    require(fuser, {"cross_attention_pos_emb": False, "input_interpolate": []}, source)
    visited = sorted(parts, key=lambda name: {"text": 0, "clap": 2}.get(parts[name]["kind"], 1))  # stable
    lists = {mode: set(fuser.get(mode) or ()) for mode in ("cross", "prepend", "sum")}
    return {
        "cross": [name for name in visited if name in lists["cross"]],
        "prepend": [name for name in reversed(visited) if name in lists["prepend"]],
        "sum": [name for name in visited if name in lists["sum"]],
        "mask_padding": False,
    }


# ---- text ------------------------------------------------------------------------------------------------------------


def _read_t5(foreign: Foreign) -> dict[str, Any]:
    require(foreign.own, {"finetune": False}, foreign.source)
    return {"kind": "text", "dim": foreign.width or 768, "normalize": bool(foreign.own.get("normalize_text"))}


def _write_t5(config: TextConfig, whole: Whole) -> dict[str, Any]:
    if config.pad_to is not None:
        raise UserError(
            "audiocraft cannot express this text (it is padded to a fixed length): keep it as a Cadenza directory"
        )
    return {"name": whole.text_encoder, "finetune": False, "word_dropout": 0.0, "normalize_text": config.normalize}


# ---- melody ----------------------------------------------------------------------------------------------------------


def _read_chroma(foreign: Foreign) -> dict[str, Any]:
    """As the reference's loader sets it up, whatever the file says: every condition as long as the training segments,
    and a missing melody unmasked (trap 7)."""
    rate = foreign.own.get("sample_rate", 32000)
    exponent = foreign.own.get("radix2_exp", 12)
    window = foreign.state.get(_WINDOW.removeprefix("."))
    # Stored in 16 bits it is a rounded one.
    if window is not None and not torch.allclose(window.float(), torch.hann_window(window.numel()), atol=1e-2):
        raise CheckpointError(
            f"{foreign.source}: its analysis window is not a Hann window: this melody extractor is not supported"
        )
    hop = 2**exponent // 4
    return {
        "kind": "chroma",
        "dim": foreign.width or foreign.own.get("n_chroma", 12),
        "sample_rate": rate,
        "n_fft": 2**exponent,
        "hop": hop,
        "only_strongest": foreign.own.get("argmax", False),
        "length": _num_frames(foreign.segment_seconds, rate, hop),
    }


def _num_frames(seconds: float, sample_rate: int, hop: int) -> int:
    return 1 + int(seconds * sample_rate) // hop


def _write_chroma(config: ChromaConfig, whole: Whole) -> dict[str, Any]:
    frames = _num_frames(whole.segment_seconds, config.sample_rate, config.hop)
    reasons = {
        "its frames follow the model's steps": config.steps_per_second is not None,
        "a missing melody is nothing, rather than silence": config.null != "first_class",
        "it tells silence from tones": config.quiet_db is not None,
        "it follows a recording's own tuning": config.tuning != "a440",
        "its drums and bass are left in": config.stems == "none",
        f"its length is {config.length}, not the {frames} frames of the longest piece": config.length != frames,
        "its hop is not a quarter of a window of a power of two": config.n_fft != 4 * config.hop
        or config.n_fft & (config.n_fft - 1) != 0,
    }
    for reason, holds in reasons.items():
        if holds:
            raise UserError(f"audiocraft cannot express this melody ({reason}): keep it as a Cadenza directory")
    return {
        "sample_rate": config.sample_rate,
        "n_chroma": config.dim,
        "radix2_exp": config.n_fft.bit_length() - 1,
        "argmax": config.only_strongest,
        "match_len_on_eval": True,
        "eval_wavs": None,
        "n_eval_wavs": 100,
        "cache_path": None,
    }


KINDS = {
    "t5": Kind(_read_t5, _write_t5, TextConfig),
    "chroma_stem": Kind(
        _read_chroma,
        _write_chroma,
        ChromaConfig,
        constants=lambda config: {_WINDOW.removeprefix("."): torch.hann_window(config.n_fft)},
    ),
    "clap": Kind(
        lambda foreign: read_clap(foreign.own, foreign.state, foreign.source),
        lambda config, whole: write_clap(config),
        ClapConfig,
        rename_clap,
    ),
    "style": Kind(
        lambda foreign: read_style(foreign.own, foreign.state, foreign.source),
        lambda config, whole: write_style(config),
        StyleConfig,
        rename_style,
    ),
}
