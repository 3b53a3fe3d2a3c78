"""Multi-Band Diffusion in audiocraft's own files (`mbd_musicgen_32khz.th`, `mbd_comp_{2,4,8}.pt`).

In: a file written by `torch.save` that holds, for each band, OmegaConf's configuration objects, the network's tensors
and the levels of its bands; and the codec that it belongs to. Out: a `DiffusionDecoder`. Neither OmegaConf nor anything
else in the file is run: its objects are read as inert notes, and only their plain values are taken.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadenza.checkpoint import parse_config
from cadenza.codec.base import Codec
from cadenza.convert.assemble import assemble, reading, require
from cadenza.convert.names import AUDIOCRAFT_LAYER, Names
from cadenza.convert.official import UNKNOWN_LICENCE
from cadenza.convert.settings import Settings
from cadenza.convert.unpickle import OMEGACONF, plain_settings, read_pickle
from cadenza.diffusion.band import Band, BandConfig
from cadenza.diffusion.codes import CodeFacts, mono_of
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.decoder_config import DiffusionDecoderConfig
from cadenza.errors import CheckpointError

_FILTERS = "split_bands.lowpass.filters"
"""What the splitter can calculate; it is compared and left out."""


def is_checkpoint(path: str | Path) -> bool:
    """Whether a file holds a diffusion decoder. False for what cannot be read at all: others say why."""
    try:
        content = read_pickle(path, OMEGACONF)
    except CheckpointError:
        return False
    return isinstance(content, dict) and "n_bands" in content and 0 in content


def read_decoder(
    path: str | Path, codec: Codec, name: str = "multi-band diffusion", licence: str = UNKNOWN_LICENCE
) -> DiffusionDecoder:
    """The decoder in a file, for the codes of `codec`.

    Raises CheckpointError for a broken or hostile file, and for a codec that it does not belong to.
    """
    content = read_pickle(path, OMEGACONF)
    if not isinstance(content, dict) or not isinstance(content.get("n_bands"), int):
        raise CheckpointError(f"{path} is no diffusion decoder: it does not say how many bands it has")
    count, sample_rate = content["n_bands"], content.get("sample_rate")
    parts: list[dict[str, Any]] = [
        content[number] for number in range(min(count, 64)) if isinstance(content.get(number), dict)
    ]
    if not 0 < count <= 64 or len(parts) != count:
        raise CheckpointError(f"{path} says that it has {count} bands, and holds others: fetch it again")
    mono = mono_of(codec)
    facts, channels = CodeFacts.of(mono), 1
    if sample_rate != facts.sample_rate:
        raise CheckpointError(
            f"{path} decodes at {sample_rate} Hz, its codec at {facts.sample_rate} Hz: give its codec"
        )
    bands = []
    for number, part in enumerate(parts):
        place = f"{path}, band {number}"
        with reading(place):
            settings = Settings(plain_settings(part["cfg"]), place)
            channels = int(settings.get("channels", 1))
            config = _band_config(settings, facts.sample_rate, place)
            bands.append(_band(config, part, place))
    width = mono.decode_latent(torch.zeros(1, facts.num_codebooks, 1, dtype=torch.long)).shape[1]
    for number, band in enumerate(bands):
        if band.config.unet.condition_dim not in (None, width):
            raise CheckpointError(
                f"{path}, band {number} listens to {band.config.unet.condition_dim} channels, its codec has {width}: "
                "these two do not belong together"
            )
    value = {
        "name": name,
        "licence": licence,
        "channels": channels,
        "bands": [band.config.model_dump() for band in bands],
        "condition_dim": width,
        **facts._asdict(),
    }
    return DiffusionDecoder(parse_config(DiffusionDecoderConfig, value, path), mono, bands).eval()


def _band(config: BandConfig, part: Mapping[str, Any], source: str) -> Band:
    tensors = {f"unet.{name}": tensor for name, tensor in part["model_state"].items()}
    levels = dict(part.get("processor_state") or {}) if config.processor is not None else {}
    filters = levels.pop(_FILTERS, None)
    tensors |= {f"processor.{name}": tensor for name, tensor in levels.items()}
    if not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(f"{source}: its state holds other things than tensors: fetch it again")
    band = assemble(Band, config, names_of, tensors, source)
    if filters is not None and band.processor is not None:
        ours = band.processor.splitter.filters
        if filters.numel() != ours.numel() or not torch.allclose(filters.view_as(ours), ours, rtol=0, atol=1e-5):
            raise CheckpointError(f"{source}: its bands are cut otherwise than those of Multi-Band Diffusion")
    return band


# ---- configurations --------------------------------------------------------------------------------------------------


def _band_config(settings: Settings, sample_rate: int, source: str) -> BandConfig:
    network, schedule, processor = settings["diffusion_unet"], settings["schedule"], settings.get("processor") or {}
    require(schedule, {"repartition": "power"}, source)
    kinds = [kind for kind in ("transformer", "bilstm") if network.get(kind)]  # the transformer wins over the LSTM
    unet = {
        "channels": settings.get("channels", 1),
        "hidden": network.get("hidden", 24),
        "depth": network.get("depth", 3),
        "growth": network.get("growth", 2.0),
        "max_channels": network.get("max_channels", 10_000),
        "kernel_size": network.get("kernel", 4),
        "stride": network.get("stride", 2),
        "num_residual_blocks": network.get("res_blocks", 1),
        "norm_groups": network.get("norm_groups", 4),
        "dropout": network.get("dropout", 0.0),
        "embed_all_levels": network.get("emb_all_layers", False),
        "bottleneck": {"transformer": "transformer", "bilstm": "lstm"}[kinds[0]] if kinds else "none",
        "cross_attention": network.get("cross_attention", False),
        "condition_dim": network.get("codec_dim"),
        "num_steps": schedule.get("num_steps", 1000),
    }
    value: dict[str, Any] = {
        "unet": unet,
        "schedule": {
            "num_steps": schedule.get("num_steps", 1000),
            "beta_start": schedule.get("beta_t0", 1e-4),
            "beta_end": schedule.get("beta_t1", 0.02),
            "beta_exponent": schedule.get("beta_exp", 1.0),
            "clip": schedule.get("clip", 5.0),
            "rescale": schedule.get("rescale", 1.0),
            "noise_scale": schedule.get("noise_scale", 1.0),
        },
    }
    if processor.get("use"):
        require(processor, {"name": "multi_band_processor"}, source)
        value["processor"] = {
            "sample_rate": sample_rate,
            "num_bands": processor.get("n_bands", 8),
            "power": processor.get("power_std", 1.0),
            "max_items": processor.get("num_samples", 10_000),
        }
    return parse_config(BandConfig, value, source)


# ---- names -----------------------------------------------------------------------------------------------------------

_RENAMED = (
    (r"^(encoders\.\d+)\.down\.", r"\1.conv."),
    (r"^(decoders\.\d+)\.up\.", r"\1.convtr."),
    (r"^((?:en|de)coders\.\d+)\.blocks\.", r"\1.res_blocks."),
    (r"^condition_projection\.", "conv_codec."),
    (r"^step_embeddings\.0\.", "embedding."),
    (r"^bottleneck\.(lstm|linear)\.", r"bilstm.\1."),
)


def names_of(band: Band) -> Names:
    """Our names -> those of a band's `model_state` (behind `unet.`) and `processor_state` (behind `processor.`)."""
    names: Names = {}
    for name in band.state_dict():
        owner, _, rest = name.partition(".")
        names[name] = (f"unet.{_foreign(rest)}",) if owner == "unet" else (name,)
    return names


def _foreign(name: str) -> str:
    if match := re.fullmatch(r"bottleneck\.layers\.(\d+)\.(.+)", name):
        index, part = match.groups()
        layer, _, leaf = part.rpartition(".")
        theirs = AUDIOCRAFT_LAYER[part][0] if part in AUDIOCRAFT_LAYER else f"{AUDIOCRAFT_LAYER[layer][0]}.{leaf}"
        theirs = re.sub(r"^(self_attn|cross_attention)\.", r"\1.mha.", theirs)
        return f"transformer.layers.{index}.{theirs}"
    if match := re.fullmatch(r"step_embeddings\.([1-9]\d*)\.(.+)", name):
        return f"embeddings.{int(match[1]) - 1}.{match[2]}"
    for ours, theirs in _RENAMED:
        name = re.sub(ours, theirs, name)
    return name
