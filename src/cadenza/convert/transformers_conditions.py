"""What a MusicGen of `transformers` listens to: a text, or a melody and a text.

In: `config.json`, `preprocessor_config.json` and the two projections. Out: a `ConditionProvider`; and back. A text
alone is listened to by cross-attention; a melody and then the text stand in front of the codes. A missing melody is
class 0 all the time, as in audiocraft.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadenza.checkpoint import parse_config, read_json
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.plan import PlanConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.text import TextConfig
from cadenza.convert.assemble import assemble
from cadenza.convert.names import Names
from cadenza.convert.transformers_codec import PREPROCESSOR_FILE

TEXT, MELODY = "description", "self_wav"
_PROJECTIONS = {"text": "enc_to_dec_proj.", "chroma": "audio_enc_to_dec_proj."}

# What `transformers` takes for a field that config.json or preprocessor_config.json leaves out.
MELODY_DEFAULTS: dict[str, Any] = {"num_chroma": 12, "chroma_length": 235}
EXTRACTOR_DEFAULTS: dict[str, Any] = {"sampling_rate": 32000, "hop_length": 4096, "n_fft": 16384}


def read_conditions(
    settings: Mapping[str, Any], text_dim: int, dim: int, state: Mapping[str, Tensor], directory: Path
) -> ConditionProvider:
    """The conditions of the model in `directory`, whose text encoder and decoder are `text_dim` and `dim` wide."""
    parts: dict[str, dict[str, Any]] = {TEXT: {"kind": "text", "dim": text_dim}}
    fuser: dict[str, Any] = {"cross": [TEXT], "mask_padding": True}
    if settings["model_type"] == "musicgen_melody":
        parts = {MELODY: _read_melody(settings, directory), **parts}
        fuser = {"prepend": list(parts)}
    config = parse_config(ConditioningConfig, {"dim": dim, "conditioners": parts, "fuser": fuser}, directory)
    prefixes = tuple(_PROJECTIONS.values())
    projections = {name: tensor for name, tensor in state.items() if name.startswith(prefixes)}
    for part in config.conditioners.values():
        prefix = _PROJECTIONS[part.kind]
        assert not isinstance(part, PlanConfig)
        if part.dim == dim and f"{prefix}weight" not in projections:  # as wide as the decoder: taken as it is
            projections |= {f"{prefix}weight": torch.eye(dim), f"{prefix}bias": torch.zeros(dim)}
    return assemble(ConditionProvider, config, projection_names, projections, directory)


def _read_melody(settings: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    path = directory / PREPROCESSOR_FILE
    model = {**MELODY_DEFAULTS, **settings}
    extractor = {**EXTRACTOR_DEFAULTS, **(read_json(path) if path.is_file() else {})}
    return {
        "kind": "chroma",
        "dim": model["num_chroma"],
        "length": model["chroma_length"],
        "sample_rate": extractor["sampling_rate"],
        "hop": extractor["hop_length"],
        "n_fft": extractor["n_fft"],
    }


def projection_names(provider: ConditionProvider) -> Names:
    """`description.output_projection.weight` -> `enc_to_dec_proj.weight`."""
    names: Names = {}
    for name in provider.state_dict():
        condition, _, leaf = name.partition(".output_projection.")
        names[name] = (f"{_PROJECTIONS[provider.config.conditioners[condition].kind]}{leaf}",)
    return names


# ---- writing ---------------------------------------------------------------------------------------------------------


def melody_of(config: ConditioningConfig) -> ChromaConfig | None:
    """The melody that a model listens to."""
    return next((part for part in config.conditioners.values() if isinstance(part, ChromaConfig)), None)


def reasons_against(config: ConditioningConfig) -> dict[str, bool]:
    """What `transformers` cannot express about conditions, and whether that is so here."""
    texts = [name for name, part in config.conditioners.items() if isinstance(part, TextConfig)]
    melodies = [name for name, part in config.conditioners.items() if isinstance(part, ChromaConfig)]
    fuser, names = config.fuser, config.conditioners.keys()
    alone = (fuser.cross, fuser.prepend, fuser.sum) == (tuple(texts), (), ()) and not melodies
    both = (fuser.cross, fuser.prepend, fuser.sum) == ((), (*melodies, *texts), ()) and len(melodies) == 1
    text = config.conditioners[texts[0]] if texts else None
    assert text is None or isinstance(text, TextConfig)
    melody = melody_of(config)
    return {
        "it must listen to a text by cross-attention, or to a melody and then a text in front of the codes": (
            len(texts) != 1 or len(names) != len(texts) + len(melodies) or not (alone or both)
        ),
        "its text encoder is as wide as its language model": text is not None and text.dim == config.dim,
        "its projections have two layers": any(
            isinstance(part, TextConfig | ChromaConfig) and part.projection_layers != 1
            for part in config.conditioners.values()
        ),
        "its text is normalised": isinstance(text, TextConfig) and text.normalize,
        "its text is padded to a fixed length": isinstance(text, TextConfig) and text.pad_to is not None,
        "its melody is not the strongest class of every frame, as many frames as in training": melody is not None
        and (not melody.only_strongest or melody.length is None or melody.steps_per_second is not None),
        "its melody tells silence from tones": melody is not None
        and (melody.quiet_db is not None or melody.null != "first_class"),
        "its melody follows a recording's own tuning": melody is not None and melody.tuning != "a440",
    }


def melody_settings(melody: ChromaConfig) -> dict[str, Any]:
    """What `MusicgenMelodyConfig` holds beyond its parts."""
    return {"num_chroma": melody.dim, "chroma_length": melody.length}


def extractor_settings(melody: ChromaConfig, max_duration_seconds: float) -> dict[str, Any]:
    """The `preprocessor_config.json` of `MusicgenMelodyFeatureExtractor`."""
    seconds = round(max_duration_seconds)
    return {
        "feature_extractor_type": "MusicgenMelodyFeatureExtractor",
        "feature_size": melody.dim,
        "num_chroma": melody.dim,
        "sampling_rate": melody.sample_rate,
        "hop_length": melody.hop,
        "n_fft": melody.n_fft,
        "chunk_length": seconds,
        "n_samples": seconds * melody.sample_rate,
        "padding_value": 0.0,
        "padding_side": "right",
        "return_attention_mask": False,
        "stem_indices": [3, 2],  # of Demucs: vocals and what is neither drums nor bass
    }
