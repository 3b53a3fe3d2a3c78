"""Our tensor names and those of audiocraft and transformers, as data.

In: one of our modules. Out: for each of its tensors, the foreign tensors it is made of: one, or several stacked on the
first axis (transformers keeps queries, keys and values apart). The same table reads and writes, so nothing can be lost
in one direction only.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from cadenza.codec.encodec import EnCodec
from cadenza.errors import CheckpointError
from cadenza.lm.adapter_file import TRANSFORMERS_LINEARS
from cadenza.nn.conv import ConvTranspose1d

Names = dict[str, tuple[str, ...]]
"""Our name -> foreign names."""

_PARAMETRIZED = {
    ".parametrizations.weight.original0": ".weight_g",
    ".parametrizations.weight.original1": ".weight_v",
}


def audiocraft_codec(codec: EnCodec) -> Names:
    """`encoder.layers.3.conv.weight_v` -> `encoder.model.3.conv.conv.weight_v`, and so on."""
    transposed = {name for name, part in codec.named_modules() if isinstance(part, ConvTranspose1d)}
    names = {}
    for name in codec.state_dict():
        if name.startswith("quantizer."):
            names[name] = re.sub(r"layers\.(\d+)\.", r"vq.layers.\1._codebook.", name)
            continue
        foreign = re.sub(r"^(\w+)\.layers\.", r"\1.model.", name)
        owner, _, leaf = name.rpartition(".")
        layer, _, part = owner.rpartition(".")
        if part in ("conv", "norm"):
            kind = "convtr" if layer in transposed else "conv"
            inner = kind if part == "conv" else "norm"
            foreign = f"{foreign.removesuffix(f'{part}.{leaf}')}{kind}.{inner}.{leaf}"
        names[name] = foreign
    return {name: (foreign,) for name, foreign in names.items()}


def transformers_codec(codec: EnCodec) -> Names:
    """As ours, but for the codebooks."""
    return {
        name: (re.sub(r"^quantizer\.layers\.(\d+)\.", r"quantizer.layers.\1.codebook.", name),)
        for name in codec.state_dict()
    }


AUDIOCRAFT_LAYER = {
    "self_attention.in_projection.weight": ("self_attn.in_proj_weight",),
    "self_attention.in_projection.bias": ("self_attn.in_proj_bias",),
    "self_attention.out_projection": ("self_attn.out_proj",),
    "cross_attention.in_projection.weight": ("cross_attention.in_proj_weight",),
    "cross_attention.in_projection.bias": ("cross_attention.in_proj_bias",),
    "cross_attention.out_projection": ("cross_attention.out_proj",),
    "norm_self": ("norm1",),
    "norm_cross": ("norm_cross",),
    "norm_feed_forward": ("norm2",),
    "feed_forward.linear1": ("linear1",),
    "feed_forward.linear2": ("linear2",),
}
_TRANSFORMERS_LAYER = TRANSFORMERS_LINEARS | {
    "norm_self": ("self_attn_layer_norm",),
    "norm_cross": ("encoder_attn_layer_norm",),
    "norm_feed_forward": ("final_layer_norm",),
}


def audiocraft_lm(lm: nn.Module) -> Names:
    """Names in `state_dict.bin`."""
    top = {"embeddings": "emb", "heads": "linears", "out_norm": "out_norm"}
    return _lm_names(lm, top, "transformer.layers", AUDIOCRAFT_LAYER)


def transformers_lm(lm: nn.Module) -> Names:
    """Names of the `decoder` in `MusicgenForConditionalGeneration`, its prefix `decoder.` left out."""
    model = "model.decoder"
    top = {"embeddings": f"{model}.embed_tokens", "heads": "lm_heads", "out_norm": f"{model}.layer_norm"}
    return _lm_names(lm, top, f"{model}.layers", _TRANSFORMERS_LAYER)


def _lm_names(lm: nn.Module, top: Mapping[str, str], layers: str, layer: Mapping[str, tuple[str, ...]]) -> Names:
    names: Names = {}
    for name in lm.state_dict():
        first, _, rest = name.partition(".")
        if first != "layers":
            names[name] = (f"{top[first]}.{rest}",)
            continue
        index, _, rest = rest.partition(".")
        part, _, leaf = rest.rpartition(".")
        if rest in layer:
            names[name] = tuple(f"{layers}.{index}.{foreign}" for foreign in layer[rest])
        else:
            names[name] = tuple(f"{layers}.{index}.{foreign}.{leaf}" for foreign in layer[part])
    return names


# ---- moving tensors --------------------------------------------------------------------------------------------------


def gather(names: Names, foreign: Mapping[str, Tensor], source: str | Path) -> dict[str, Tensor]:
    """Our state dict from a foreign one that must hold exactly the tensors of the table."""
    wanted = [piece for pieces in names.values() for piece in pieces]
    _check(wanted, foreign, source)
    return {
        name: foreign[pieces[0]] if len(pieces) == 1 else torch.cat([foreign[piece] for piece in pieces])
        for name, pieces in names.items()
    }


def scatter(names: Names, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The foreign state dict of ours."""
    result: dict[str, Tensor] = {}
    for name, pieces in names.items():
        parts = (state[name],) if len(pieces) == 1 else state[name].chunk(len(pieces))  # a counter is no vector
        result |= zip(pieces, parts, strict=True)
    return result


def weight_norm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weight norm under the names of files, `weight_g` and `weight_v`, whichever way PyTorch registered it."""
    result = {}
    for name, tensor in state.items():
        for new, old in _PARAMETRIZED.items():
            name = name.replace(new, old)
        result[name] = tensor
    return result


def _check(wanted: Iterable[str], foreign: Mapping[str, Tensor], source: str | Path) -> None:
    wanted = set(wanted)
    for words, names in (
        ("lacks", sorted(wanted - foreign.keys())),
        ("holds, beyond what its configuration describes,", sorted(foreign.keys() - wanted)),
    ):
        if names:
            rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointError(
                f"{source} {words} {', '.join(names[:3])}{rest}: it is of another kind, or incomplete"
            )
