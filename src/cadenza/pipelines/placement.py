"""Where a model runs, and in which precision: the words a person says -> torch's device and dtype.

Three kinds of device are supported: `cpu`, `cuda` (AMD's too, which torch calls by that name) and `mps`, the graphics
processor of a Mac. Only the first two are ever chosen without being asked for. What is known of MPS is read, not heard:
there scaled dot-product attention has given wrong numbers for tensors that are not contiguous (pytorch/pytorch issues
163597 and 181133), convolutions refuse more than 65536 samples (144445), and shifts of integers have been wrong
(147889), all of them silently but the second; audiocraft's codec makes noise there (facebookresearch/audiocraft 31).
So only the language model goes to MPS, with attention written out as plain products; sound, text and random numbers
stay on the processor (`companion_device`). A small model, such as the embedded one, is faster there anyway: each of
its hundreds of small operations costs an accelerator tens of microseconds to start.
"""

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
    """The device asked for, if this machine has it; without a wish a CUDA device before the CPU."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"unknown device {str(device)!r}: use cpu, cuda, cuda:1 or mps") from error
    if chosen.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError(f"device {str(device)!r}: this machine has no CUDA device that torch can use; use cpu")
        if (chosen.index or 0) >= torch.cuda.device_count():
            raise UserError(f"device {str(device)!r}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    elif chosen.type == "mps":
        if not torch.backends.mps.is_built():
            raise UserError(f"device {str(device)!r}: this torch is not made for Macs with Apple silicon; use cpu")
        if not torch.backends.mps.is_available():
            raise UserError(f"device {str(device)!r}: torch needs Apple silicon and a newer macOS for it; use cpu")
        if chosen.index:
            raise UserError(f"device {str(device)!r}: a Mac has one; use mps")
    elif chosen.type != "cpu":
        raise UserError(f"device {str(device)!r} is not supported: use cpu, cuda or mps")
    return chosen


def companion_device(device: torch.device) -> torch.device:
    """Where the codec and the text encoder run, given the language model's device: there too, but not on MPS."""
    return torch.device("cpu") if device.type == "mps" else device


def choose_precision(precision: str | None, device: torch.device) -> str:
    """The precision asked for, if the device has it; without a wish fp32 on a CPU, bf16 on CUDA, fp16 on MPS."""
    if precision is None:
        return {"cpu": "fp32", "mps": "fp16"}.get(device.type, "bf16")
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}: use {', '.join(PRECISIONS)}")
    if device.type == "mps" and precision in ("int8", "int4"):
        raise UserError(f"precision {precision!r} has no kernels on mps: use fp16 there, or {precision} on cpu")
    return precision
