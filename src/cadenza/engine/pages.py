"""Large pages for weights that are read whole at every step.

A step of a large model on a CPU is one pass over its weights. In pages of 2 MB instead of 4 KB the processor has 512
times fewer addresses to look up on the way.
"""

import os

import torch

_SWITCH = "THP_MEM_ALLOC_ENABLE"
"""PyTorch's own: its allocator then asks Linux for large pages, for blocks of 2 MB and more."""
_LEAST = 2 << 20


def prefer_large_pages() -> None:
    """From the first large tensor of this process on; does nothing once there was one, or where the user chose.

    Not for everything: what allocates and frees large blocks all the time gains nothing, and small models lose.
    """
    if _SWITCH in os.environ:
        return
    os.environ[_SWITCH] = "1"
    try:
        torch.empty(_LEAST, dtype=torch.uint8, device="cpu")  # the switch is read here, and never again
    finally:
        del os.environ[_SWITCH]  # processes that this one begins choose for themselves
