"""How much a training step computes, and what share of the device that is.

In: a language model's shape and the lengths of a batch; a device. Out: positions and floating-point operations of
forward and backward, and the operations per second that the device could do. Model-FLOPs utilisation, MFU, is their
quotient (Chowdhery et al. 2022, PaLM, appendix B): work that a method adds, such as activations computed again, does
not count.

    operations = 6 N P  +  12 D L S^2 / 2  +  12 D L S M        for each item

N weights of the matrices that every position passes (layers, heads; not the tables, nor the projections of the source,
whose 2 D^2 weights per layer see its M positions instead); P = S positions, the prefix included; D width; L layers. The
factor 6 is 2 for forward, 2 for the gradient of activations, 2 for that of weights (frozen: 4 in all). The attention
terms are scores and sums of values, of causal self-attention the half that counts, and of cross-attention. Text encoder
and codec are not counted.
"""

import functools
import re
import time
from typing import NamedTuple

import torch

from cadenza.lm.model import LMConfig

PEAKS = {
    # Dense operations per second in bf16 and fp16 with sums in fp32, as NVIDIA's data sheets give them; where a sheet
    # counts zeros that are skipped ("with sparsity"), half.
    "GB200": 2500e12,
    "B200": 2250e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "V100": 125e12,
    "T4": 65e12,
}
"""By whole words of the GPU's name (an L40 is no L4); the first that fits."""
_SIZE = 1024
_SECONDS = 0.3


class Work(NamedTuple):
    """What one micro-batch computes in forward and backward."""

    positions: int
    """Steps of the sequence, K codes each; the prefix does not count."""
    operations: float


class Peak(NamedTuple):
    """What a device could do, and who says so."""

    operations_per_second: float
    source: str


def lm_work(
    config: LMConfig, batch: int, steps: int, prefix: int = 0, source: int = 0, is_frozen: bool = False
) -> Work:
    """The work of a batch of sequences of `steps`, with `prefix` positions before and `source` positions beside them.

    `is_frozen`: the weights take no gradient, as beside an adapter (whose own work is left out).
    """
    dim, length, layers = config.dim, prefix + steps, config.num_layers
    listens = config.cross_attention and source > 0
    square, wide = dim * dim, dim * config.feed_forward_dim
    per_layer = 4 * square + 2 * wide + (2 * square if listens else 0)
    heads = config.num_codebooks * dim * config.codebook_size
    factor = 4 if is_frozen else 6
    matrices = factor * (layers * per_layer * length + heads * steps)
    attention = 12 * dim * layers * length**2 / 2
    if listens:
        matrices += factor * layers * 2 * square * source
        attention += 12 * dim * layers * length * source
    return Work(batch * steps, batch * float(matrices + attention))


def peak(device: torch.device, precision: str) -> Peak:
    """Of a GPU that is known, in 16 bits, its data sheet; of anything else, products of 1024 x 1024 measured here."""
    if device.type == "cuda" and precision in ("bf16", "fp16"):
        name = torch.cuda.get_device_name(device)
        for part, operations in PEAKS.items():
            if re.search(rf"\b{part}\b", name):
                return Peak(operations, f"{name}'s data sheet")
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    measured = _measured(device, dtype, torch.get_num_threads())
    where = f"{torch.get_num_threads()} threads" if device.type == "cpu" else str(device)
    return Peak(measured, f"matrix products in {precision}, measured ({where})")


@functools.lru_cache
def _measured(device: torch.device, dtype: torch.dtype, threads: int) -> float:
    """The best of what fits into 0.3 s."""
    a = torch.full((_SIZE, _SIZE), 0.5, device=device, dtype=dtype)
    b = a.clone()
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        _wait(device)
        start = time.perf_counter()
        torch.matmul(a, b)
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * _SIZE**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
