"""Jukebox in the directories of `transformers` (4.25 to 4.57), as on the Hub: openai/jukebox-1b-lyrics and -5b-lyrics.

In: a directory that holds all parts of one model. Out: its tensors under OpenAI's names, part by part, its VQ-VAE
and its priors.
There, priors are numbered from the top and the parts of the VQ-VAE have names of their own; the values are the same.
The weights are licensed for non-commercial use.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from cadenza.convert.openai_jukebox_prior import DOUBLINGS, prior_of, released_settings
from cadenza.convert.openai_jukebox_vqvae import vqvae_of
from cadenza.convert.transformers_codec import read_state
from cadenza.errors import CheckpointError
from cadenza.jukebox.prior import Prior
from cadenza.jukebox.vqvae import JukeboxVQVAE

NUM_LEVELS = 3

_RENAMED = (
    (r"bow_genre_emb\.weight", "bow_genre_emb.emb.weight"),
    (r"artist_emb\.weight", "artist_emb.emb.weight"),
    (r"(attn|mlp)\.(c_\w+)\.weight", r"\1.\2.w"),
    (r"(attn|mlp)\.(c_\w+)\.bias", r"\1.\2.b"),
    (r"layer_norm_([01])\.", r"ln_\1."),
    (r"^encoder\.proj_in\.weight", "prime_state_proj.w"),
    (r"^encoder\.proj_in\.bias", "prime_state_proj.b"),
    (r"^encoder\.final_layer_norm\.", "prime_state_ln."),
    (r"^encoder\.lm_head\.", "prime_x_out."),
    (r"^encoder\.", "prime_prior."),
    (r"^metadata_embedding\.", "y_emb."),
    (r"^conditioner_blocks\.layer_norm\.", "conditioner_blocks.0.ln."),
    (r"^conditioner_blocks\.(?!0\.)", "conditioner_blocks.0."),
    (r"\.embed_tokens\.", ".x_emb."),
    (r"\.fc_proj_out\.", ".x_out."),
    (r"^(bottleneck\.level_blocks\.\d+)\.codebook$", r"\1.k"),
    (r"\.upsampler\.", ".cond."),
)
_CONVOLUTIONS = {"1": "1", "2": "3"}
"""Of a residual block: their number there, and OpenAI's."""


def openai_names(names: list[str]) -> dict[str, str]:
    """Tensors of one part (a prior, or the VQ-VAE) without the part's prefix -> OpenAI's names."""
    downs: dict[str, int] = {}
    for name in names:
        if match := re.match(r"(.+)\.downsample_block\.(\d+)\.", name):
            downs[match[1]] = max(downs.get(match[1], 0), int(match[2]) // 2 + 1)
    return {name: _openai_name(name, downs) for name in names}


def _openai_name(name: str, downs: Mapping[str, int]) -> str:
    if ".proj_out." in name:  # of an encoder's stage, behind its halvings
        stage, _, leaf = name.partition(".proj_out.")
        return f"{stage}.model.{downs[stage]}.{leaf}"
    if match := re.fullmatch(
        r"(.+)\.(down|up)sample_block\.(\d+)\.(?:resnet_block\.(\d+)\.conv1d_([12])\.)?(\w+)", name
    ):
        stage, direction, number, block, convolution, leaf = match.groups()
        # Strided convolution and residual blocks are one part there each; here they share a number.
        part = f"{int(number) // 2 + (direction == 'up')}.{int(number) % 2}"
        # In memory-saving training, in which the priors were made, the list of blocks had another name.
        blocks = "blocks" if stage.startswith("conditioner_blocks") else "model"
        inner = f".{blocks}.{block}.model.{_CONVOLUTIONS[convolution]}" if block is not None else ""
        name = f"{stage}.model.{part}{inner}.{leaf}"
    name = name.replace(".proj_in.", ".model.0.") if not name.startswith("encoder.") else name
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def openai_state(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of one part, `priors.0.` or `vqvae.`, under OpenAI's names."""
    part = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return {theirs: part[ours] for ours, theirs in openai_names(list(part)).items()}


def read_transformers_prior(directory: str | Path, level: int, doublings: Sequence[int] = DOUBLINGS) -> Prior:
    """The prior of one level, counted from the finest, of a directory that holds a published model.

    Raises CheckpointError for a directory that is incomplete, or of another model.
    """
    directory = Path(directory)
    state = openai_state(read_state(directory), f"priors.{NUM_LEVELS - 1 - level}.")
    if not state:
        raise CheckpointError(f"{directory} holds no prior of level {level}: it is no Jukebox of transformers")
    settings = released_settings(state, level)
    if settings is None:
        raise CheckpointError(f"{directory}: its prior of level {level} has the shape of no published model")
    return prior_of(state, settings, directory, doublings)


def read_transformers_vqvae(directory: str | Path) -> JukeboxVQVAE:
    """The VQ-VAE of a directory. Raises CheckpointError for one that is incomplete."""
    directory = Path(directory)
    return vqvae_of(openai_state(read_state(directory), "vqvae."), {}, directory)
