"""EnCodec in the directories of `transformers`.

In: a directory of `EncodecModel` (`config.json`, `model.safetensors` or `pytorch_model.bin`). Out: an `EnCodec`; and
back.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadenza.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    parse_config,
    read_json,
    read_weights,
    write_json,
    write_weights,
)
from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.seanet import SEANetConfig
from cadenza.convert.assemble import assemble, reading
from cadenza.convert.names import scatter, transformers_codec, weight_norm_names
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CheckpointError, UserError

PREPROCESSOR_FILE = "preprocessor_config.json"
_PICKLED_WEIGHTS = "pytorch_model.bin"

# What `transformers` takes for a field that a config.json leaves out.
_DEFAULTS: dict[str, Any] = {
    "target_bandwidths": [1.5, 3.0, 6.0, 12.0, 24.0],
    "sampling_rate": 24000,
    "audio_channels": 1,
    "normalize": False,
    "chunk_length_s": None,
    "overlap": None,
    "hidden_size": 128,
    "num_filters": 32,
    "num_residual_layers": 1,
    "upsampling_ratios": [8, 5, 4, 2],
    "norm_type": "weight_norm",
    "kernel_size": 7,
    "last_kernel_size": 7,
    "residual_kernel_size": 3,
    "dilation_growth_rate": 2,
    "use_causal_conv": True,
    "pad_mode": "reflect",
    "compress": 2,
    "num_lstm_layers": 2,
    "trim_right_ratio": 1.0,
    "codebook_size": 1024,
    "use_conv_shortcut": True,
}


def read_codec(directory: str | Path) -> EnCodec:
    """The codec in a directory of `EncodecModel`."""
    directory = Path(directory)
    settings = read_json(directory / CONFIG_FILE)
    if settings.get("model_type") != "encodec":
        raise CheckpointError(f"{directory} holds a {settings.get('model_type')!r} model, expected 'encodec'")
    return codec_from(settings, read_state(directory), directory)


def write_codec(codec: EnCodec, directory: str | Path) -> None:
    """Write a directory that `EncodecModel` and `EncodecFeatureExtractor` load."""
    directory = Path(directory)
    settings = codec_settings(codec.config)
    write_weights(directory / WEIGHTS_FILE, scatter(transformers_codec(codec), codec.state_dict()), torch.float32)
    write_json(directory / CONFIG_FILE, {"architectures": ["EncodecModel"], "dtype": "float32", **settings})
    write_json(directory / PREPROCESSOR_FILE, preprocessor_settings(codec.config, codec.channels))


def read_state(directory: Path) -> dict[str, Tensor]:
    """All tensors of a directory, mapped: safetensors or pickled, in one file or several."""
    for whole, read in ((WEIGHTS_FILE, read_weights), (_PICKLED_WEIGHTS, read_pickle)):
        index = directory / f"{whole}.index.json"
        if index.is_file():
            files = sorted(set(read_json(index).get("weight_map", {}).values()))
            if any(not isinstance(file, str) or Path(file).name != file for file in files):
                raise CheckpointError(f"{index} names files outside its directory: refused")
        elif (directory / whole).is_file():
            files = [whole]
        else:
            continue
        state: dict[str, Any] = {}
        for file in files:
            part = read(directory / file)
            if not isinstance(part, dict) or not all(isinstance(tensor, Tensor) for tensor in part.values()):
                raise CheckpointError(f"{directory / file} holds more than tensors: it is no model of transformers")
            state |= part
        return state
    raise CheckpointError(f"no {WEIGHTS_FILE} and no {_PICKLED_WEIGHTS} in {directory}: the download is incomplete")


def codec_from(settings: Mapping[str, Any], state: Mapping[str, Tensor], source: str | Path) -> EnCodec:
    """The codec that an EnCodec section of a configuration describes."""
    config = codec_config(settings, source)
    return assemble(EnCodec, config, transformers_codec, weight_norm_names(state), source)


def codec_config(settings: Mapping[str, Any], source: str | Path) -> EnCodecConfig:
    """Our configuration from a (possibly partial) one of `EncodecModel`."""
    with reading(source):
        return _codec_config(settings, source)


def _codec_config(settings: Mapping[str, Any], source: str | Path) -> EnCodecConfig:
    own = {**_DEFAULTS, **settings}
    if own.get("codebook_dim", own["hidden_size"]) not in (None, own["hidden_size"]):
        raise CheckpointError(f"{source}: codebook_dim {own['codebook_dim']} differs from hidden_size: not supported")
    half = {
        "kind": "seanet",
        "num_filters": own["num_filters"],
        "ratios": own["upsampling_ratios"],
        "num_residual_layers": own["num_residual_layers"],
        "kernel_size": own["kernel_size"],
        "last_kernel_size": own["last_kernel_size"],
        "residual_kernel_size": own["residual_kernel_size"],
        "dilation_base": own["dilation_growth_rate"],
        "compress": own["compress"],
        "identity_shortcut": not own["use_conv_shortcut"],
        "num_lstm_layers": own["num_lstm_layers"],
        "norm": own["norm_type"],
        "causal": own["use_causal_conv"],
        "pad_mode": own["pad_mode"],
        "trim_right_ratio": own["trim_right_ratio"],
    }
    frame_rate = math.ceil(own["sampling_rate"] / math.prod(own["upsampling_ratios"]))
    bits = math.ceil(math.log2(own["codebook_size"]))
    num_codebooks = int(1000 * own["target_bandwidths"][-1] // (frame_rate * bits))
    value = {
        "sample_rate": own["sampling_rate"],
        "channels": own["audio_channels"],
        "codebook_size": own["codebook_size"],
        "num_codebooks": num_codebooks,
        "latent_dim": own["hidden_size"],
        "encoder": half,
        "decoder": half,
        "renormalize": own["normalize"],
        "segment_seconds": own["chunk_length_s"],
        "segment_overlap": own["overlap"] or 0.0,
    }
    return parse_config(EnCodecConfig, value, source)


def codec_settings(config: EnCodecConfig) -> dict[str, Any]:
    """The configuration of `EncodecModel`: the inverse of `codec_config`. UserError for what it cannot express."""
    half = config.encoder
    if not isinstance(half, SEANetConfig) or half != config.decoder:
        raise UserError("transformers has only SEANet codecs of equal halves: this codec cannot be exported")
    if half.norm == "none":
        raise UserError("transformers has no codec without a norm: this codec cannot be exported")
    return {
        "model_type": "encodec",
        "target_bandwidths": _bandwidths(config),
        "sampling_rate": config.sample_rate,
        "audio_channels": config.channels,
        "normalize": config.renormalize,
        "chunk_length_s": config.segment_seconds,
        "overlap": config.segment_overlap if config.segment_seconds else None,
        "hidden_size": config.latent_dim,
        "num_filters": half.num_filters,
        "num_residual_layers": half.num_residual_layers,
        "upsampling_ratios": list(half.ratios),
        "norm_type": half.norm,
        "kernel_size": half.kernel_size,
        "last_kernel_size": half.last_kernel_size,
        "residual_kernel_size": half.residual_kernel_size,
        "dilation_growth_rate": half.dilation_base,
        "use_causal_conv": half.causal,
        "pad_mode": half.pad_mode,
        "compress": half.compress,
        "num_lstm_layers": half.num_lstm_layers,
        "trim_right_ratio": half.trim_right_ratio,
        "codebook_size": config.codebook_size,
        "codebook_dim": config.latent_dim,
        "use_conv_shortcut": not half.identity_shortcut,
    }


def preprocessor_settings(config: EnCodecConfig, channels: int, padding_side: str = "right") -> dict[str, Any]:
    """The `preprocessor_config.json` of `EncodecFeatureExtractor`."""
    return {
        "feature_extractor_type": "EncodecFeatureExtractor",
        "feature_size": channels,
        "sampling_rate": config.sample_rate,
        "padding_value": 0.0,
        "padding_side": padding_side,
        "return_attention_mask": True,
        "chunk_length_s": config.segment_seconds,
        "overlap": config.segment_overlap if config.segment_seconds else None,
    }


def _bandwidths(config: EnCodecConfig) -> list[float]:
    """kbit/s of the codebooks in use (the first is what `EncodecModel` codes with) and of all (the last is how it
    knows their number).
    """
    unit = math.ceil(config.sample_rate / config.hop_length) * math.ceil(math.log2(config.codebook_size))
    bandwidths = []
    for count in sorted({config.used_codebooks or config.num_codebooks, config.num_codebooks}):
        kbps = count * unit / 1000
        bandwidths.append(kbps if int(1000 * kbps // unit) == count else math.nextafter(kbps, math.inf))
    return bandwidths
