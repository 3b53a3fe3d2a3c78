"""Jukebox' VQ-VAE as OpenAI published it: `vqvae.pth.tar`, which is a plain PyTorch file, not an archive.

In: such a file, or one that a training run of the same code left. Out: a `JukeboxVQVAE`, or its model directory.
Shapes are read off the tensors; what they do not tell comes from the file's hyper-parameters, where it has them, else
from the released configuration.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cadenza.checkpoint import parse_config
from cadenza.convert.assemble import assemble, reading, require
from cadenza.convert.names import Names
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CheckpointError
from cadenza.files import atomic_directory
from cadenza.jukebox.autoencoder import STRIDE, DecoderStage
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig

LICENCE = "Jukebox License (weights by OpenAI: not for commercial use)"
_WRAPPER = "module."  # of a model trained by several processes


def read_vqvae(path: str | Path) -> JukeboxVQVAE:
    """The VQ-VAE in a file. Raises CheckpointError for another kind of file, a broken or an incomplete one."""
    content = read_pickle(path)
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise CheckpointError(f"{path} has no weights under 'model': expected OpenAI's vqvae.pth.tar")
    settings = content.get("hps")
    state = {str(name).removeprefix(_WRAPPER): tensor for name, tensor in state.items()}
    return vqvae_of(state, settings if isinstance(settings, dict) else {}, path)


def vqvae_of(state: Mapping[str, Tensor], settings: Mapping[str, Any], source: str | Path) -> JukeboxVQVAE:
    """The VQ-VAE of tensors under OpenAI's names; `source` is where they come from."""
    if "bottleneck.level_blocks.0.k" not in state:
        raise CheckpointError(f"{source} holds no codebooks: it is not a VQ-VAE (a prior has a file of its own)")
    with reading(source):
        config = _config(state, settings, source)
    return assemble(JukeboxVQVAE, config, vqvae_names, state, source)


def convert_vqvae(path: str | Path, directory: str | Path) -> None:
    """Write the model directory of a file; `directory` is new or empty. Raises CheckpointError as `read_vqvae` does."""
    model = read_vqvae(path)
    with atomic_directory(directory) as temporary:
        model.save_pretrained(temporary)


def vqvae_names(model: JukeboxVQVAE) -> Names:
    """`encoders.1.stages.0.downs.2.conv.bias` -> `encoders.1.level_blocks.0.model.2.0.bias`, and so on.

    In their decoder stages the projection is number 0 and halvings follow; in their encoder stages it comes last.
    """
    names: Names = {}
    for name in model.state_dict():
        foreign = re.sub(r"^codebooks\.(\d+)\.vectors$", r"bottleneck.level_blocks.\1.k", name)
        foreign = foreign.replace(".stages.", ".level_blocks.")
        foreign = re.sub(r"\.downs\.(\d+)\.conv\.", r".model.\1.0.", foreign)
        foreign = re.sub(r"\.downs\.(\d+)\.blocks\.", r".model.\1.1.model.", foreign)
        foreign = re.sub(r"\.ups\.(\d+)\.conv\.", lambda m: f".model.{int(m[1]) + 1}.1.", foreign)
        foreign = re.sub(r"\.ups\.(\d+)\.blocks\.", lambda m: f".model.{int(m[1]) + 1}.0.model.", foreign)
        foreign = foreign.replace(".dilated.", ".model.1.").replace(".point.", ".model.3.")
        if ".projection." in foreign:
            stage = model.get_submodule(name.partition(".projection.")[0])
            number = 0 if isinstance(stage, DecoderStage) else stage.num_downs
            foreign = foreign.replace(".projection.", f".model.{number}.")
        names[name] = (foreign,)
    return names


def _config(state: Mapping[str, Tensor], settings: Mapping[str, Any], source: str | Path) -> JukeboxVQVAEConfig:
    """KeyError for what the file lacks."""
    require(settings, {"use_bottleneck": True}, source)
    if any(stride != STRIDE for stride in settings.get("strides_t", ())):
        raise CheckpointError(f"{source}: strides_t is {settings['strides_t']}, only {STRIDE} is supported")
    levels = range(_count(state, "bottleneck.level_blocks"))
    size, dim = state["bottleneck.level_blocks.0.k"].shape
    last = [f"encoders.{level}.level_blocks.{level}.model" for level in levels]
    first = [f"encoders.{level}.level_blocks.0.model.0" for level in levels]
    widths = [state[f"{name}.0.weight"].shape[0] for name in first]
    depths = [_count(state, f"{name}.1.model") for name in first]
    hidden = state[f"{first[0]}.1.model.0.model.1.weight"].shape[0] if depths[0] else widths[0]
    value = {
        "layout": "separate",
        "downs": [_count(state, name) - 1 for name in last],  # the last part is the projection
        "widths": widths,
        "depths": depths,
        "expansion": hidden / widths[0],
        "latent_dim": dim,
        "codebook_size": size,
    }
    told = {
        "sample_rate": "sr",
        "expansion": "m_conv",
        "dilation_growth": "dilation_growth_rate",
        "dilation_cycle": "dilation_cycle",
        "reverse_decoder_dilation": "vqvae_reverse_decoder_dilation",
    }
    value |= {name: settings[theirs] for name, theirs in told.items() if theirs in settings}
    return parse_config(JukeboxVQVAEConfig, value, source)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered parts there are below `prefix`."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for name in state if (match := pattern.match(name))})
