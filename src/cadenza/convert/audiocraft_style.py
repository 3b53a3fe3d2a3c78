"""MusicGen-Style's condition in audiocraft's files: settings `conditioners.<name>.style`, and its tensors.

In: settings and tensors of one condition. Out: our configuration; and back. The frozen MERT is in no such file: its
own, as Hugging Face distributes it, is read here too.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadenza.checkpoint import CONFIG_FILE, WEIGHTS_FILE, read_config
from cadenza.conditioning.mert import Mert, MertConfig
from cadenza.conditioning.style import StyleConfig
from cadenza.convert.names import AUDIOCRAFT_LAYER
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CheckpointError, UserError

PICKLED_WEIGHTS = "pytorch_model.bin"
"""MERT is published in this file alone."""

_SCALES = {"xsmall": (256, 8, 4), "default": (512, 8, 8), "large": (1024, 16, 24)}
"""audiocraft's sizes of the transformer: width, heads, layers."""
_SECONDS = [1.5, 4.5]
"""Training draws the length of excerpts between these."""


def read_style(own: Mapping[str, Any], state: Mapping[str, Tensor], source: str | Path) -> dict[str, Any]:
    """Our configuration. The tensors say how large everything is, the settings the rest.

    Raises CheckpointError for a kind of extractor or a scale that audiocraft does not have.
    """
    extractor = own.get("model_name", "mert")
    if extractor not in ("mert", "encodec"):
        raise CheckpointError(f"{source}: its style is heard by {extractor!r}: only 'mert' and 'encodec' are supported")
    scale = own.get("transformer_scale", "default")
    if scale not in _SCALES:
        raise CheckpointError(f"{source}: transformer_scale is {scale!r}, the known ones are {', '.join(_SCALES)}")
    books = _numbered(state, r"rvq\.vq\.layers\.(\d+)\.")
    embedding = state["embed.weight" if extractor == "mert" else "embed.0.weight"]
    value = {
        "kind": "style",
        "extractor": extractor,
        "excerpt_seconds": own.get("length", 3.0),
        "middle": own.get("use_middle_of_segment", False),
        "dim": embedding.shape[0 if extractor == "mert" else 1],
        "num_heads": _SCALES[scale][1],
        "num_layers": _numbered(state, r"transformer\.layers\.(\d+)\."),
        "batch_norm": own.get("batch_norm", True),
        "num_codebooks": books,
        "used_codebooks": min(own.get("eval_q", 3), books),
        "codebook_size": state["rvq.vq.layers.0._codebook.embed"].shape[0],
        "quantizer_dropout": own.get("q_dropout", True),
        "downsample": own.get("ds_factor", 15),
    }
    if extractor == "mert":
        return value | {"extractor_dim": embedding.shape[1]}
    heard = _numbered(state, r"embed\.(\d+)\.")
    return value | {"codec_codebooks": heard, "codec_codebook_size": embedding.shape[0]}


def write_style(config: StyleConfig) -> dict[str, Any]:
    """The settings `style`. Raises UserError for what audiocraft cannot express."""
    shape = (config.dim, config.num_heads, config.num_layers)
    scale = next((name for name, known in _SCALES.items() if known == shape), None)
    if scale is None or (config.extractor == "mert" and config.extractor_dim != 768):
        raise UserError(
            "audiocraft cannot express this style (its transformer or its extractor has another size): keep it as a "
            "Cadenza directory"
        )
    return {
        "model_name": config.extractor,
        "transformer_scale": scale,
        "sample_rate": "${sample_rate}",
        "encodec_checkpoint": "//pretrained/facebook/encodec_32khz",
        "encodec_n_q": config.codec_codebooks,
        "length": config.excerpt_seconds,
        "ds_factor": config.downsample,
        "n_q_out": config.num_codebooks,
        "eval_q": config.used_codebooks,
        "q_dropout": config.quantizer_dropout,
        "bins": config.codebook_size,
        "varying_lengths": _SECONDS,
        "batch_norm": config.batch_norm,
        "compute_mask": True,
        "num_codebooks_lm": "${transformer_lm.n_q}",
        "ds_rate_compression": 640,
        "use_middle_of_segment": config.middle,
        "rvq_threshold_ema_dead_code": 0.1,
    }


def rename_style(name: str) -> str:
    """`bottleneck.layers.3.norm_self.weight` -> `transformer.layers.3.norm1.weight`, and so on."""
    name = name.replace("output_projection.", "output_proj.").removeprefix("bottleneck.")
    name = re.sub(r"^quantizer\.layers\.(\d+)\.", r"rvq.vq.layers.\1._codebook.", name)
    match = re.fullmatch(r"layers\.(\d+)\.(.*)\.(\w+)", name)
    if match is None:
        return name
    index, part, leaf = match.groups()
    whole = AUDIOCRAFT_LAYER.get(f"{part}.{leaf}")
    foreign = whole[0] if whole is not None else f"{AUDIOCRAFT_LAYER[part][0]}.{leaf}"
    return f"transformer.layers.{index}.{foreign}"


def _numbered(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many parts of a list there are tensors of."""
    return len({match.group(1) for name in state if (match := re.match(pattern, name))})


def read_mert(directory: str | Path) -> Mert:
    """MERT as it is published (its weights pickled), or in safetensors. CheckpointError for one that does not fit."""
    directory = Path(directory)
    if (directory / WEIGHTS_FILE).is_file():
        mert = Mert.from_pretrained(directory)
    else:
        path = directory / PICKLED_WEIGHTS
        if not path.is_file():
            raise CheckpointError(f"no {WEIGHTS_FILE} or {PICKLED_WEIGHTS} in {directory}: the style encoder's folder")
        state = read_pickle(path)
        if not isinstance(state, dict) or not all(isinstance(part, torch.Tensor) for part in state.values()):
            raise CheckpointError(f"{path} holds no weights: fetch it again")
        mert = Mert(read_config(MertConfig, directory / CONFIG_FILE), state, path)
    mert.check()
    return mert
