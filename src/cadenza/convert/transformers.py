"""MusicGen in the directories of `transformers`.

In: a directory of `MusicgenForConditionalGeneration` or `MusicgenMelodyForConditionalGeneration`. Out: a `MusicGen`;
and back to a directory that `transformers` loads, processor included.

There, padding is masked out of cross-attention, and generation can only follow the delay pattern.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadenza.checkpoint import CONFIG_FILE, WEIGHTS_FILE, parse_config, read_json, write_json
from cadenza.checkpoint import write_weights as write_tensors
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.t5 import TIED_EMBEDDING, T5Config, T5Encoder, TextTokenizer
from cadenza.conditioning.text import TextEncoder
from cadenza.convert.assemble import assemble, reading, require
from cadenza.convert.names import Names, scatter, transformers_codec, transformers_lm
from cadenza.convert.parts import fit_codec, mono_codec, roles, text_encoder
from cadenza.convert.transformers_codec import (
    PREPROCESSOR_FILE,
    codec_from,
    codec_settings,
    preprocessor_settings,
    read_state,
)
from cadenza.convert.transformers_conditions import (
    extractor_settings,
    melody_of,
    melody_settings,
    projection_names,
    read_conditions,
    reasons_against,
)
from cadenza.errors import CheckpointError, UserError
from cadenza.files import atomic_directory
from cadenza.lm.generate import GenerationConfig
from cadenza.lm.model import LM, LMConfig, SinusoidalConfig
from cadenza.lm.patterns import DelayConfig
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig

MODEL_TYPES = ("musicgen", "musicgen_melody")
_OLD_POSITIONS = "model.decoder.embed_positions.weights"  # a table that some files hold and none needs

_DECODER_DEFAULTS: dict[str, Any] = {
    "vocab_size": 2048,
    "num_hidden_layers": 24,
    "ffn_dim": 4096,
    "num_attention_heads": 16,
    "activation_function": "gelu",
    "hidden_size": 1024,
    "num_codebooks": 4,
    "audio_channels": 1,
}
_T5_DEFAULTS: dict[str, Any] = {
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "feed_forward_proj": "relu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
}


def read_musicgen(directory: str | Path, name: str = "unnamed", licence: str = "unknown") -> MusicGen:
    """Read a MusicGen directory. Raises CheckpointError for a broken directory or a model of another kind.

    `name` and `licence` go into the model's configuration.
    """
    directory = Path(directory)
    settings = read_json(directory / CONFIG_FILE)
    if settings.get("model_type") not in MODEL_TYPES:
        raise CheckpointError(
            f"{directory} holds a {settings.get('model_type')!r} model, expected one of {', '.join(MODEL_TYPES)}"
        )
    state = read_state(directory)
    melody = settings["model_type"] == "musicgen_melody"
    decoder = {**_DECODER_DEFAULTS, **_section(settings, "decoder", directory)}
    with reading(directory):
        lm_config = _lm_config(decoder, melody, directory)
    lm_state = _part(state, "decoder.")
    lm_state.pop(_OLD_POSITIONS, None)
    lm = assemble(LM, lm_config, transformers_lm, lm_state, directory)
    codec_section = _section(settings, "audio_encoder", directory)
    require(codec_section, {"model_type": "encodec"}, directory)
    codec = codec_from(codec_section, _part(state, "audio_encoder."), directory)
    text_section = _section(settings, "text_encoder", directory)
    require(text_section, {"model_type": "t5"}, directory)
    encoder = _read_text_encoder({**_T5_DEFAULTS, **text_section}, _part(state, "text_encoder."), directory)
    with reading(directory):
        conditioning = read_conditions(settings, encoder.model.config.dim, lm_config.dim, state, directory)
    conditioning.attach_text_encoder(encoder)
    stereo = decoder["audio_channels"] == 2
    guidance = 3.0
    if (directory / "generation_config.json").is_file():
        with reading(directory):
            guidance = float(read_json(directory / "generation_config.json").get("guidance_scale") or guidance)
    config = MusicGenConfig(
        name=name,
        licence=licence,
        stereo=stereo,
        generation=GenerationConfig(guidance=guidance),
        **roles(conditioning.config),
    )
    return MusicGen(fit_codec(codec, lm_config.num_codebooks, stereo, directory), lm, conditioning, config)


def write_musicgen(model: MusicGen, directory: str | Path) -> None:
    """Write a directory for `MusicgenForConditionalGeneration`, or its melody form, and its processor.

    Raises UserError for what `transformers` cannot express.
    """
    _check_expressible(model)
    encoder = text_encoder(model)
    assert encoder is not None
    codec, lm, provider = mono_codec(model.codec), model.lm, model.conditioning
    state: dict[str, Tensor] = {}
    state |= {f"text_encoder.{name}": tensor for name, tensor in encoder.model.state_dict().items()}
    state |= {
        f"audio_encoder.{name}": tensor
        for name, tensor in scatter(transformers_codec(codec), codec.state_dict()).items()
    }
    state |= {f"decoder.{name}": tensor for name, tensor in scatter(transformers_lm(lm), lm.state_dict()).items()}
    state |= scatter(projection_names(provider), provider.state_dict())
    melody = melody_of(provider.config)
    preprocessor = (
        preprocessor_settings(codec.config, model.codec.channels, "left")
        if melody is None
        else extractor_settings(melody, model.config.max_duration_seconds)
    )
    with atomic_directory(directory) as temporary:
        # One precision for all parts, or loading would guess one of them for the whole.
        write_tensors(temporary / WEIGHTS_FILE, state, torch.float32)
        write_json(temporary / CONFIG_FILE, _settings(model, encoder))
        write_json(temporary / "generation_config.json", _generation_settings(model))
        processor = "MusicgenProcessor" if melody is None else "MusicgenMelodyProcessor"
        write_json(temporary / PREPROCESSOR_FILE, {**preprocessor, "processor_class": processor})
        write_tokenizer(encoder.tokenizer, temporary, processor)


def write_text_encoder(encoder: TextEncoder, directory: str | Path) -> None:
    """Write a directory for `T5EncoderModel` and its tokenizer."""
    with atomic_directory(directory) as temporary:
        write_tensors(temporary / WEIGHTS_FILE, encoder.model.state_dict(), torch.float32)
        settings = {"architectures": ["T5EncoderModel"], "dtype": "float32", **t5_settings(encoder.model.config)}
        write_json(temporary / CONFIG_FILE, settings)
        write_tokenizer(encoder.tokenizer, temporary)


def write_tokenizer(tokenizer: TextTokenizer, directory: Path, processor: str | None = None) -> None:
    """`tokenizer.json` with the settings that `AutoTokenizer` asks for."""
    tokenizer.save_pretrained(directory)
    settings: dict[str, Any] = {
        "tokenizer_class": "T5TokenizerFast",
        "model_max_length": 512,
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "extra_ids": 0,
        "clean_up_tokenization_spaces": False,
    }
    if processor:
        settings["processor_class"] = processor
    write_json(directory / "tokenizer_config.json", settings)
    tokens = {key: settings[key] for key in ("pad_token", "eos_token", "unk_token")}
    write_json(directory / "special_tokens_map.json", tokens)


# ---- reading ---------------------------------------------------------------------------------------------------------


def _section(settings: Mapping[str, Any], name: str, source: Path) -> dict[str, Any]:
    section = settings.get(name)
    if not isinstance(section, dict):
        raise CheckpointError(f"{source}: its {CONFIG_FILE} has no section {name!r}")
    return section


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _lm_config(decoder: Mapping[str, Any], melody: bool, source: Path) -> LMConfig:
    require(decoder, {"scale_embedding": False, "cross_attention_hidden_size": None}, source)
    num_codebooks = decoder["num_codebooks"]
    delays = [k // 2 if decoder["audio_channels"] == 2 else k for k in range(num_codebooks)]
    value = {
        "num_codebooks": num_codebooks,
        "codebook_size": decoder["vocab_size"],
        "dim": decoder["hidden_size"],
        "num_layers": decoder["num_hidden_layers"],
        "num_heads": decoder["num_attention_heads"],
        "feed_forward_dim": decoder["ffn_dim"],
        "cross_attention": not melody,
        "activation": decoder["activation_function"],
        "pattern": {"kind": "delay", "delays": delays},
    }
    return parse_config(LMConfig, value, source)


def _read_text_encoder(section: Mapping[str, Any], state: dict[str, Tensor], source: Path) -> TextEncoder:
    if TIED_EMBEDDING in state:
        state.setdefault("shared.weight", state[TIED_EMBEDDING])
    state = {name: tensor for name, tensor in state.items() if not name.startswith(T5Encoder.ignored_weights)}
    config = parse_config(T5Config, section, source)
    model = assemble(T5Encoder, config, _own_names, state, source)
    return TextEncoder(model.float().requires_grad_(False), TextTokenizer.from_pretrained(source))


def _own_names(module: torch.nn.Module) -> Names:
    return {name: (name,) for name in module.state_dict()}


# ---- writing ---------------------------------------------------------------------------------------------------------


def _check_expressible(model: MusicGen) -> None:
    lm, conditioning = model.lm.config, model.conditioning.config
    stereo = isinstance(model.codec, StereoCodec)
    delays = tuple(k // 2 if stereo else k for k in range(lm.num_codebooks))
    pattern = lm.pattern
    positional = lm.positional
    reasons = {
        **reasons_against(conditioning),
        "its cross-attention has nothing to listen to": lm.cross_attention == (melody_of(conditioning) is not None),
        "its text encoder is missing": text_encoder(model) is None,
        "its norms come after the blocks": not lm.norm_first or not lm.final_norm,
        "it has biases": lm.attention_bias or lm.feed_forward_bias or lm.head_bias,
        f"it has {lm.num_special_tokens} special tokens": lm.num_special_tokens != 1,
        "its positions are of another kind": positional != SinusoidalConfig(),
        "its codebook pattern is not the plain delay": not isinstance(pattern, DelayConfig)
        or (pattern.delays or delays) != delays
        or bool(pattern.flatten_first or pattern.empty_initial),
    }
    for reason, holds in reasons.items():
        if holds:
            raise UserError(f"transformers cannot express this model ({reason}): keep it as a Cadenza directory")


def _settings(model: MusicGen, encoder: TextEncoder) -> dict[str, Any]:
    lm, melody = model.lm.config, melody_of(model.conditioning.config)
    kind = "Musicgen" if melody is None else "MusicgenMelody"
    model_type = "musicgen" if melody is None else "musicgen_melody"
    return {
        "architectures": [f"{kind}ForConditionalGeneration"],
        "model_type": model_type,
        **({} if melody is None else melody_settings(melody)),
        "dtype": "float32",
        "is_encoder_decoder": True,
        "text_encoder": t5_settings(encoder.model.config),
        "audio_encoder": codec_settings(mono_codec(model.codec).config),
        "decoder": {
            "model_type": f"{model_type}_decoder",
            "vocab_size": lm.codebook_size,
            "num_hidden_layers": lm.num_layers,
            "ffn_dim": lm.feed_forward_dim,
            "num_attention_heads": lm.num_heads,
            "activation_function": lm.activation,
            "hidden_size": lm.dim,
            "dropout": lm.dropout,
            "scale_embedding": False,
            "num_codebooks": lm.num_codebooks,
            "audio_channels": model.codec.channels,
            "pad_token_id": lm.special_token,
            "bos_token_id": lm.special_token,
            "decoder_start_token_id": lm.special_token,
            "tie_word_embeddings": False,
        },
    }


def t5_settings(config: T5Config) -> dict[str, Any]:
    """The configuration of `T5EncoderModel`."""
    return {
        "model_type": "t5",
        "vocab_size": config.vocab_size,
        "d_model": config.dim,
        "d_kv": config.head_dim,
        "d_ff": config.feed_forward_dim,
        "num_layers": config.num_layers,
        "num_heads": config.num_heads,
        "feed_forward_proj": config.feed_forward,
        "relative_attention_num_buckets": config.num_buckets,
        "relative_attention_max_distance": config.max_distance,
        "layer_norm_epsilon": config.norm_epsilon,
        "is_encoder_decoder": False,
        "use_cache": False,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }


def _generation_settings(model: MusicGen) -> dict[str, Any]:
    special = model.lm.config.special_token
    return {
        "do_sample": True,
        "guidance_scale": model.config.generation.guidance,
        "max_length": model.lm.pattern.num_steps(int(model.config.max_duration_seconds * model.codec.frame_rate)),
        "top_k": 250,
        "bos_token_id": special,
        "decoder_start_token_id": special,
        "pad_token_id": special,
    }
