"""EnCodec in audiocraft's and encodec's own files.

In: `compression_state_dict.bin` (weights with their configuration, or a pointer to another codec), or one of the two
plain state dicts that encodec distributes (`encodec_24khz-*.th`, `encodec_48khz-*.th`). Out: an `EnCodec`; and back to
`compression_state_dict.bin`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from cadenza.checkpoint import parse_config, write_pickle
from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.convert.assemble import assemble, reading, require
from cadenza.convert.names import audiocraft_codec, scatter, weight_norm_names
from cadenza.convert.settings import Settings
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CheckpointError, UserError
from cadenza.files import atomic_file

VERSION = "1.4.0a2"
"""The audiocraft release whose format is written."""

_ORIGINAL_SEANET: dict[str, Any] = {
    "num_filters": 32,
    "ratios": (8, 5, 4, 2),
    "identity_shortcut": False,
    "pad_mode": "reflect",
}
_ORIGINAL: dict[int, dict[str, Any]] = {
    1: {"sample_rate": 24000, "codebook_size": 1024, "num_codebooks": 32},
    2: {
        "sample_rate": 48000,
        "channels": 2,
        "codebook_size": 1024,
        "num_codebooks": 16,
        "renormalize": True,
        "segment_seconds": 1.0,
        "segment_overlap": 0.01,
    },
}
_ORIGINAL_NORM: dict[int, dict[str, Any]] = {1: {"causal": True}, 2: {"causal": False, "norm": "time_group_norm"}}


def codec_pointer(path: str | Path) -> str | None:
    """The name of the codec that a `compression_state_dict.bin` points to; None if it holds weights."""
    content = read_pickle(path)
    name = content.get("pretrained") if isinstance(content, dict) else None
    if name is None:
        return None
    if not isinstance(name, str):
        raise CheckpointError(f"{path}: its 'pretrained' is {type(name).__name__}, expected a codec's name")
    return name


def read_codec(path: str | Path) -> EnCodec:
    """The codec in a file that holds weights.

    Raises CheckpointError for a pointer (follow it with `codec_pointer`), another kind of codec, or a broken file.
    """
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected the dictionary of a codec checkpoint")
    if "best_state" in content:
        settings = Settings.parse(content.get("xp.cfg"), path)
        with reading(path):
            config = _config(settings, path)
        return _assemble(config, content["best_state"], path)
    if "encoder.model.0.conv.conv.bias" in content:
        return _assemble(_original_config(content, path), content, path)
    if "pretrained" in content:
        raise CheckpointError(f"{path} only points to the codec {content['pretrained']!r}: convert that one")
    raise CheckpointError(f"{path} is no codec checkpoint: it has neither best_state nor pretrained")


def write_codec(codec: EnCodec, path: str | Path) -> None:
    """Write `compression_state_dict.bin`. Raises UserError for what audiocraft cannot express."""
    config = codec.config
    if not isinstance(config.encoder, SEANetConfig) or not isinstance(config.decoder, SEANetConfig):
        raise UserError("audiocraft has no spectral codec: only a SEANet codec can be exported")
    if config.segment_seconds:
        raise UserError("audiocraft does not code separate segments: the 48 kHz codec cannot be exported to it")
    if config.encoder != config.decoder.model_copy(update={"trim_right_ratio": config.encoder.trim_right_ratio}):
        raise UserError("audiocraft's encoder and decoder share one shape: this codec cannot be exported")
    state = {name: tensor.clone() for name, tensor in scatter(audiocraft_codec(codec), codec.state_dict()).items()}
    save_checkpoint(path, state, _settings(config, config.encoder, config.decoder))


def save_checkpoint(path: str | Path, state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> None:
    """Write a file in audiocraft's exported form, atomically."""
    content = {
        "best_state": dict(state),
        "xp.cfg": yaml.safe_dump(dict(settings), sort_keys=False),
        "version": VERSION,
        "exported": True,
    }
    with atomic_file(path) as temporary:
        write_pickle(temporary, content)


def _assemble(config: EnCodecConfig, state: Any, source: str | Path) -> EnCodec:
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise CheckpointError(
            f"{source} is a training checkpoint or another kind of file: export it with audiocraft first"
        )
    return assemble(EnCodec, config, audiocraft_codec, weight_norm_names(state), source)


def _config(settings: Settings, source: str | Path) -> EnCodecConfig:
    require({"compression_model": settings["compression_model"]}, {"compression_model": "encodec"}, source)
    top, shape, quantizer = settings["encodec"], settings["seanet"], settings["rvq"]
    require(top, {"autoencoder": "seanet", "quantizer": "rvq"}, source)
    halves = {}
    for half in ("encoder", "decoder"):
        own = {key: value for key, value in shape.items() if key not in ("encoder", "decoder")}
        own |= shape.get(half) or {}
        require(
            own,
            {
                "activation": "ELU",
                "activation_params": {"alpha": 1.0},
                "norm_params": {},
                "disable_norm_outer_blocks": 0,
                "final_activation": None,
                "dimension": shape["dimension"],
            },
            source,
        )
        halves[half] = {
            "kind": "seanet",
            "num_filters": own["n_filters"],
            "ratios": own["ratios"],
            "num_residual_layers": own.get("n_residual_layers", 1),
            "kernel_size": own.get("kernel_size", 7),
            "last_kernel_size": own.get("last_kernel_size", 7),
            "residual_kernel_size": own.get("residual_kernel_size", 3),
            "dilation_base": own.get("dilation_base", 2),
            "compress": own.get("compress", 2),
            "identity_shortcut": own.get("true_skip", True),
            "num_lstm_layers": own.get("lstm", 0),
            "norm": own.get("norm", "none"),
            "causal": own.get("causal", top.get("causal", False)),
            "pad_mode": own.get("pad_mode", "reflect"),
            "trim_right_ratio": own.get("trim_right_ratio", 1.0),
        }
    value = {
        "sample_rate": top["sample_rate"],
        "channels": top["channels"],
        "codebook_size": quantizer["bins"],
        "num_codebooks": quantizer["n_q"],
        "latent_dim": shape["dimension"],
        "renormalize": bool(top.get("renormalize", False)),
        **halves,
    }
    return parse_config(EnCodecConfig, value, source)


def _settings(config: EnCodecConfig, encoder: SEANetConfig, decoder: SEANetConfig) -> dict[str, Any]:
    """The `xp.cfg` of a codec: the inverse of `_config`."""
    return {
        "compression_model": "encodec",
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "device": "cpu",
        "encodec": {
            "autoencoder": "seanet",
            "quantizer": "rvq",
            "sample_rate": config.sample_rate,
            "channels": config.channels,
            "causal": encoder.causal,
            "renormalize": config.renormalize,
        },
        "seanet": {
            "dimension": config.latent_dim,
            "channels": config.channels,
            "causal": encoder.causal,
            "n_filters": encoder.num_filters,
            "n_residual_layers": encoder.num_residual_layers,
            "ratios": list(encoder.ratios),
            "activation": "ELU",
            "activation_params": {"alpha": 1.0},
            "norm": encoder.norm,
            "norm_params": {},
            "kernel_size": encoder.kernel_size,
            "residual_kernel_size": encoder.residual_kernel_size,
            "last_kernel_size": encoder.last_kernel_size,
            "dilation_base": encoder.dilation_base,
            "pad_mode": encoder.pad_mode,
            "true_skip": encoder.identity_shortcut,
            "compress": encoder.compress,
            "lstm": encoder.num_lstm_layers,
            "disable_norm_outer_blocks": 0,
            "decoder": {
                "trim_right_ratio": decoder.trim_right_ratio,
                "final_activation": None,
                "final_activation_params": None,
            },
            "encoder": {},
        },
        "rvq": {
            "n_q": config.num_codebooks,
            "q_dropout": False,
            "bins": config.codebook_size,
            "decay": 0.99,
            "kmeans_init": True,
            "kmeans_iters": 50,
            "threshold_ema_dead_code": 2,
            "orthogonal_reg_weight": 0.0,
            "orthogonal_reg_active_codes_only": False,
        },
    }


def _original_config(state: Mapping[str, Tensor], source: str | Path) -> EnCodecConfig:
    """encodec's own files carry no configuration: the 24 kHz model is mono, the 48 kHz model stereo."""
    weight = state.get("encoder.model.0.conv.conv.weight_v", state.get("encoder.model.0.conv.conv.weight"))
    channels = 0 if weight is None or weight.ndim != 3 else weight.shape[1]
    if channels not in _ORIGINAL:
        raise CheckpointError(f"{source} is a plain state dict of neither encodec_24khz nor encodec_48khz")
    half = {"kind": "seanet", **_ORIGINAL_SEANET, **_ORIGINAL_NORM[channels]}
    return parse_config(EnCodecConfig, {**_ORIGINAL[channels], "encoder": half, "decoder": half}, source)
