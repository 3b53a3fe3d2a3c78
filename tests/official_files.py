"""The files of the published models as audiocraft and transformers wrote them, settings beside tensors (reference,
sections 0.16, 1.7, 1.8, 4.3, 5.6).

In: a model of `official_models`. Out: its files, at the official size without memory, or with random weights.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from official_models import Model, Shapes, Style, audiocraft_codec, audiocraft_lm

# ---- settings --------------------------------------------------------------------------------------------------------


def lm_settings(model: Model, first_release: bool = False) -> dict[str, Any]:
    """The `xp.cfg` of `state_dict.bin`, references and all (sections 0.16, 4.1, 4.3, 5).

    Before patterns had settings of their own, the language model named its one (section 0.17).
    """
    delays = [0, 0, 1, 1, 2, 2, 3, 3] if model.stereo else [0, 1, 2, 3]
    text, audio = "description", {"melody": "chroma_stem", "style": "style"}.get(model.audio or "")
    conditioners: dict[str, Any] = {
        text: {
            "model": "t5",
            "t5": {"name": model.text.name, "finetune": False, "word_dropout": 0.2, "normalize_text": False},
        },
        "args": {"merge_text_conditions_p": 0.25, "drop_desc_p": 0.5},
    }
    if audio == "chroma_stem":
        conditioners["self_wav"] = {"model": audio, audio: _chroma_settings()}
    elif audio == "style":
        conditioners["self_wav"] = {"model": audio, audio: _style_settings(model.style)}
    return {
        "solver": "musicgen",
        "device": "cuda",
        "dtype": "float16",
        "sample_rate": model.codec.sample_rate,
        "channels": 2 if model.stereo else 1,
        "dora": {"dir": "/checkpoint/${oc.env:USER}/experiments"},
        "compression_model_n_q": None,
        "compression_model_checkpoint": "//pretrained/codec",
        "interleave_stereo_codebooks": {"use": model.stereo, "per_timestep": False},
        "dataset": {"sample_rate": "${sample_rate}", "channels": "${channels}", "segment_duration": model.seconds},
        "lm_model": "transformer_lm",
        "codebooks_pattern": {
            "modeling": None if first_release else "delay",
            "delay": {"delays": delays, "flatten_first": 0, "empty_initial": 0},
            "unroll": {"flattening": [0, 1, 2, 3], "delays": [0, 0, 0, 0]},
            "music_lm": {"group_by": 2},
        },
        "transformer_lm": {
            "dim": model.size.dim,
            "num_heads": model.size.heads,
            "num_layers": model.size.layers,
            "hidden_scale": 4,
            **({"q_modeling": "delay"} if first_release else {}),
            "n_q": model.num_codebooks,
            "card": model.codes,
            "dropout": 0.0,
            "emb_lr": None,
            "activation": "gelu",
            "norm_first": True,
            **dict.fromkeys(("bias_ff", "bias_attn", "bias_proj", "custom", "cross_attention", "xpos"), False),
            **dict.fromkeys(("qk_layer_norm", "qk_layer_norm_cross", "attention_as_float32", "two_step_cfg"), False),
            **dict.fromkeys(("past_context", "layer_scale", "attention_dropout")),
            **dict.fromkeys(("causal", "memory_efficient", "zero_bias_init"), True),
            "positional_embedding": "sin",
            "checkpointing": "none",
            "weight_init": "gaussian",
            "depthwise_init": "current",
            "norm": "layer_norm",
            "kv_repeat": 1,
        },
        "classifier_free_guidance": {"training_dropout": 0.3, "inference_coef": 3.0},
        "attribute_dropout": {"args": {"active_on_eval": False}, "text": {}, "wav": {}},
        "fuser": {
            "cross_attention_pos_emb": False,
            "cross_attention_pos_emb_scale": 1,
            "sum": [],
            "prepend": [] if audio is None else ["self_wav", text],
            "cross": [text] if audio is None else [],
            "input_interpolate": [],
        },
        "conditioners": conditioners,
    }


def _chroma_settings() -> dict[str, Any]:
    return {
        "sample_rate": "${sample_rate}",
        "n_chroma": 12,
        "radix2_exp": 14,
        "argmax": True,
        "match_len_on_eval": False,
        "eval_wavs": None,
        "n_eval_wavs": 100,
        "cache_path": "/checkpoint/${oc.env:USER}/chroma",
    }


def _style_settings(style: Style) -> dict[str, Any]:
    return {
        "model_name": "mert",
        "sample_rate": "${sample_rate}",
        "transformer_scale": "default",
        "ds_factor": 15,
        "encodec_n_q": 3,
        "n_q_out": 6,
        "eval_q": 3,
        "q_dropout": True,
        "bins": style.codes,
        "varying_lengths": [1.5, 4.5],
        "batch_norm": True,
        "compute_mask": True,
        "use_middle_of_segment": False,
        "ds_rate_compression": 640,
        "num_codebooks_lm": 4,
    }


def codec_settings(model: Model, first_release: bool = False) -> dict[str, Any]:
    """The `xp.cfg` of `compression_state_dict.bin` (section 1.1)."""
    return {
        "compression_model": "encodec",
        "sample_rate": model.codec.sample_rate,
        "channels": 1,
        "dora": {"dir": "/checkpoint/${oc.env:USER}/experiments"},
        "encodec": {
            "autoencoder": "seanet",
            "quantizer": "rvq",
            "sample_rate": "${sample_rate}",
            "channels": "${channels}",
            "causal": False,
            "renormalize": False,
            **({"renorm": False} if first_release else {}),  # deprecated (section 1.8)
        },
        "seanet": {
            "dimension": model.codec.latent,
            "channels": "${channels}",
            "causal": "${encodec.causal}",
            "n_filters": model.codec.filters,
            "n_residual_layers": 1,
            "ratios": list(model.codec.ratios),
            "activation": "ELU",
            "activation_params": {"alpha": 1.0},
            "norm": "weight_norm",
            "norm_params": {},
            "kernel_size": 7,
            "residual_kernel_size": 3,
            "last_kernel_size": 7,
            "dilation_base": 2,
            "pad_mode": "constant",
            "true_skip": True,
            "compress": 2,
            "lstm": 2,
            "disable_norm_outer_blocks": 0,
            "decoder": {"trim_right_ratio": 1.0, "final_activation": None, "final_activation_params": None},
            "encoder": {},
        },
        "rvq": {"n_q": 4, "q_dropout": False, "bins": model.codes, "kmeans_iters": 50},
    }


def transformers_settings(model: Model) -> dict[str, Any]:
    """The `config.json` of transformers (sections 1.7 and 4.3)."""
    codec, text, melody = model.codec, model.text, model.audio == "melody"
    return {
        "model_type": "musicgen_melody" if melody else "musicgen",
        **({"num_chroma": 12, "chroma_length": 235} if melody else {}),
        "text_encoder": {
            "model_type": "t5",
            "vocab_size": text.vocabulary,
            "d_model": text.dim,
            "d_kv": text.head_dim,
            "d_ff": 4 * text.dim,
            "num_layers": text.layers,
            "num_heads": text.heads,
        },
        "audio_encoder": {
            "model_type": "encodec",
            "audio_channels": 1,
            "codebook_dim": codec.latent,
            "codebook_size": model.codes,
            "compress": 2,
            "dilation_growth_rate": 2,
            "hidden_size": codec.latent,
            "kernel_size": 7,
            "last_kernel_size": 7,
            "norm_type": "weight_norm",
            "normalize": False,
            "num_filters": codec.filters,
            "num_lstm_layers": 2,
            "num_residual_layers": 1,
            "pad_mode": "reflect",
            "residual_kernel_size": 3,
            "sampling_rate": codec.sample_rate,
            "target_bandwidths": [2.2],
            "trim_right_ratio": 1.0,
            "upsampling_ratios": list(codec.ratios),
            "use_causal_conv": False,
            "use_conv_shortcut": False,
            "chunk_length_s": None,
            "overlap": None,
        },
        "decoder": {
            "model_type": "musicgen_melody_decoder" if melody else "musicgen_decoder",
            "vocab_size": model.codes,
            "hidden_size": model.size.dim,
            "num_hidden_layers": model.size.layers,
            "num_attention_heads": model.size.heads,
            "ffn_dim": 4 * model.size.dim,
            "num_codebooks": model.num_codebooks,
            "audio_channels": 2 if model.stereo else 1,
            "activation_function": "gelu",
            "scale_embedding": False,
            "pad_token_id": model.codes,
            "bos_token_id": model.codes,
            "tie_word_embeddings": False,
        },
    }


# ---- files -----------------------------------------------------------------------------------------------------------


def weightless(shapes: Shapes) -> dict[str, Tensor]:
    """Tensors without memory; but the melody's window, whose values are looked at."""
    return {
        name: torch.hann_window(*shape)
        if name.endswith(".window")
        else torch.empty(shape, device="meta", dtype=_kind(name))
        for name, shape in shapes.items()
    }


def random(shapes: Shapes, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Weights that make some noise."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        tensor = 0.3 * torch.randn(shape, generator=generator)
        if name.endswith(".window"):
            tensor = torch.hann_window(*shape)
        elif name.endswith((".inited", ".cluster_size", ".running_var", ".num_batches_tracked")):
            tensor = torch.ones(shape)
        state[name] = tensor.to(_kind(name, dtype))
    return state


def _kind(name: str, dtype: torch.dtype = torch.float32) -> torch.dtype:
    return torch.int64 if name.endswith(".num_batches_tracked") else dtype


def container(state: Mapping[str, Tensor], settings: Mapping[str, Any], first_release: bool = False) -> dict[str, Any]:
    """What `torch.save` wrote; files of the first release lack the version (sections 1.8 and 4.3)."""
    content = {"best_state": dict(state), "xp.cfg": yaml.safe_dump(dict(settings), sort_keys=False)}
    return content if first_release else {**content, "version": "1.4.0a2", "exported": True}


def write_audiocraft(model: Model, directory: Path, first_release: bool = False, pointer: bool = False) -> Path:
    """A directory as published, the language model in 16 bits. `pointer`: to the codec of another repository."""
    directory.mkdir(parents=True)
    half = random(audiocraft_lm(model), torch.float16)
    torch.save(container(half, lm_settings(model, first_release), first_release), directory / "state_dict.bin")
    codec = container(random(audiocraft_codec(model)), codec_settings(model, first_release), first_release)
    if pointer:
        codec = {"pretrained": "facebook/encodec_32khz", "exported": True, "version": "1.4.0a2"}
    torch.save(codec, directory / "compression_state_dict.bin")
    return directory


def write_settings(model: Model, directory: Path) -> Path:
    """A directory of transformers without its weights."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(transformers_settings(model)))
    (directory / "generation_config.json").write_text(json.dumps({"guidance_scale": 3.0, "max_length": 1500}))
    return directory
