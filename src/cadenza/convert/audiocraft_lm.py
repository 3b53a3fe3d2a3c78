"""MusicGen's language model and its conditions in audiocraft's `state_dict.bin`.

In: the file. Out: an `LM` and a `ConditionProvider` (without its frozen text encoder, which such a file only names);
and back.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from cadenza.checkpoint import parse_config
from cadenza.conditioning.plan import PlanConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.convert.assemble import assemble, reading, require
from cadenza.convert.audiocraft_codec import save_checkpoint
from cadenza.convert.audiocraft_conditions import (
    CONDITIONERS,
    Whole,
    buffers_of,
    condition_names,
    read_conditions,
    write_conditions,
)
from cadenza.convert.names import audiocraft_lm, scatter
from cadenza.convert.settings import Settings
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CheckpointError, UserError
from cadenza.lm.model import LM, LMConfig, SinusoidalConfig
from cadenza.lm.patterns import CoarseFirstConfig, DelayConfig, FlattenConfig, MusicLMConfig, ParallelConfig

_PATTERN_SETTINGS: dict[str, tuple[str, ...]] = {
    "delay": ("delays", "flatten_first", "empty_initial"),
    "parallel": ("empty_initial",),
    "unroll": ("flattening", "delays"),
    "coarse_first": ("delays",),
    "musiclm": ("group_by",),
}


class LMCheckpoint(NamedTuple):
    """What a `state_dict.bin` holds or names."""

    lm: LM
    conditioning: ConditionProvider
    text_encoder: str | None
    """Name of the T5 that the text condition was trained with; None: no text condition."""
    num_codebooks: int | None
    """Codebooks that the codec must use, if the file says so."""
    stereo: bool | None
    """Whether left and right of a mono codec are interleaved, if the file says so."""
    max_duration: float
    """Length of the training segments, seconds."""
    guidance: float
    """The guidance scale that the model was published with."""


def read_lm(path: str | Path) -> LMCheckpoint:
    """Read `state_dict.bin`. Raises CheckpointError for a broken file or a model of another kind."""
    content = read_pickle(path)
    if not isinstance(content, dict) or not isinstance(content.get("best_state"), dict):
        raise CheckpointError(f"{path} is no language-model checkpoint of audiocraft: it has no best_state")
    state = {name.replace(".mha.", "."): tensor for name, tensor in content["best_state"].items()}
    if not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise CheckpointError(f"{path} is a training checkpoint: export it with audiocraft first")
    settings = Settings.parse(content.get("xp.cfg"), path)
    conditions = {name: tensor for name, tensor in state.items() if name.startswith(CONDITIONERS)}
    model = {name: tensor for name, tensor in state.items() if not name.startswith(CONDITIONERS)}
    with reading(path):
        require({"lm_model": settings.get("lm_model", "transformer_lm")}, {"lm_model": "transformer_lm"}, path)
        config = _lm_config(settings, path)
        conditioning = read_conditions(settings, config.dim, conditions, path)
        stereo = settings.get("interleave_stereo_codebooks")
        if stereo and stereo.get("use"):
            require(stereo, {"per_timestep": False}, path)
        max_duration = float(settings.get("dataset.segment_duration", 30))
        guidance = float(settings.get("classifier_free_guidance.inference_coef", 3.0))
    return LMCheckpoint(
        assemble(LM, config, audiocraft_lm, model, path),
        assemble(ConditionProvider, conditioning.config, condition_names, conditioning.state, path),
        conditioning.text_encoder,
        settings.get("compression_model_n_q"),
        None if stereo is None else bool(stereo.get("use")),
        max_duration,
        guidance,
    )


def write_lm(path: str | Path, checkpoint: LMCheckpoint, sample_rate: int, channels: int) -> None:
    """Write `state_dict.bin`. Raises UserError for what audiocraft cannot express."""
    lm, provider = checkpoint.lm, checkpoint.conditioning
    _check_expressible(lm.config, provider.config)
    state = scatter(condition_names(provider), provider.state_dict()) | buffers_of(provider.config)
    state |= scatter(audiocraft_lm(lm), lm.state_dict())
    settings = _settings(checkpoint, sample_rate, channels)
    save_checkpoint(path, {name: tensor.clone() for name, tensor in state.items()}, settings)


# ---- reading ---------------------------------------------------------------------------------------------------------


def _lm_config(settings: Settings, source: str | Path) -> LMConfig:
    shape = settings["transformer_lm"]
    require(
        shape,
        {
            "causal": True,
            "layer_scale": None,
            "norm": "layer_norm",
            "qk_layer_norm": False,
            "qk_layer_norm_cross": False,
            "kv_repeat": 1,
            "past_context": None,
            "positional_embedding": "sin",
            "positional_scale": 1,
            "xpos": False,
            # With norms behind the blocks the reference's cross-attention reads the layer's input: an old mistake that
            # no published model was trained with.
            "norm_first": True,
        },
        source,
    )
    dim = shape["dim"]
    value = {
        "num_codebooks": shape["n_q"],
        "codebook_size": shape["card"],
        "dim": dim,
        "num_layers": shape["num_layers"],
        "num_heads": shape["num_heads"],
        "feed_forward_dim": int(shape.get("hidden_scale", 4) * dim),
        "cross_attention": bool(settings.get("fuser.cross")) or bool(shape.get("cross_attention")),
        "attention_bias": bool(shape.get("bias_attn", True)),
        "feed_forward_bias": bool(shape.get("bias_ff", True)),
        "head_bias": bool(shape.get("bias_proj", True)),
        "activation": shape.get("activation", "gelu"),
        "dropout": shape.get("dropout", 0.0),
        "positional": {"kind": "sinusoidal", "period": shape.get("max_period", 10000)},
        "pattern": _pattern(settings, source),
    }
    return parse_config(LMConfig, value, source)


def _pattern(settings: Settings, source: str | Path) -> dict[str, Any]:
    kind = settings.get("codebooks_pattern.modeling")
    if kind is None:  # configurations before patterns had a group of their own: the name alone, with its defaults
        kind = settings["transformer_lm.q_modeling"]
        own: Mapping[str, Any] = {}
    else:
        own = settings.get(f"codebooks_pattern.{kind}") or {}
    if kind not in _PATTERN_SETTINGS:
        known = ", ".join(_PATTERN_SETTINGS)
        raise CheckpointError(f"{source}: codebook pattern {kind!r} is unknown, the known ones are {known}")
    return {"kind": kind, **{key: own[key] for key in _PATTERN_SETTINGS[kind] if own.get(key) is not None}}


# ---- writing ---------------------------------------------------------------------------------------------------------


def _check_expressible(lm: LMConfig, conditioning: ConditioningConfig) -> None:
    reasons = {
        "its norms come after the blocks": not lm.norm_first,
        "it has no final norm": not lm.final_norm,
        f"it has {lm.num_special_tokens} special tokens": lm.num_special_tokens != 1,
        "its positions are of another kind": not isinstance(lm.positional, SinusoidalConfig)
        or lm.positional.offset != 0,
        "its feed-forward width is no multiple of its width": lm.feed_forward_dim % lm.dim != 0,
        "its condition projections have two layers": any(
            not isinstance(part, PlanConfig) and part.projection_layers != 1
            for part in conditioning.conditioners.values()
        ),
        "it is told plans": any(isinstance(part, PlanConfig) for part in conditioning.conditioners.values()),
    }
    for reason, holds in reasons.items():
        if holds:
            raise UserError(f"audiocraft cannot express this model ({reason}): keep it as a Cadenza directory")


def _settings(checkpoint: LMCheckpoint, sample_rate: int, channels: int) -> dict[str, Any]:
    """The `xp.cfg` of a language model: the inverse of what `read_lm` looks at."""
    config, conditioning = checkpoint.lm.config, checkpoint.conditioning.config
    assert isinstance(config.positional, SinusoidalConfig)
    return {
        "lm_model": "transformer_lm",
        "device": "cpu",
        "dtype": "float32",
        "sample_rate": sample_rate,
        "channels": channels,
        "compression_model_n_q": checkpoint.num_codebooks,
        "interleave_stereo_codebooks": {"use": bool(checkpoint.stereo), "per_timestep": False},
        "dataset": {"segment_duration": checkpoint.max_duration},
        "codebooks_pattern": _pattern_settings(config),
        "transformer_lm": {
            "dim": config.dim,
            "num_heads": config.num_heads,
            "num_layers": config.num_layers,
            "hidden_scale": config.feed_forward_dim // config.dim,
            "n_q": config.num_codebooks,
            "card": config.codebook_size,
            "dropout": config.dropout,
            "emb_lr": None,
            "activation": config.activation,
            "norm_first": True,
            "bias_ff": config.feed_forward_bias,
            "bias_attn": config.attention_bias,
            "bias_proj": config.head_bias,
            "past_context": None,
            "causal": True,
            "custom": False,
            "memory_efficient": True,
            "attention_as_float32": False,
            "layer_scale": None,
            "positional_embedding": "sin",
            "max_period": config.positional.period,
            "xpos": False,
            "checkpointing": "none",
            "weight_init": "gaussian",
            "depthwise_init": "current",
            "zero_bias_init": True,
            "norm": "layer_norm",
            "cross_attention": config.cross_attention,
            "qk_layer_norm": False,
            "qk_layer_norm_cross": False,
            "attention_dropout": None,
            "kv_repeat": 1,
            "two_step_cfg": False,
        },
        "classifier_free_guidance": {"training_dropout": 0.3, "inference_coef": checkpoint.guidance},
        "attribute_dropout": {},
        **write_conditions(conditioning, Whole(checkpoint.text_encoder, checkpoint.max_duration)),
    }


def _pattern_settings(config: LMConfig) -> dict[str, Any]:
    pattern = config.pattern
    own: dict[str, Any] = {}
    match pattern:
        case DelayConfig():
            delays = list(pattern.delays or range(config.num_codebooks))
            own = {"delays": delays, "flatten_first": pattern.flatten_first, "empty_initial": pattern.empty_initial}
        case ParallelConfig():
            own = {"empty_initial": pattern.empty_initial}
        case FlattenConfig():
            own = {"flattening": list(pattern.flattening or range(config.num_codebooks))}
            own["delays"] = list(pattern.delays or [0] * config.num_codebooks)
        case CoarseFirstConfig():
            own = {"delays": list(pattern.delays or [0] * (config.num_codebooks - 1))}
        case MusicLMConfig():
            own = {"group_by": pattern.group_by}
    return {"modeling": pattern.kind, pattern.kind: own}
