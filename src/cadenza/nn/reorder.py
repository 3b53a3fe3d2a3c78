"""A linear layer's weight in oneDNN's own blocked order, and the product over it.

In: a weight `[O, I]`. Out: what multiplies vectors with it. Each row of the result has the same bits on any number of
threads, and, unless a row alone is hurried, whichever rows are beside it, which the general matrix product does not
promise.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_ROWS_HINT = 2
"""Rows for which oneDNN picks the order of the weights: one item with guidance. Other numbers work too."""


class Reordered(NamedTuple):
    """A weight in oneDNN's order."""

    packed: Tensor
    hurried: bool = False
    """A row alone is multiplied alone: an eighth faster in bf16, but its bits are not those it has among others."""

    @classmethod
    def pack(cls, weight: Float[Tensor, "O I"], hurried: bool = False) -> "Reordered":
        return cls(torch.ops.mkldnn._reorder_linear_weight.default(weight.contiguous(), _ROWS_HINT), hurried)

    def __call__(self, x: Float[Tensor, "*shape I"], bias: Tensor | None = None) -> Float[Tensor, "*shape O"]:
        shape, alone = x.shape, not self.hurried and x.numel() == x.shape[-1]
        if alone:  # one row is summed in another order than the same row among others; two cost the same
            x = torch.cat([x.reshape(1, -1)] * 2)
        result: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, self.packed, bias, "none", [], "")
        return result[:1].view(*shape[:-1], -1) if alone else result


def packable(weight: Tensor) -> bool:
    """Whether oneDNN can pack this weight here."""
    return (
        weight.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and (weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and _has_bf16()))
    )


def _has_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # on x86: from AVX-512 on
