"""Jukebox's priors in OpenAI's own files.

In: `prior_level_0.pth.tar`, `prior_level_1.pth.tar` or `prior_level_2.pth.tar`, which despite their name are plain
`torch.save` files. Out: a `Prior`. Settings come from the file, or, since the published files may hold weights alone,
are named: `upsampler_level_0`, `upsampler_level_1`, `5b`, `5b_lyrics`, `1b_lyrics`. The weights are licensed for
non-commercial use.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadenza.checkpoint import parse_config
from cadenza.convert.assemble import assemble, reading, require
from cadenza.convert.names import Names
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CheckpointError
from cadenza.files import atomic_directory
from cadenza.jukebox.attention import layer_kinds
from cadenza.jukebox.prior import Prior, PriorConfig

# ---- settings --------------------------------------------------------------------------------------------------------

DOUBLINGS = (3, 2, 2)
"""Of the published VQ-VAE: each level has a code for 2 to the power of so many of what is below it."""

CODEBOOK_SIZE = 2048
"""Of the same."""

_ALL: dict[str, Any] = {"sr": 44100, "m_attn": 0.25, "m_mlp": 1.0, "labels": True}
_TOP: dict[str, Any] = {**_ALL, "level": 2, "max_duration": 600.0}
_UPSAMPLER: dict[str, Any] = {
    **_ALL,
    "n_ctx": 8192,
    "prior_width": 1920,
    "prior_depth": 72,
    "heads": 1,
    "attn_order": 2,
    "blocks": 128,
    "init_scale": 0.4,
    "labels_v3": False,
    "y_bins": (120, 4111),
    "max_bow_genre_size": 5,
    "cond_width": 1024,
    "cond_depth": 16,
    "cond_m_conv": 1.0,
    "cond_dilation_growth_rate": 3,
    "cond_dilation_cycle": 8,
}
_5B: dict[str, Any] = {
    **_TOP,
    "n_ctx": 8192,
    "prior_width": 4800,
    "prior_depth": 72,
    "heads": 8,
    "attn_order": 2,
    "blocks": 128,
    "init_scale": 0.1,
    "merged_decoder": True,
    "labels_v3": False,
    "y_bins": (120, 4111),
    "max_bow_genre_size": 5,
    "t_bins": 128,
    "min_duration": 60.0,
}
RELEASED: dict[str, dict[str, Any]] = {
    "upsampler_level_0": {**_UPSAMPLER, "level": 0, "cond_res_scale": False},
    "upsampler_level_1": {**_UPSAMPLER, "level": 1, "cond_res_scale": True},
    "5b": _5B,
    "5b_lyrics": {
        **_5B,
        "prior_depth": 79,
        "attn_order": 10,
        "min_duration": 23.8,
        "use_tokens": True,
        "n_tokens": 512,
        "n_vocab": 80,
        "prime_loss_fraction": 0.4,
        "prime_width": 1280,
        "prime_depth": 18,
        "prime_heads": 4,
        "prime_attn_order": 2,
        "prime_blocks": 32,
        "prime_m_attn": 0.25,
        "prime_m_mlp": 1.0,
        "prime_init_scale": 0.7,
        "alignment_layer": 68,
        "alignment_head": 2,
    },
    "1b_lyrics": {
        **_TOP,
        "n_ctx": 6144,
        "prior_width": 2048,
        "prior_depth": 72,
        "heads": 2,
        "attn_order": 12,
        "blocks": 64,
        "init_scale": 0.2,
        "labels_v3": True,
        "y_bins": (604, 7898),
        "max_bow_genre_size": 1,
        "t_bins": 64,
        "min_duration": 17.84,
        "use_tokens": True,
        "n_tokens": 384,
        "n_vocab": 79,
        "prime_loss_fraction": 0.4,
        "single_enc_dec": True,
        "alignment_layer": 63,
        "alignment_head": 0,
    },
}
"""The settings of the published priors that shape them, under the names in which the files hold settings."""


def prior_config(
    settings: Mapping[str, Any],
    source: str | Path,
    doublings: Sequence[int] = DOUBLINGS,
    codebook_size: int = CODEBOOK_SIZE,
) -> PriorConfig:
    """The configuration that a prior's settings describe. `source` names them in errors.

    `doublings` and `codebook_size` are those of the VQ-VAE that it was trained on, of which its settings say nothing.

    Raises CheckpointError for settings that are missing or malformed, or that no published model has.
    """
    with reading(source):
        require(settings, {"res_scale": False, "prime_res_scale": False, "cond_m_conv": 1.0}, source)
        level = settings["level"]
        if not 0 <= level < len(doublings):
            raise CheckpointError(f"{source} is of level {level}: the VQ-VAE has levels 0 to {len(doublings) - 1}")
        value: dict[str, Any] = {
            "level": level,
            "sample_rate": settings["sr"],
            "hop_length": 2 ** sum(doublings[: level + 1]),
            "codebook_size": codebook_size,
            "context_length": settings["n_ctx"],
            "transformer": _transformer(
                settings["prior_width"],
                settings["prior_depth"],
                settings["heads"],
                settings["attn_order"],
                settings["blocks"],
                settings["m_attn"],
                settings["m_mlp"],
            ),
            "tied_head": not settings.get("merged_decoder", False),
            "init_scale": settings["init_scale"],
        }
        version = "v3" if settings.get("labels_v3") else "v2"
        is_top = level == len(doublings) - 1
        if settings["labels"]:
            genres, artists = settings["y_bins"]
            value["labels"] = {
                "version": version,
                "num_genres": genres,
                "num_artists": artists,
                "max_genres": settings["max_bow_genre_size"],
            }
            if is_top:
                value["timing"] = {
                    "num_bins": settings["t_bins"],
                    "min_seconds": settings["min_duration"],
                    "max_seconds": settings["max_duration"],
                }
        if settings.get("use_tokens"):
            value["lyrics"] = _lyrics(settings)
        if not is_top:
            value["conditioner"] = {
                "width": settings["cond_width"],
                "depth": settings["cond_depth"],
                "num_ups": doublings[level + 1],
                "dilation_growth": settings["cond_dilation_growth_rate"],
                "dilation_cycle": settings["cond_dilation_cycle"] or settings["cond_depth"],
                "residual_scale": settings["cond_res_scale"],
            }
    return parse_config(PriorConfig, value, source)


def _transformer(
    width: int, depth: int, heads: int, order: int, blocks: int, attention: float, feed_forward: float
) -> dict[str, Any]:
    return {
        "dim": width,
        "num_heads": heads,
        "attention_dim": int(attention * width),
        "feed_forward_dim": int(feed_forward * width),
        "layers": layer_kinds(order, depth),
        "num_rows": blocks,
    }


def _lyrics(settings: Mapping[str, Any]) -> dict[str, Any]:
    versions = {80: "v2", 79: "v3"}
    value: dict[str, Any] = {
        "version": versions[settings["n_vocab"]],
        "num_tokens": settings["n_tokens"],
        "loss_weight": settings["prime_loss_fraction"],
    }
    if settings.get("alignment_layer") is not None:
        value["alignment"] = (settings["alignment_layer"], settings["alignment_head"])
    if settings.get("single_enc_dec"):
        return {"kind": "sequence", **value}
    encoder = _transformer(
        settings["prime_width"],
        settings["prime_depth"],
        settings["prime_heads"],
        settings["prime_attn_order"],
        settings["prime_blocks"],
        settings["prime_m_attn"],
        settings["prime_m_mlp"],
    )
    return {"kind": "encoded", **value, "encoder": encoder, "init_scale": settings["prime_init_scale"]}


# ---- weights ---------------------------------------------------------------------------------------------------------


def read_prior(path: str | Path, name: str | None = None, doublings: Sequence[int] = DOUBLINGS) -> Prior:
    """The prior in a file, its tensors in the precision in which they are stored (5b: float16 matrices).

    Args:
        path: the file.
        name: a key of `RELEASED`, for a file that holds no settings of its own.
        doublings: of the VQ-VAE that it was trained on.

    Raises CheckpointError for a file that is broken, of another kind, or does not match its settings.
    """
    state, own = _read(path)
    settings = own if name is None else RELEASED[name]
    if settings is None:
        raise CheckpointError(f"{path} holds no settings: say which model it is of ({', '.join(RELEASED)})")
    return prior_of(state, settings, path, doublings)


def read_released(path: str | Path, level: int, doublings: Sequence[int] = DOUBLINGS) -> Prior:
    """The same without a name: a published prior is known by its shape, another one by the settings in its file."""
    state, own = _read(path)
    settings = released_settings(state, level) or own
    if settings is None:
        raise CheckpointError(f"{path} holds no settings, and no published prior has its shape: it cannot be read")
    if settings.get("level") != level:
        raise CheckpointError(f"{path} is of level {settings.get('level')!r:.20}, expected {level}: rename it")
    return prior_of(state, settings, path, doublings)


def released_settings(state: Mapping[str, Tensor], level: int) -> dict[str, Any] | None:
    """Settings of the published prior of this level that has the shape of these tensors, under OpenAI's names."""
    shapes = [getattr(state.get(name), "shape", None) for name in ("prior.x_emb.weight", "prior.pos_emb.pos_emb")]
    depth = len({name.split(".")[3] for name in state if name.startswith("prior.transformer._attn_mods.")})
    for settings in RELEASED.values():
        in_front = settings.get("single_enc_dec", False)
        width, context = settings["prior_width"], settings["n_ctx"] + (settings["n_tokens"] if in_front else 0)
        rows = CODEBOOK_SIZE + (settings["n_vocab"] if in_front else 0)
        its_own = (settings["level"], settings["prior_depth"], [(rows, width), (context, width)])
        if its_own == (level, depth, shapes):
            return settings
    return None


def _read(path: str | Path) -> tuple[dict[str, Tensor], Mapping[str, Any] | None]:
    """Tensors of a file, and its settings if it has them."""
    content = read_pickle(path)
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise CheckpointError(f"{path} is no Jukebox checkpoint: it has no model")
    settings = content.get("hps")
    state = {str(key).removeprefix("module."): tensor for key, tensor in content["model"].items()}
    return state, settings if isinstance(settings, Mapping) else None


def prior_of(
    state: Mapping[str, Tensor], settings: Mapping[str, Any], source: str | Path, doublings: Sequence[int] = DOUBLINGS
) -> Prior:
    """The prior of tensors and settings under OpenAI's names; `source` is where they come from."""
    embedding = state.get("prior.x_emb.weight")
    if not isinstance(embedding, Tensor):
        raise CheckpointError(f"{source} is no Jukebox prior: it lacks prior.x_emb.weight")
    in_sequence = settings.get("use_tokens") and settings.get("single_enc_dec")
    symbols = settings["n_vocab"] if in_sequence else 0
    config = prior_config(settings, source, doublings, len(embedding) - symbols)
    return assemble(Prior, config, openai_prior, _in_our_form(dict(state), config, source), source)


def convert_prior(
    path: str | Path, directory: str | Path, name: str | None = None, doublings: Sequence[int] = DOUBLINGS
) -> None:
    """Write the model directory of a file; `directory` is new or empty. Raises CheckpointError as `read_prior` does."""
    prior = read_prior(path, name, doublings)
    with atomic_directory(directory) as temporary:
        prior.save_pretrained(temporary)


def _in_our_form(state: dict[str, Tensor], config: PriorConfig, source: str | Path) -> dict[str, Tensor]:
    """Weights of linear layers as (out, in), and a tied head's copy left out."""
    if config.tied_head:
        copy, embedding = state.pop("prior.x_out.weight", None), state.get("prior.x_emb.weight")
        if copy is not None and embedding is not None and not torch.equal(copy, embedding):
            raise CheckpointError(f"{source}: its head is not its embedding, though its settings say so")
    return {name: tensor.mT if name.endswith(".w") else tensor for name, tensor in state.items()}


_FIXED = {
    "embedding.weight": "prior.x_emb.weight",
    "positions": "prior.pos_emb.pos_emb",
    "head.weight": "prior.x_out.weight",
    "start": "prior.start_token",
    "labels.genres.weight": "y_emb.bow_genre_emb.emb.weight",
    "labels.artists.weight": "y_emb.artist_emb.emb.weight",
    "timing.total_length.table.weight": "y_emb.total_length_emb.emb.weight",
    "timing.absolute.table.weight": "y_emb.absolute_pos_emb.emb.weight",
    "timing.relative.table.weight": "y_emb.relative_pos_emb.emb.weight",
    "lyric_encoder.start": "prime_prior.start_token",
    "lyric_encoder.embedding.weight": "prime_prior.x_emb.weight",
    "lyric_encoder.positions": "prime_prior.pos_emb.pos_emb",
    "lyric_encoder.projection.weight": "prime_state_proj.w",
    "lyric_encoder.projection.bias": "prime_state_proj.b",
    "lyric_encoder.norm.weight": "prime_state_ln.weight",
    "lyric_encoder.norm.bias": "prime_state_ln.bias",
    "lyric_encoder.head.weight": "prime_x_out.weight",
    "conditioner.embedding.weight": "conditioner_blocks.0.x_emb.weight",
    "conditioner.norm.weight": "conditioner_blocks.0.ln.weight",
    "conditioner.norm.bias": "conditioner_blocks.0.ln.bias",
}
_LAYER = {
    "attention.in_projection": "attn.c_attn",
    "attention.source_projection": "attn.c_enc_kv",
    "attention.out_projection": "attn.c_proj",
    "norm_attention": "ln_0",
    "feed_forward.linear1": "mlp.c_fc",
    "feed_forward.linear2": "mlp.c_proj",
    "norm_feed_forward": "ln_1",
}
_STACKS = {"transformer": "prior.transformer", "lyric_encoder.transformer": "prime_prior.transformer"}


def _of_layer(match: re.Match[str]) -> str:
    stack, index, part, leaf = match.groups()
    if not part.startswith("norm"):
        leaf = leaf[0]  # linear layers have w and b
    return f"{_STACKS[stack]}._attn_mods.{index}.{_LAYER[part]}.{leaf}"


def _of_conditioner(match: re.Match[str]) -> str:
    up, block, part, leaf = match.groups()
    stage = f"conditioner_blocks.0.cond.model.{int(up) + 1}"
    if block is None:
        return f"{stage}.1.{leaf}"
    return f"{stage}.0.blocks.{block}.model.{1 if part == 'dilated' else 3}.{leaf}"


_PATTERNS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"((?:lyric_encoder\.)?transformer)\.layers\.(\d+)\.(.+)\.(weight|bias)", _of_layer),
    (r"conditioner\.stage\.ups\.(\d+)\.(?:blocks\.(\d+)\.(dilated|point)|conv)\.(weight|bias)", _of_conditioner),
    (r"conditioner\.stage\.projection\.(weight|bias)", lambda match: f"conditioner_blocks.0.cond.model.0.{match[1]}"),
)


def openai_prior(prior: Prior) -> Names:
    """Our tensors' names in OpenAI's files."""
    return {name: (_foreign(name),) for name in prior.state_dict()}


def _foreign(name: str) -> str:
    if name in _FIXED:
        return _FIXED[name]
    for pattern, write in _PATTERNS:
        if match := re.fullmatch(pattern, name):
            return write(match)
    raise AssertionError(f"{name} has no name in OpenAI's files")
