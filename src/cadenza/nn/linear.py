"""A linear layer that can be packed for decoding, and whose weights can have 8 or 4 bits.

In: vectors. Out: `x W^T + b`. Decoding multiplies two rows (with and without condition) by every weight, and waits for
memory: the general matrix product reads weights at 10 GB/s there, oneDNN's product over weights in its own blocked
order at 30 (one core of a server; 50 on two), and weights of 4 bits are a sixth of the bytes. `pack` brings weights
into the order of the fastest product and lets go of the others, so that memory holds them once.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cadenza.errors import UserError
from cadenza.nn.beside import Beside
from cadenza.nn.lora import Branch
from cadenza.nn.quantize import KINDS, Kind, Product, Quantized, empty, multiply_through, product, quantize
from cadenza.nn.reorder import Reordered, packable


class Linear(nn.Linear):
    """`nn.Linear` with `pack()` and `quantize()`. `parts` splits the output rows for callers that use some at a time.

    A packed layer is frozen. Its `weight` is an empty shape on the meta device; state dicts hold the real one.
    Training, moving, converting or loading unpacks it first.

    A quantised layer has no `weight` but, in state dicts too, the canonical `weight_int8` or `weight_int4`,
    `weight_scale` and `weight_zero` (see `cadenza.nn.quantize`). It takes vectors of any precision, computes in bf16
    and cannot be trained.

    `branches` are trained in its stead (see `cadenza.nn.lora`): each adds to some of the output rows. They are whoever
    made them's, not parameters of this layer: it saves and loads without them.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = False, parts: tuple[int, ...] = ()) -> None:
        super().__init__(in_features, out_features, bias)
        self.parts = parts or (out_features,)
        assert sum(self.parts) == out_features, f"parts {parts} of {out_features} rows"
        self.quantized: Kind | None = None
        self.branches: list[tuple[slice, Branch]] = []
        """Output rows, in order and apart from each other, and what is added to them."""
        self.is_frozen = False
        """Part of something that is trained, but never itself."""
        self._products: list[Product | Reordered] = []
        self._trainable = True

    @property
    def compute_dtype(self) -> torch.dtype:
        """What products are computed and given out in."""
        return torch.bfloat16 if self.quantized else self.weight.dtype

    def forward(self, x: Float[Tensor, "*shape I"], beside: Beside | None = None) -> Float[Tensor, "*shape O"]:
        """`beside`: what adapters add for some rows of `x`."""
        if len(self._products) == 1 and beside is None and not self.branches:
            (multiply,) = self._products
            if isinstance(multiply, Reordered):  # the same as below with fewer calls, which a step counts by hundreds
                return multiply(x.to(self.weight.dtype), self.bias)
        if self._products or self.quantized or beside is not None:
            outputs = [self.part(x, i, beside) for i in range(len(self.parts))]
            return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        y = F.linear(x.to(self.weight.dtype), self.weight, self.bias)
        return self._with_branches(x, y, slice(0, self.out_features)) if self.branches else y

    def part(self, x: Float[Tensor, "*shape I"], index: int, beside: Beside | None = None) -> Float[Tensor, "*shape P"]:
        """The output rows of one part."""
        start = sum(self.parts[:index])
        rows = slice(start, start + self.parts[index])
        y = self._part(x.to(self.compute_dtype), index, rows)
        if self.branches:
            y = self._with_branches(x, y, rows)
        return y if beside is None else beside.add(self, index, x, y)

    def _part(self, x: Float[Tensor, "*shape I"], index: int, rows: slice) -> Float[Tensor, "*shape P"]:
        bias = None if self.bias is None else self.bias[rows]
        if not self._products and not self.quantized:
            return F.linear(x, self.weight[rows], bias)
        if not self._products and (self.training or x.requires_grad):
            y = multiply_through(x, self._canonical().rows(rows.start, rows.stop))
            return y if bias is None else y + bias.to(y.dtype)
        multiply = self._products[index] if self._products else self._product(rows)
        if isinstance(multiply, Reordered):
            return multiply(x, bias)
        y = multiply(x.reshape(-1, self.in_features)).view(*x.shape[:-1], -1)
        return y if bias is None else y + bias.to(y.dtype)

    def _with_branches(
        self, x: Float[Tensor, "*shape I"], y: Float[Tensor, "*shape P"], rows: slice
    ) -> Float[Tensor, "*shape P"]:
        """`y`, the output rows `rows`, and what the branches add to them."""
        pieces, done = [], rows.start
        for at, branch in self.branches:
            if not rows.start <= at.start < rows.stop:
                continue
            if done < at.start:
                pieces.append(y[..., done - rows.start : at.start - rows.start])
            pieces.append(y[..., at.start - rows.start : at.stop - rows.start] + branch(x).to(y.dtype))
            done = at.stop
        if done < rows.stop:
            pieces.append(y[..., done - rows.start :])
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-1)

    # ---- packing ------------------------------------------------------------------------------------------------

    def pack(self, hurried: bool = False) -> None:
        """Reorder the weights for decoding; does nothing where no faster order is known for this precision.

        `hurried`: see `Reordered`.
        """
        if self._products:
            return
        stops = torch.tensor(self.parts).cumsum(0).tolist()
        spans = [slice(stop - part, stop) for stop, part in zip(stops, self.parts, strict=True)]
        if self.quantized:
            self._products = [self._product(rows) for rows in spans]
            self._set_canonical(None)
        elif packable(self.weight):
            self._products = [Reordered.pack(self.weight.detach()[rows], hurried) for rows in spans]
            self._trainable = self.weight.requires_grad
            self.weight = nn.Parameter(self.weight.detach().to("meta"), requires_grad=False)

    def unpack(self) -> None:
        """Plain or canonical weights again."""
        if not self._products:
            return
        if self.quantized:
            self._set_canonical(self._canonical())
        else:
            self.weight = nn.Parameter(self._dense(), requires_grad=self._trainable)
        self._products = []

    def freeze(self) -> None:
        """Plain or canonical weights that no training changes, and through which gradients flow."""
        self.unpack()
        self.requires_grad_(False)
        self.is_frozen = True

    def train(self, mode: bool = True) -> "Linear":
        """Training needs plain weights, or frozen ones."""
        if mode and self.quantized and not self.is_frozen:
            raise UserError(f"weights in {self.quantized} cannot be trained: load the model in fp32 or bf16")
        if mode:
            self.unpack()
        return super().train(mode)

    # ---- quantising -----------------------------------------------------------------------------------------------

    def quantize(self, kind: Kind) -> None:
        """Weights of 8 or 4 bits from here on. On the meta device: the shape of such a layer, to be loaded."""
        assert kind in KINDS, kind
        if self.quantized == kind:
            return
        assert self.quantized is None, f"{self.quantized} to {kind} would lose twice: quantise the original"
        self.unpack()
        weight = self.weight.detach()
        canonical = empty(kind, self.out_features, self.in_features) if weight.is_meta else quantize(weight, kind)
        self.quantized = kind
        self.register_parameter("weight", None)
        self._set_canonical(canonical)
        self.requires_grad_(False)
        super().train(False)

    def adopt(self, names: Iterable[str]) -> None:
        """Become what a file with these names under the layer's own holds; on the meta device, before loading."""
        if self.quantized is None and (kind := quantized_kind(names)) is not None:
            self.quantize(kind)

    def _set_canonical(self, canonical: Quantized | None) -> None:
        """Canonical values as buffers; None while a packed product holds them."""
        assert self.quantized is not None
        names = quantized_names(self.quantized)
        tensors = (None,) * len(names) if canonical is None else canonical.tensors()
        for name, tensor in zip(names, tensors, strict=True):
            self.register_buffer(name, tensor)

    def _canonical(self) -> Quantized:
        assert self.quantized is not None
        if self._products:
            pieces = [made.canonical() for made in self._products if not isinstance(made, Reordered)]
            joined = (torch.cat(tensors) for tensors in zip(*(piece.tensors() for piece in pieces), strict=True))
            return Quantized(self.quantized, *joined)
        return Quantized(self.quantized, *(getattr(self, name) for name in quantized_names(self.quantized)))

    def _product(self, rows: slice) -> Product:
        return product(self._canonical().rows(rows.start, rows.stop), self.in_features)

    # ---- what modules do --------------------------------------------------------------------------------------------

    def _dense(self) -> Float[Tensor, "O I"]:
        return torch.cat([made.packed.to_dense() for made in self._products if isinstance(made, Reordered)])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Linear":
        self.unpack()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.quantized:  # moved, but never converted: a canonical value is what it is
            for name in quantized_names(self.quantized)[1:]:
                setattr(self, name, getattr(self, name).to(torch.bfloat16))
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self._products and self.quantized:
            for name, tensor in zip(quantized_names(self.quantized), self._canonical().tensors(), strict=True):
                destination[prefix + name] = tensor
        elif self._products:
            destination[prefix + "weight"] = self._dense()

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self.unpack()
        super()._load_from_state_dict(*arguments)


def pack_linears(module: nn.Module, hurried: bool = False) -> None:
    """Pack every `Linear` below `module`; `module.train()` undoes it. `hurried`: see `Reordered`."""
    for part in module.modules():
        if isinstance(part, Linear):
            part.pack(hurried)


def quantized_layers(module: nn.Module, kind: Kind) -> dict[str, Kind]:
    """The `Linear` layers below `module` by name, and what each becomes in `kind`.

    A module may name, in `fine_weights`, how the names of layers begin that int4 would harm most: they get int8.
    """
    fine = tuple(getattr(module, "fine_weights", ()))
    names = (name for name, part in module.named_modules() if isinstance(part, Linear))
    return {name: "int8" if name.startswith(fine) else kind for name in names}


def quantize_linears(module: nn.Module, kind: Kind) -> None:
    """Quantise every `Linear` below `module`, or make it one to be loaded if it is on the meta device."""
    for name, its_kind in quantized_layers(module, kind).items():
        cast(Linear, module.get_submodule(name)).quantize(its_kind)


def quantized_kind(names: Iterable[str]) -> Kind | None:
    """The kind of the weights in a state dict with these names, the one of fewer bits; None: they are plain."""
    leaves = {name.rpartition(".")[2] for name in names}
    return next((kind for kind in reversed(KINDS) if f"weight_{kind}" in leaves), None)


def kind_of(module: nn.Module) -> Kind | None:
    """How the linear layers of a module are quantised, as `quantized_kind`; None: they are not."""
    kinds = {part.quantized for part in module.modules() if isinstance(part, Linear)}
    return next((kind for kind in reversed(KINDS) if kind in kinds), None)


def num_weights(module: nn.Module) -> int:
    """Parameters of a module, those that are quantised as what they stand for."""
    quantised = (part for part in module.modules() if isinstance(part, Linear) and part.quantized)
    plain = sum(parameter.numel() for parameter in module.parameters())
    return plain + sum(part.in_features * part.out_features for part in quantised)


def quantized_names(kind: Kind) -> tuple[str, ...]:
    """A quantised layer's tensors, as `Quantized.tensors()`."""
    return (f"weight_{kind}", "weight_scale") if kind == "int8" else (f"weight_{kind}", "weight_scale", "weight_zero")
