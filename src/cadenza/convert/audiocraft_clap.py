"""audiocraft's `clap` condition: its settings and tensor names.

In: the settings and tensors of one condition in a `state_dict.bin`. Out: our configuration; and back. Such a file
holds the projection and the codebooks; the towers are LAION's and stay outside, as T5 does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cadenza.conditioning.clap import ClapConfig
from cadenza.convert.assemble import require
from cadenza.errors import UserError

MAX_TOKENS = 77
"""Where audiocraft cuts a sentence, without saying so."""
_REFERENCE = {
    "checkpoint": "//reference/clap/music_audioset_epoch_15_esc_90.14.pt",
    "model_arch": "HTSAT-base",
}


def read_clap(own: Mapping[str, Any], state: Mapping[str, Tensor], source: str | Path) -> dict[str, Any]:
    """Settings (of the group `clap`) and tensors to our configuration. CheckpointError for what is not supported."""
    # Before release 1.1 the rate was 44100, and CLAP heard everything 9 % too fast.
    require(own, {"enable_fusion": False, "sample_rate": 48000}, source)
    projection = state.get("output_proj.weight")
    return {
        "kind": "clap",
        "dim": own.get("dim", 512) if projection is None else projection.shape[-1],
        "max_tokens": MAX_TOKENS,
        "truncate": True,
        "window_seconds": own.get("max_audio_length", 10),
        "stride_seconds": own.get("audio_stride", 1),
        "normalize": bool(own.get("normalize", True)),
        "quantize": bool(own.get("quantize", True)),
        "num_codebooks": own.get("n_q", 12),
        "codebook_size": own.get("bins", 1024),
    }


def write_clap(config: ClapConfig) -> dict[str, Any]:
    """Settings of the condition. audiocraft will look for the towers of its own configuration.

    Raises UserError for what it cannot express.
    """
    if config.max_tokens != MAX_TOKENS:
        raise UserError(
            f"audiocraft cannot express this condition (it takes {config.max_tokens} tokens, not {MAX_TOKENS}): "
            "keep it as a Cadenza directory"
        )
    return {
        **_REFERENCE,
        "enable_fusion": False,
        "sample_rate": 48000,
        "max_audio_length": config.window_seconds,
        "audio_stride": config.stride_seconds,
        "dim": config.dim,
        "attribute": "description",
        "normalize": config.normalize,
        "quantize": config.quantize,
        "n_q": config.num_codebooks,
        "bins": config.codebook_size,
        "kmeans_iters": 50,
        "text_p": 0.0,
        "cache_path": None,
    }


def rename_clap(name: str) -> str:
    """`quantizer.layers.0.embed` -> `quantizer.vq.layers.0._codebook.embed`; `output_projection` -> `output_proj`."""
    first, _, rest = name.partition(".")
    if first == "output_projection":
        return f"output_proj.{rest}"
    _, index, leaf = rest.split(".")
    return f"quantizer.vq.layers.{index}._codebook.{leaf}"
