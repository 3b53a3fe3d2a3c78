"""What OpenAI's own code made of a tiny VQ-VAE with random weights, and that VQ-VAE."""

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file

from cadenza.convert.openai_jukebox_vqvae import read_vqvae
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig

FOLDER = Path(__file__).parents[1] / "parity" / "jukebox_vqvae_tiny"
FILE = FOLDER / "vqvae.pth.tar"
SMALL = JukeboxVQVAEConfig(downs=(2, 1, 1), widths=(8, 4, 4), depths=(3, 2, 2), latent_dim=4, codebook_size=16)


@cache
def recorded() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "io.safetensors")


def tiny() -> JukeboxVQVAE:
    return read_vqvae(FILE)


def audio(key: str) -> torch.Tensor:
    """Recorded sound, from their `[B, N, 1]` to ours."""
    return recorded()[key].transpose(1, 2)


def small(layout: str = "separate") -> JukeboxVQVAE:
    torch.manual_seed(0)
    return JukeboxVQVAE(SMALL.model_copy(update={"layout": layout})).eval()
