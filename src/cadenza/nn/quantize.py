"""Weights of a linear layer in 8 or 4 bits, and products with them.

In: a weight `[O, I]`. Out: its canonical form, the same on every machine: what files hold. int8 has one bf16 scale per
row, `w = q s` with q from -127 to 127. int4 has a bf16 scale and offset per group of 32 weights of a row,
`w = (q - 8) s + z` with q from 0 to 15, two in a byte, the even column in the high half: 5 bits a weight. Rows are
padded to whole groups.

`product` brings the canonical form into the order that a processor multiplies fastest with: PyTorch's own packed
kernels for vectors in bf16 (weight-only quantisation, as in gpt-fast). Their order differs from processor to processor,
so it is made at load and never stored. Where there is no kernel the weight is dequantised for each product.
"""

from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["int8", "int4"]
KINDS: tuple[Kind, ...] = ("int8", "int4")
GROUP = 32
"""Weights that share a scale in int4, and what rows are padded to. Larger groups are no faster (measured)."""
SCHEME = 2
"""Raised whenever canonical values change, so that older ones in a cache are made again."""

_REFITS = 4
_CHUNK = 2**18
"""Weights quantised at a time: they and what is computed from them stay in the processor's cache."""
_GIVEN_BACK = 2**23 + 1
"""Numbers that memory for codes of 4 bytes has room for, used or not: the C library gives blocks over 32 MB back at
once, smaller ones it may keep in pieces between what stays (500 MB after 24 layers)."""


class Quantized(NamedTuple):
    """A weight in its canonical form."""

    kind: Kind
    values: Tensor
    """int8 `[O, I']`, or two int4 in each uint8 of `[O, I' / 2]`; I' is I in whole groups."""
    scale: Tensor
    """bf16: `[O]` for int8, `[O, I' / GROUP]` for int4."""
    zero: Tensor | None = None
    """bf16, as `scale`: what q = 8 stands for. int4 only."""

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.values, self.scale) if self.zero is None else (self.values, self.scale, self.zero)

    def rows(self, start: int, stop: int) -> "Quantized":
        """Some of the output rows, uncopied."""
        zero = None if self.zero is None else self.zero[start:stop]
        return Quantized(self.kind, self.values[start:stop], self.scale[start:stop], zero)


@runtime_checkable
class Product(Protocol):
    """Multiplies vectors with a quantised weight."""

    def __call__(self, x: Float[Tensor, "M I"]) -> Float[Tensor, "M O"]: ...

    def canonical(self) -> Quantized: ...


def empty(kind: Kind, rows: int, columns: int, device: torch.device | str = "meta") -> Quantized:
    """The canonical form of a `[rows, columns]` weight, without values."""
    groups = -(-columns // GROUP)
    if kind == "int8":
        values = torch.empty(rows, groups * GROUP, dtype=torch.int8, device=device)
        return Quantized(kind, values, torch.empty(rows, dtype=torch.bfloat16, device=device))
    values = torch.empty(rows, groups * GROUP // 2, dtype=torch.uint8, device=device)
    scale = torch.empty(rows, groups, dtype=torch.bfloat16, device=device)
    return Quantized(kind, values, scale, torch.empty_like(scale))


# ---- canonical values -------------------------------------------------------------------------------------------


@torch.no_grad()
def quantize(weight: Float[Tensor, "O I"], kind: Kind) -> Quantized:
    """The nearest canonical form, a few rows at a time: memory for the result and little more."""
    result = empty(kind, len(weight), weight.shape[1], weight.device)
    step = max(1, _CHUNK // weight.shape[1])
    for start in range(0, len(weight), step):
        part = weight[start : start + step].float()
        part = F.pad(part, (0, -part.shape[1] % GROUP))
        made = _quantize_int8(part) if kind == "int8" else _quantize_int4(part)
        for ours, values in zip(result.rows(start, start + step).tensors(), made, strict=True):
            ours.copy_(values)
    return result


def dequantize(weight: Quantized, columns: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "O I"]:
    """The weight that the canonical form stands for."""
    if weight.kind == "int8":
        return (weight.values * weight.scale[:, None].to(dtype))[:, :columns]
    assert weight.zero is not None
    q = torch.stack([weight.values >> 4, weight.values & 15], dim=-1).view(len(weight.values), -1, GROUP)
    dense = (q.to(dtype) - 8) * weight.scale[..., None].to(dtype) + weight.zero[..., None].to(dtype)
    return dense.flatten(1)[:, :columns]


def _quantize_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    scale = _stored(weight.abs().amax(dim=1, keepdim=True) / 127)
    return (weight / scale).round_().clamp_(-127, 127), scale[:, 0]


def _quantize_int4(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Least squares in turn: the grid that fits these codes best, then the codes nearest to that grid.

    From the range of each group, four turns take a tenth off the error (7.9 % to 7.3 % of normal weights); a turn that
    makes a group worse, as rounding of the grid to bf16 can, is not taken.
    """
    groups = weight.view(len(weight), -1, GROUP).transpose(1, 2).contiguous()  # [O, GROUP, G]: sums over long rows
    low, high = groups.amin(1, keepdim=True), groups.amax(1, keepdim=True)
    scale = _stored((high - low) / 15)
    zero = _stored(low + 8 * scale, 0.0)
    codes, error = _fit(groups, scale, zero)
    mean = groups.mean(1, keepdim=True)
    for _ in range(_REFITS):
        spread = codes - codes.mean(1, keepdim=True)
        slope = (spread * groups).sum(1, keepdim=True) / spread.square().sum(1, keepdim=True).clamp_(min=1e-6)
        new_scale = _stored(slope)
        new_zero = _stored(mean - codes.mean(1, keepdim=True) * new_scale, 0.0)
        new_codes, new_error = _fit(groups, new_scale, new_zero)
        better = new_error < error
        scale, zero = torch.where(better, new_scale, scale), torch.where(better, new_zero, zero)
        codes, error = torch.where(better, new_codes, codes), torch.where(better, new_error, error)
    pairs = (codes + 8).transpose(1, 2).reshape(len(weight), -1, 2).to(torch.uint8)
    return pairs[..., 0] << 4 | pairs[..., 1], scale[:, 0], zero[:, 0]


def _fit(groups: Tensor, scale: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest codes, from -8 to 7, and the squared error of each group."""
    codes = ((groups - zero) / scale).round_().clamp_(-8, 7)
    return codes, torch.addcmul(zero, codes, scale).sub_(groups).square_().sum(1, keepdim=True)


def _stored(value: Tensor, least: float = 1e-30) -> Tensor:
    """Rounded to what a file holds. A scale is never 0: weights that are all equal are their offset."""
    return (value.clamp(min=least) if least else value).bfloat16().float()


# ---- products ---------------------------------------------------------------------------------------------------


def multiply_through(x: Float[Tensor, "*shape I"], weight: Quantized) -> Float[Tensor, "*shape O"]:
    """A product with many vectors through which gradients flow to `x`; the dense weight lives for the product alone."""
    result: Tensor = _Through.apply(x, weight)  # type: ignore[no-untyped-call]
    return result


class _Through(torch.autograd.Function):
    """`y = x W^T`, so that dL/dx = dL/dy W (Dettmers et al., 2023): W is made again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Quantized) -> Tensor:
        ctx.weight, ctx.columns = weight, x.shape[-1]
        return F.linear(x, dequantize(weight, x.shape[-1]).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient @ dequantize(ctx.weight, ctx.columns).to(gradient.dtype), None


def product(weight: Quantized, columns: int) -> Product:
    """The fastest product with this weight where it lies."""
    device = weight.values.device
    has_kernels = device.type == "cpu" or (
        device.type == "cuda" and torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)
    )
    if not has_kernels:
        return Dequantized(weight, columns)
    return Int8Packed.pack(weight) if weight.kind == "int8" else Int4Packed.pack(weight)


class Dequantized(NamedTuple):
    """A plain product with the weight as bf16, made each time: right everywhere, and slower than bf16."""

    weight: Quantized
    columns: int

    def __call__(self, x: Float[Tensor, "M I"]) -> Float[Tensor, "M O"]:
        return F.linear(x, dequantize(self.weight, self.columns).to(x.dtype))

    def canonical(self) -> Quantized:
        return self.weight


class Int8Packed(NamedTuple):
    """The canonical order is that of the CPU's kernel.

    On CUDA a plain product with the integers, which saves memory and no time: PyTorch's kernel there makes one output
    value per thread and reads scattered bytes.
    """

    weight: Quantized

    @classmethod
    def pack(cls, weight: Quantized) -> "Int8Packed":
        return cls(weight._replace(values=_aligned(weight.values)))

    def __call__(self, x: Float[Tensor, "M I"]) -> Float[Tensor, "M O"]:
        values, scale = self.weight.values, self.weight.scale
        x = _padded(x, values.shape[1])
        if x.is_cuda:
            return F.linear(x, values.to(x.dtype)) * scale
        return torch._weight_int8pack_mm(_aligned(x), values, scale)

    def canonical(self) -> Quantized:
        return self.weight


class Int4Packed(NamedTuple):
    """Codes in blocks as the processor's vectors or CUDA's tensor cores want them, and a grid per group."""

    packed: Tensor
    scale_and_zero: Tensor
    """bf16 [G, O', 2]; O' is O in whole tiles."""
    rows: int

    @classmethod
    def pack(cls, weight: Quantized) -> "Int4Packed":
        assert weight.zero is not None
        rows, half = weight.values.shape
        tile = 8 if weight.values.is_cuda else 16
        more = (0, 0, 0, -rows % tile)
        values = F.pad(weight.values, more).contiguous()
        if values.is_cuda:
            tiles = next(tiles for tiles in (8, 4, 2) if half % (8 * tiles) == 0)
            packed = torch.ops.aten._convert_weight_to_int4pack(values, tiles)
        else:
            memory = torch.empty(max(2 * values.numel(), _GIVEN_BACK), dtype=torch.int32)
            codes = memory[: 2 * values.numel()].view(len(values), half, 2)
            torch.bitwise_right_shift(values, 4, out=codes[..., 0])
            torch.bitwise_and(values, 15, out=codes[..., 1])
            packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.flatten(1), 1)
        grid = torch.stack([F.pad(weight.scale, more).t(), F.pad(weight.zero, more).t()], dim=-1)
        return cls(packed, grid.contiguous(), rows)

    def __call__(self, x: Float[Tensor, "M I"]) -> Float[Tensor, "M O"]:
        return self._multiply(x, self.scale_and_zero)

    def canonical(self) -> Quantized:
        """Whatever the order: on a grid of whole numbers, a vector of 16 and 1 gives the byte of two columns, exactly
        (bf16 counts to 256)."""
        groups = len(self.scale_and_zero)
        grid = torch.ones_like(self.scale_and_zero)
        grid[..., 1] = 8
        bytes_ = torch.empty(self.rows, groups * GROUP // 2, dtype=torch.uint8, device=self.packed.device)
        for start in range(0, bytes_.shape[1], 256):  # some columns at a time: this is no moment to need memory
            part = bytes_[:, start : start + 256]
            at = torch.arange(part.shape[1], device=part.device)
            x = torch.zeros(len(at), groups * GROUP, dtype=torch.bfloat16, device=part.device)
            x[at, 2 * (start + at)], x[at, 2 * (start + at) + 1] = 16, 1
            part.copy_(self._multiply(x, grid).t())
        scale, zero = (part.t()[: self.rows].contiguous() for part in self.scale_and_zero.unbind(-1))
        return Quantized("int4", bytes_, scale, zero)

    def _multiply(self, x: Tensor, grid: Tensor) -> Tensor:
        x = _padded(x, len(grid) * GROUP)
        aten = torch.ops.aten
        multiply = aten._weight_int4pack_mm if x.is_cuda else aten._weight_int4pack_mm_for_cpu
        result: Tensor = multiply(x, self.packed, GROUP, grid)
        return result[:, : self.rows]


def _aligned(values: Tensor) -> Tensor:
    """The CPU's int8 kernel reads in aligned pieces; what lies in a file, or is a part of something, may not be so."""
    return values.clone() if values.device.type == "cpu" and values.data_ptr() % 64 else values


def _padded(x: Tensor, columns: int) -> Tensor:
    return (F.pad(x, (0, columns - x.shape[1])) if x.shape[1] < columns else x).contiguous()
