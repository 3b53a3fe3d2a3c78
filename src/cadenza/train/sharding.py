"""Weights, gradients and optimiser state spread over processes: a model larger than one GPU.

In: a language model and its conditions, the same in every process. Out: the same modules whose parameters are shards
that come together layer by layer while they are needed (FSDP2: Zhao et al. 2023, and `torch.distributed.fsdp`), and the
way back from a shard to the whole tensor. Under bf16 products use bf16 copies; shards and sums of gradients are fp32.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from cadenza.nn.ranks import num_ranks


def shard(lm: nn.Module, layers: nn.ModuleList, conditioning: nn.Module, device: torch.device, bf16: bool) -> None:
    """Shard each of `layers`, what is left of `lm`, and `conditioning`, in place. All are entered by calling them.

    What comes together is let go of after each forward pass, the root's part too: nothing outlives a change of weights.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device.type, (num_ranks(),))
    # Layers convert what they multiply themselves: the sums between them stay in fp32.
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False) if bf16 else None
    for part in (*layers, lm, conditioning):
        fully_shard(part, mesh=mesh, reshard_after_forward=True, mp_policy=policy or MixedPrecisionPolicy())


def is_shard(tensor: Tensor) -> bool:
    """Whether this process holds only a part of it."""
    return hasattr(tensor, "full_tensor")


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; changes to it are changes to the tensor."""
    return cast(Any, tensor).to_local() if is_shard(tensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor. All processes call this together."""
    return cast(Any, tensor).full_tensor() if is_shard(tensor) else tensor


def like(full: Tensor, tensor: Tensor) -> Tensor:
    """`full`, sharded as `tensor` is; nothing is sent."""
    if not is_shard(tensor):
        return full
    from torch.distributed.tensor import distribute_tensor

    held = cast(Any, tensor)
    full = full.to(held.device, held.dtype)
    return distribute_tensor(full, held.device_mesh, held.placements, src_data_rank=None)
