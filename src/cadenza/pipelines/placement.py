"""Where a model runs, and in which precision: the words a person says -> torch's device and dtype."""

import torch

from cadenza.errors import UserError

PRECISIONS: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.bfloat16,
    "int4": torch.bfloat16,
}
"""What a model computes in; int8 and int4 are how its linear layers are stored."""


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, if this machine has it; without a wish a GPU before the CPU."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"unknown device {str(device)!r}: use cpu, cuda or cuda:1") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {str(device)!r}: this machine has no CUDA device that torch can use; use cpu")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {str(device)!r}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    if chosen.type not in ("cpu", "cuda"):
        raise UserError(f"device {str(device)!r} is not supported: use cpu or cuda")
    return chosen


def choose_precision(precision: str | None, device: torch.device) -> str:
    """The precision asked for; without a wish fp32 on a CPU (the fastest there) and bf16 on a GPU."""
    if precision is None:
        return "fp32" if device.type == "cpu" else "bf16"
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}: use {', '.join(PRECISIONS)}")
    return precision
