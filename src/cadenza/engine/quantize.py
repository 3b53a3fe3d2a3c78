"""Models whose linear layers are quantised when they are loaded.

In: a model directory in any precision. Out: the module with int8 or int4 weights in their canonical form. What is made
of full-precision weights is kept in the user's cache, under their hash: the next time it is read, not made.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from cadenza.checkpoint import (
    WEIGHTS_FILE,
    Pretrained,
    assign_weights,
    cache_directory,
    file_hash,
    load_weights,
    read_weights,
    weight_shapes,
    write_weights,
)
from cadenza.errors import CadenzaError, CheckpointError, UserError
from cadenza.nn.linear import quantize_linears, quantized_kind, quantized_layers, quantized_names
from cadenza.nn.quantize import SCHEME, Kind, quantize

log = logging.getLogger("cadenza")

P = TypeVar("P", bound=Pretrained)


def stored_kind(directory: str | Path) -> Kind | None:
    """Whether (and how) the weights in a model directory are quantised."""
    return quantized_kind(weight_shapes(Path(directory) / WEIGHTS_FILE))


def load_module(
    module_class: type[P],
    directory: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    kind: Kind | None = None,
) -> P:
    """The module in `directory`, its linear layers in `kind` if there is one, all else in `dtype`; evaluation mode.

    Raises CheckpointError for a broken file, UserError for one that is quantised otherwise.
    """
    directory = Path(directory)
    source = directory / WEIGHTS_FILE
    stored = stored_kind(directory)
    if stored == kind:
        return module_class.from_pretrained(directory, device, dtype)
    if stored is not None:
        raise UserError(
            f"{directory} holds weights in {stored}: load it with precision {stored}, or the model it was made of"
        )
    assert kind is not None
    kept = cache_directory() / "quantized" / f"{file_hash(source)[:16]}-{kind}-v{SCHEME}.safetensors"
    if kept.is_file():
        try:
            return _loaded(module_class, directory, kept, device, dtype)
        except CheckpointError as error:
            log.warning("quantising again: %s", error)
    skeleton = cast(nn.Module, module_class.skeleton(directory))
    log.info("quantising %s to %s (once), into %s", source, kind, kept)
    state = dict(_quantized(skeleton, source, kind, dtype))
    try:
        write_weights(kept, state)
    except CadenzaError as error:
        log.warning("%s; the model plays, but is quantised again the next time", error)
        quantize_linears(skeleton, kind)
        state = {name: tensor.to(device) for name, tensor in state.items()}
        assign_weights(skeleton, state, source, device, dtype)
        return cast(P, skeleton.eval())
    del state
    return _loaded(module_class, directory, kept, device, dtype)


def _loaded(module_class: type[P], directory: Path, weights: Path, device: str | torch.device, dtype: torch.dtype) -> P:
    """The module that `directory` describes with the weights of another file."""
    module = cast(nn.Module, module_class.skeleton(directory))
    load_weights(module, weights, device, dtype)
    return cast(P, module.eval())


def _quantized(skeleton: nn.Module, source: Path, kind: Kind, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of the quantised state, read one at a time."""
    kinds = quantized_layers(skeleton, kind)
    for name in skeleton.state_dict():
        tensor = read_weights(source, (name,))[name]
        layer, _, leaf = name.rpartition(".")
        if layer not in kinds or leaf != "weight":
            yield name, tensor.to(dtype) if tensor.is_floating_point() else tensor.clone()
            continue
        made = quantize(tensor, kinds[layer])
        if not made.scale.isfinite().all():
            raise CheckpointError(f"{source}: {name} holds NaN or infinity: fetch or convert it again")
        for its_name, values in zip(quantized_names(made.kind), made.tensors(), strict=True):
            yield f"{layer}.{its_name}", values
