"""Jukebox of `transformers`: its names, as 4.57.6 (the last release with Jukebox) gives them for tiny models.

With random weights, priors made of them by this code gave that release's logits to 4e-7 of the largest, and the VQ-VAE
its codes and samples exactly.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cadenza.convert import openai_jukebox_prior
from cadenza.convert.openai_jukebox_prior import prior_of
from cadenza.convert.openai_jukebox_vqvae import read_vqvae
from cadenza.convert.transformers_jukebox import openai_state, read_transformers_prior, read_transformers_vqvae
from cadenza.errors import CheckpointError
from jukebox_priors import PARITY

NAMES = json.loads((PARITY / "jukebox_transformers_names.json").read_text())
_ALL = {"sr": 44100, "n_ctx": 96, "blocks": 8, "m_attn": 0.25, "m_mlp": 1.0, "init_scale": 1.0, "labels": True}
_ALL |= {"y_bins": (30, 60), "max_bow_genre_size": 5, "t_bins": 16, "min_duration": 0.5, "max_duration": 6.0}
_TOP = {**_ALL, "level": 2, "heads": 2, "use_tokens": True, "prime_loss_fraction": 0.4}
SETTINGS: dict[str, dict[str, Any]] = {
    "upsampler": {
        **_ALL,
        "level": 1,
        "prior_width": 32,
        "prior_depth": 3,
        "heads": 1,
        "attn_order": 2,
        "cond_width": 20,
        "cond_depth": 2,
        "cond_dilation_growth_rate": 3,
        "cond_dilation_cycle": 8,
        "cond_res_scale": False,
    },
    "lyrics_in_sequence": {
        **_TOP,
        "prior_width": 32,
        "prior_depth": 2,
        "attn_order": 12,
        "single_enc_dec": True,
        "n_tokens": 24,
        "n_vocab": 79,
    },
    "lyrics_beside": {
        **_TOP,
        "prior_width": 48,
        "prior_depth": 19,
        "attn_order": 10,
        "merged_decoder": True,
        "n_tokens": 16,
        "n_vocab": 80,
        "prime_width": 24,
        "prime_depth": 3,
        "prime_heads": 2,
        "prime_attn_order": 2,
        "prime_blocks": 4,
        "prime_m_attn": 0.25,
        "prime_m_mlp": 1.0,
        "prime_init_scale": 0.7,
    },
}


def state_of(name: str, prefix: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(8)
    state = {prefix + key: torch.randn(shape, generator=generator) for key, shape in NAMES[name].items()}
    if f"{prefix}prior.fc_proj_out.weight" in state and not SETTINGS[name].get("merged_decoder"):
        state[f"{prefix}prior.fc_proj_out.weight"] = state[f"{prefix}prior.embed_tokens.weight"].clone()
    return state


@pytest.mark.parametrize("name", SETTINGS)
def test_priors_find_all_their_tensors(name: str) -> None:
    state = state_of(name, "priors.0.")
    prior = prior_of(openai_state(state, "priors.0."), SETTINGS[name], name)
    layer = prior.transformer.layers[1]
    assert torch.equal(
        layer.attention.in_projection.weight, state["priors.0.prior.transformer._attn_mods.1.attn.c_attn.weight"].T
    )
    assert torch.equal(layer.norm_feed_forward.bias, state["priors.0.prior.transformer._attn_mods.1.layer_norm_1.bias"])
    if prior.conditioner is not None:
        block = state["priors.0.conditioner_blocks.upsampler.upsample_block.2.resnet_block.1.conv1d_2.weight"]
        assert torch.equal(prior.conditioner.stage.ups[1].blocks[1].point.weight, block)


def test_the_vqvae_finds_all_its_tensors(tmp_path: Path) -> None:
    state = state_of("vqvae", "vqvae.")
    torch.save({"model": openai_state(state, "vqvae.")}, tmp_path / "x.pth.tar")
    model = read_vqvae(tmp_path / "x.pth.tar")
    projection = state["vqvae.encoders.1.level_blocks.0.proj_out.weight"]
    assert torch.equal(model.encoders[1].stages[0].projection.weight, projection)
    up = state["vqvae.decoders.0.level_blocks.0.upsample_block.3.weight"]
    assert torch.equal(model.decoders[0].stages[0].ups[1].conv.weight, up)


def test_a_published_model_is_known_by_the_shape_of_its_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny ones stand for published ones; priors are numbered from the top there."""
    monkeypatch.setattr(openai_jukebox_prior, "RELEASED", SETTINGS)
    monkeypatch.setattr(openai_jukebox_prior, "CODEBOOK_SIZE", 64)
    state = state_of("upsampler", "priors.1.") | state_of("lyrics_beside", "priors.0.") | state_of("vqvae", "vqvae.")
    save_file(state, tmp_path / "model.safetensors")
    upsampler = read_transformers_prior(tmp_path, 1)
    assert upsampler.conditioner is not None
    assert upsampler.config.hop_length == 32
    assert read_transformers_prior(tmp_path, 2).lyric_encoder is not None
    vqvae = read_transformers_vqvae(tmp_path)
    assert torch.equal(vqvae.codebook(1).vectors, state["vqvae.bottleneck.level_blocks.1.codebook"])
    with pytest.raises(CheckpointError, match="holds no prior of level 0: it is no Jukebox of transformers"):
        read_transformers_prior(tmp_path, 0)


def test_other_directories_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the download is incomplete"):
        read_transformers_prior(tmp_path, 2)
    save_file(state_of("upsampler", "priors.1."), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="its prior of level 1 has the shape of no published model"):
        read_transformers_prior(tmp_path, 1)
    with pytest.raises(CheckpointError, match="holds no codebooks"):
        read_transformers_vqvae(tmp_path)
