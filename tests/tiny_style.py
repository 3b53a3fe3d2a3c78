"""A MERT and a style condition with random weights, small enough for tests; three seconds still give 15 vectors."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cadenza.conditioning.mert import Mert, MertConfig, _file_name, _hubert
from cadenza.conditioning.style import StyleConditioner, StyleConfig

MERT_CONFIG = MertConfig(
    dim=16,
    num_layers=2,
    num_heads=2,
    feed_forward_dim=32,
    conv_dims=(4,) * 7,
    position_kernel=8,
    position_groups=4,
)
WIDE_MERT_CONFIG = MERT_CONFIG.model_copy(update={"dim": 768, "num_heads": 12, "position_groups": 16})
"""As wide as the published one: for files in audiocraft's layout, which knows no other."""
STYLE_CONFIG = StyleConfig(extractor_dim=16, dim=32, num_layers=2, codebook_size=64)


def random_weights(module: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """For every tensor of a module, which may be on the meta device; norms and scales are near one, biases near 0."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in module.state_dict().items():
        draws = torch.randn(tensor.shape, generator=generator)
        if not tensor.is_floating_point():
            state[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
        elif tensor.ndim > 1 and not name.endswith("original0"):
            state[name] = 1.5 * draws / tensor[0].numel() ** 0.5
        else:
            state[name] = 0.1 * draws + (0.0 if name.endswith(("bias", "running_mean")) else 1.0)
    return state


def tiny_mert(seed: int = 0, config: MertConfig = MERT_CONFIG) -> Mert:
    weights = random_weights(_hubert(config), seed)
    return Mert(config, {_file_name(name): tensor for name, tensor in weights.items()})


def tiny_style(config: StyleConfig = STYLE_CONFIG, dim: int = 8, seed: int = 0) -> StyleConditioner:
    """With MERT, if that is its extractor."""
    conditioner = StyleConditioner(config, dim)
    conditioner.load_state_dict(random_weights(conditioner, seed))
    if config.extractor == "mert":
        conditioner.extractor = tiny_mert(seed)
    return conditioner.eval()


def write_published_mert(directory: Path, config: MertConfig = WIDE_MERT_CONFIG, **changes: Any) -> Path:
    """MERT as it is published: pickled weights, Hugging Face's settings, and a program that must not run."""
    directory.mkdir(parents=True)
    settings = {
        "model_type": "mert_model",
        "auto_map": {"AutoModel": "modeling_MERT.MERTModel"},
        "attention_relax": -1.0,
        "deepnorm": False,
        "feature_extractor_cqt": False,
        "sample_rate": config.sample_rate,
        "hidden_size": config.dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.feed_forward_dim,
        "conv_dim": list(config.conv_dims),
        "conv_kernel": list(config.conv_kernels),
        "conv_stride": list(config.conv_strides),
        "num_conv_pos_embeddings": config.position_kernel,
        "num_conv_pos_embedding_groups": config.position_groups,
    }
    (directory / "config.json").write_text(json.dumps(settings | changes))
    state = {"masked_spec_embed": torch.zeros(config.dim), **tiny_mert(config=config).state}
    torch.save(state, directory / "pytorch_model.bin")
    (directory / "modeling_MERT.py").write_text("raise SystemExit('this must never run')")
    return directory
