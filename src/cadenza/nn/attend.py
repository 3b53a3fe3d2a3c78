"""Scaled dot-product attention, by the fastest route for the machine at hand.

In: queries `[B, H, S, E]`, keys and values `[B, H, M, E]`. Out: `[B, H, S, E]`. PyTorch's fused kernel serves all cases
but three. On CUDA `attend_biased` names the kernel, for rows that must not depend on their company. On a CPU the
backward pass in bf16 is slow: there the products are written out, in blocks of rows that skip what the mask hides
(measured at B 16, H 6, S 500, E 64, forward and backward: 84 ms against 229 ms). And for the single query of decoding a
CPU reads bf16 at 5 GB/s: there `attend_one` makes two batched products (24 layers of 16 heads, 512 steps, two rows, one
core: 9 ms against 38).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

CAUSAL_BLOCKS = 2
"""Rows are cut in this many blocks; more skip more, but their products are smaller."""


def attend(
    query: Float[Tensor, "B H S E"],
    keys: Float[Tensor, "B H M E"],
    values: Float[Tensor, "B H M E"],
    mask: Bool[Tensor, "*mask M"] | None = None,
    dropout: float = 0.0,
    causal: bool = False,
) -> Float[Tensor, "B H S E"]:
    """`softmax(q k^T / sqrt(E)) v`; the mask is True where a query may look, `causal` implies none."""
    if query.device.type == "mps":
        return _written_out(query, keys, values, mask, causal)
    training_on_cpu = query.is_cpu and query.dtype == torch.bfloat16 and query.requires_grad and torch.is_grad_enabled()
    if training_on_cpu and dropout == 0:
        return _written_out(query, keys, values, mask, causal)
    return F.scaled_dot_product_attention(query, keys, values, mask, dropout, is_causal=causal)


def in_products(device: torch.device | str | None) -> bool:
    """Whether decoding on this device attends by `attend_one` (a CPU; and MPS, whose fused kernel has been wrong)."""
    return torch.device(device or "cpu").type in ("cpu", "mps")


def attend_one(
    query: Float[Tensor, "B H 1 E"],
    keys: Float[Tensor, "N E M"],
    values: Float[Tensor, "N M E"],
    bias: Float[Tensor, "n 1 M"],
) -> Float[Tensor, "B H 1 E"]:
    """Attention of one query per row to M entries, head by head (N = B H), keys in the order in which they are read.

    `bias` is added to the scores: minus infinity where there is nothing to see; values there must be finite. With M a
    multiple of 64 the result has the same bits for any number of threads and rows, and for any M that holds all there
    is to see (measured on AVX-512, held by a test).
    """
    batch, heads, _, width = query.shape
    scores = torch.baddbmm(bias, query.reshape(batch * heads, 1, width), keys, alpha=width**-0.5)
    return torch.bmm(scores.softmax(-1), values).view(batch, heads, 1, width)


def attend_biased(
    query: Float[Tensor, "B H S E"],
    keys: Float[Tensor, "B H M E"],
    values: Float[Tensor, "B H M E"],
    bias: Float[Tensor, "B 1 S M"],
) -> Float[Tensor, "B H S E"]:
    """`softmax(q k^T / sqrt(E) + bias) v`, by a kernel that does not depend on M; bias in the dtype of the rest.

    Left to itself PyTorch may choose another kernel for another M, and what a row gets would depend on its company.
    The memory-efficient one takes keys in blocks of one size, and a block that is hidden changes no bit. It reads heads
    and bias in pieces of 16 bytes.
    """
    piece = 16 // query.element_size()
    if query.is_cuda and query.shape[3] % piece == 0 and bias.shape[3] % piece == 0:
        shape = (*query.shape[:3], keys.shape[2])
        result: Tensor = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, keys, values, bias.expand(shape), False
        )[0]
        return result
    return F.scaled_dot_product_attention(query, keys, values, bias)


def _written_out(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    assert mask is None or not causal
    batch, heads, steps, width = query.shape
    query = (query * width**-0.5).reshape(batch * heads, steps, width)
    keys_t = keys.reshape(batch * heads, -1, width).transpose(1, 2)
    values = values.reshape(batch * heads, -1, width)
    if not causal:
        scores = query @ keys_t
        if mask is not None:
            hidden = ~mask.expand(batch, heads, steps, -1).reshape(scores.shape)
            scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        return (scores.softmax(-1) @ values).view(batch, heads, steps, width)
    rows = -(-steps // CAUSAL_BLOCKS)
    later = torch.full((steps, steps), float("-inf"), dtype=query.dtype).triu(1)
    blocks = []
    for start in range(0, steps, rows):
        end = min(start + rows, steps)
        bias = later[start:end, :end].expand(batch * heads, -1, -1)
        scores = torch.baddbmm(bias, query[:, start:end], keys_t[:, :, :end])
        blocks.append(scores.softmax(-1) @ values[:, :end])
    return torch.cat(blocks, dim=1).view(batch, heads, steps, width)
