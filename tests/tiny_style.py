"""A MERT and a style condition with random weights, small enough for tests; three seconds still give 15 vectors."""

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
