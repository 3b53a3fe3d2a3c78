"""What a process of `test_quantize_ranks` does: learn codebooks from its rows of every batch."""

import os

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from cadenza.codec.quantize import ResidualQuantizer

STEPS, ROWS, FRAMES = 6, 4, 24


def latents(step: int) -> torch.Tensor:
    """A batch whose items differ, so that a process that learnt from its own alone would learn something else."""
    generator = torch.Generator().manual_seed(step)
    offsets = torch.arange(ROWS)[:, None, None] * 3.0
    return torch.randn(ROWS, 3, FRAMES, generator=generator) + offsets


def learn(rows: slice) -> ResidualQuantizer:
    """k-means at the first step, entries without use in between, moving averages all the time."""
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(2, 16, 3)
    for step in range(STEPS):
        if step == 3:
            for book in quantizer.layers:  # two entries far from everything come back with vectors of the batch
                book.embed[:2] = 1e4
                book.cluster_size[:2] = 0.0
        quantizer(latents(step)[rows], None, torch.Generator().manual_seed(step))
    return quantizer


def process(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2")
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    half = ROWS // 2
    save_file(learn(slice(rank * half, (rank + 1) * half)).state_dict(), f"{folder}/{rank}.safetensors")
    dist.destroy_process_group()
