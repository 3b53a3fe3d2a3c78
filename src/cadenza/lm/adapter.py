"""Adapters: what a fine-tuned language model adds to the one that it began as, in a few megabytes.

In: a language model. Out: low-rank branches beside its linear layers (Hu et al., 2021), to be trained; an `Adapter` of
what they have learnt, to be saved, read, merged.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import nn

from cadenza.errors import UserError
from cadenza.lm.adapter_file import (
    TRANSFORMERS_LINEARS,
    Adapter,
    AdapterConfig,
    AdapterRecord,
    LowRank,
    Target,
    read_adapter,
)
from cadenza.lm.model import LM
from cadenza.nn.beside import Mounted, SideProduct
from cadenza.nn.linear import Linear, kind_of
from cadenza.nn.lora import Branch

log = logging.getLogger("cadenza")

__all__ = [
    "Adapter",
    "AdapterConfig",
    "AdapterRecord",
    "Branches",
    "LowRank",
    "Source",
    "adapter_of",
    "attach",
    "check_fit",
    "detach",
    "merge",
    "mount",
    "notice_other_base",
    "read_adapter",
    "sites",
    "title",
]


LARGEST = 1e4
"""Beyond every number of an adapter. Where all rows of a batch are computed, those of others count it zero times, and
infinity times zero would be heard in their music."""

Source = str | Path | Adapter
"""A file, a directory of peft's, or what was read of one."""


def title(source: Source) -> str:
    """What to call it in a message."""
    return source.hash[:12] if isinstance(source, Adapter) else Path(source).name


class Site(NamedTuple):
    """A place for a branch: some output rows of a layer."""

    layer: Linear
    rows: slice
    target: Target

    @property
    def shape(self) -> tuple[int, int]:
        """Output rows, inputs."""
        return self.rows.stop - self.rows.start, self.layer.in_features


def sites(lm: LM) -> dict[str, Site]:
    """Every place for a branch, by `transformers`' name of the module."""
    found = {}
    for i, layer in enumerate(lm.layers):
        for name, foreign in TRANSFORMERS_LINEARS.items():
            block, _, leaf = name.partition(".")
            part = getattr(layer, block)
            if part is None:
                continue
            linear = cast(Linear, getattr(part, leaf))
            size = linear.out_features // len(foreign)
            for j, one in enumerate(foreign):
                rows = slice(j * size, (j + 1) * size)
                found[f"decoder.model.decoder.layers.{i}.{one}"] = Site(linear, rows, cast(Target, block))
    for k, head in enumerate(lm.heads):
        linear = cast(Linear, head)
        found[f"decoder.lm_heads.{k}"] = Site(linear, slice(0, linear.out_features), "heads")
    return found


def check_fit(lm: LM, adapter: Adapter, name: str = "the adapter") -> None:
    """Raise UserError, which speaks of `name`, unless every branch has a place in this model."""
    places = sites(lm)
    for at, pair in adapter.weights.items():
        site = places.get(at)
        if site is None:
            raise UserError(f"{name} changes {at}, which this model has not: it was made for {adapter.record.base}")
        if (pair.up.shape[0], pair.down.shape[1]) != site.shape:
            theirs, ours = (pair.up.shape[0], pair.down.shape[1]), site.shape
            raise UserError(
                f"{name} is for a model of another shape ({at} is {theirs[0]} x {theirs[1]} there, "
                f"{ours[0]} x {ours[1]} here): it was made for {adapter.record.base}"
            )


def notice_other_base(adapter: Adapter, name: str, weights: Callable[[], str]) -> None:
    """Say so if the adapter, called `name`, was trained on other weights than those of this hash."""
    trained_on = adapter.record.base_weights
    if trained_on and trained_on != weights():
        log.warning(
            "%s was trained on %s with weights %s, this model has %s: it fits in shape, how it sounds is open",
            name,
            adapter.record.base,
            trained_on[:12],
            weights()[:12],
        )


class Branches(nn.Module):
    """The branches of one model: all that is trained, and nothing else."""

    def __init__(self, branches: Mapping[str, Branch]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({name.replace(".", "/"): branch for name, branch in branches.items()})

    def by_name(self) -> dict[str, Branch]:
        """By `transformers`' name of the module."""
        return {name.replace("/", "."): cast(Branch, branch) for name, branch in self.parts.items()}


def attach(
    lm: LM, config: AdapterConfig, generator: torch.Generator | None = None, start: Adapter | None = None
) -> Branches:
    """Freeze the model, quantised or not, and put branches beside its layers; they add nothing yet.

    Targets that the model has not, such as cross-attention in one that listens to a prefix, are passed over.

    Returns the module that holds just the branches: it is to be trained, moved and set to `train()` or `eval()` along
    with the model, whose own parameters take no gradient any more. With `start`, training goes on from that adapter.
    `detach` takes the branches away.
    """
    detach(lm)
    places = {name: site for name, site in sites(lm).items() if site.target in config.targets}
    if not places:
        raise UserError(f"this model has no {' or '.join(config.targets)}: choose other targets for the adapter")
    generator = generator or torch.Generator().manual_seed(0)
    if start is not None:
        check_fit(lm, start)
    lm.requires_grad_(False)
    for part in lm.modules():
        if isinstance(part, Linear):
            part.freeze()
    made = {}
    for name, site in places.items():
        branch = Branch(site.layer.in_features, site.shape[0], config.rank, config.scale, config.dropout)
        branch.initialize(generator)
        made[name] = branch.to(lm.device)
        site.layer.branches.append((site.rows, branch))
    branches = Branches(made)
    if start is not None:
        _go_on(branches, start, config)
    return branches.train(lm.training)


def detach(lm: LM) -> None:
    """The model without branches; it stays frozen until `requires_grad_()` says otherwise."""
    for part in lm.modules():
        if isinstance(part, Linear):
            part.branches.clear()
            part.is_frozen = False


@torch.no_grad()
def _go_on(branches: Branches, start: Adapter, config: AdapterConfig) -> None:
    ours = branches.by_name()
    if ours.keys() != start.weights.keys():
        raise UserError("the adapter to go on from has other targets: give the same")
    for name, weights in start.weights.items():
        if weights.down.shape != ours[name].down.shape:
            raise UserError(f"the adapter to go on from has rank {len(weights.down)}: give the same rank")
        ours[name].down.copy_(weights.down)
        ours[name].up.copy_(weights.up * (start.config.scale / config.scale))


def adapter_of(branches: Branches, config: AdapterConfig, record: AdapterRecord | None = None) -> Adapter:
    """What was trained, as it is now."""
    weights = {}
    for name, branch in branches.by_name().items():
        pair = (tensor.detach().to("cpu", torch.float32, copy=True) for tensor in (branch.down, branch.up))
        weights[name] = LowRank(*pair)
    return Adapter(config, weights, record or AdapterRecord())


# ---- playing -------------------------------------------------------------------------------------------------------


def mount(lm: LM, adapter: Adapter, name: str = "the adapter") -> Mounted:
    """The adapter as the engine uses it beside this model, which stays as it is: any number can be mounted.

    Raises UserError, which speaks of `name`, for an adapter of another shape, or whose numbers are beyond reason.
    """
    check_fit(lm, adapter, name)
    places = sites(lm)
    # float16 would overflow in sums of what fits into it.
    is_wide = lm.device.type == "cpu" or lm.compute_dtype == torch.float16
    dtype = torch.float32 if is_wide else lm.compute_dtype
    pieces: dict[tuple[Linear, int], list[tuple[slice, LowRank]]] = {}
    for at, pair in sorted(adapter.weights.items()):
        layer, rows, _ = places[at]
        stops = torch.tensor(layer.parts).cumsum(0).tolist()
        part = next(i for i, stop in enumerate(stops) if rows.stop <= stop)
        start = stops[part] - layer.parts[part]
        pieces.setdefault((layer, part), []).append((slice(rows.start - start, rows.stop - start), pair))
    products: dict[tuple[nn.Module, int], SideProduct] = {}
    for (layer, part), pairs in pieces.items():
        # One product for all projections of a part: theirs lie in blocks, zeros between them.
        down = torch.cat([pair.down for _, pair in pairs])
        up = torch.zeros(layer.parts[part], len(down))
        first = 0
        for rows, pair in pairs:
            up[rows, first : first + len(pair.down)] = adapter.config.scale * pair.up
            first += len(pair.down)
        if not down.abs().max() + up.abs().max() < LARGEST:  # nor NaN
            raise UserError(f"{name} has numbers beyond {LARGEST:g}: its training went wrong, or its alpha is")
        products[(layer, part)] = SideProduct.of(down.to(lm.device, dtype), up.to(lm.device, dtype))
    return Mounted(adapter.hash, products)


@torch.no_grad()
def merge(lm: LM, adapter: Adapter, gain: float = 1.0, name: str = "the adapter") -> None:
    """Add what the adapter adds, `gain` times, to the model's own weights; it costs nothing more then.

    Raises UserError for quantised weights, which have no room for it, and for an adapter of another shape.
    """
    check_fit(lm, adapter, name)
    if (kind := kind_of(lm)) is not None:
        raise UserError(f"weights in {kind} cannot take up an adapter: merge it into the model that they were made of")
    places = sites(lm)
    for at, pair in adapter.weights.items():
        layer, rows, _ = places[at]
        layer.unpack()
        change = gain * adapter.config.scale * (pair.up @ pair.down)
        layer.weight[rows] += change.to(layer.weight)
