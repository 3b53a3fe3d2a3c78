"""A linear layer that can be packed for decoding on a CPU.

In: vectors. Out: `x W^T + b`. Decoding multiplies two rows (with and without condition) by every weight, and waits for
memory: the general matrix product reads weights at 10 GB/s there, oneDNN's product over weights in its own blocked
order at 30 (one core of a server; 50 on two). `pack` brings weights into that order and lets go of the plain ones, so
that memory holds them once.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_ROWS_HINT = 2
"""Rows for which oneDNN picks the order of the weights: one item with guidance. Other numbers work too."""


class Linear(nn.Linear):
    """`nn.Linear` with `pack()`. `parts` splits the output rows for callers that use some of them at a time.

    A packed layer is frozen. Its `weight` is an empty shape on the meta device; state dicts hold the real one.
    Training, moving, converting or loading unpacks it first.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = False, parts: tuple[int, ...] = ()) -> None:
        super().__init__(in_features, out_features, bias)
        self.parts = parts or (out_features,)
        assert sum(self.parts) == out_features, f"parts {parts} of {out_features} rows"
        self._packed: list[Tensor] = []
        self._trainable = True

    def forward(self, x: Float[Tensor, "*shape I"]) -> Float[Tensor, "*shape O"]:
        if not self._packed:
            return F.linear(x.to(self.weight.dtype), self.weight, self.bias)
        outputs = [self.part(x, i) for i in range(len(self.parts))]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)

    def part(self, x: Float[Tensor, "*shape I"], index: int) -> Float[Tensor, "*shape P"]:
        """The output rows of one part."""
        start = sum(self.parts[:index])
        rows = slice(start, start + self.parts[index])
        x = x.to(self.weight.dtype)
        bias = None if self.bias is None else self.bias[rows]
        if not self._packed:
            return F.linear(x, self.weight[rows], bias)
        return torch.ops.mkldnn._linear_pointwise.default(x, self._packed[index], bias, "none", [], "")

    def pack(self) -> None:
        """Reorder the weights for decoding; does nothing where oneDNN or this precision is not to be had."""
        if self._packed or not packable(self.weight):
            return
        parts = torch.split(self.weight.detach(), list(self.parts))
        self._packed = [
            torch.ops.mkldnn._reorder_linear_weight.default(part.contiguous(), _ROWS_HINT) for part in parts
        ]
        self._trainable = self.weight.requires_grad
        self.weight = nn.Parameter(self.weight.detach().to("meta"), requires_grad=False)

    def unpack(self) -> None:
        """Plain weights again."""
        if self._packed:
            self.weight = nn.Parameter(self._dense(), requires_grad=self._trainable)
            self._packed = []

    def train(self, mode: bool = True) -> "Linear":
        """Training needs plain weights."""
        if mode:
            self.unpack()
        return super().train(mode)

    def _dense(self) -> Float[Tensor, "O I"]:
        return torch.cat([part.to_dense() for part in self._packed])

    def _apply(self, fn: Any, recurse: bool = True) -> "Linear":
        self.unpack()
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self._packed:
            destination[prefix + "weight"] = self._dense()

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self.unpack()
        super()._load_from_state_dict(*arguments)


def packable(weight: Tensor) -> bool:
    """Whether oneDNN can pack this weight here."""
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def pack_linears(module: nn.Module) -> None:
    """Pack every `Linear` below `module`; `module.train()` undoes it."""
    for part in module.modules():
        if isinstance(part, Linear):
            part.pack()
