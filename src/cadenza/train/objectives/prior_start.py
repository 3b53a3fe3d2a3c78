"""The prior of a run: new, continued with more labels, or grown from one of another shape.

In: settings, a prior to begin with, names. Out: a prior. Dhariwal et al. 2020 (arXiv 2005.00341): 5b_lyrics is 5b with
layers between its own that listen to lyrics. They begin as nothing, as does all else that is new here (timing, labels
where there were none), so that such a prior computes to the bit what the old one did. Lyrics in front of the music, in
one sequence with it, change what each layer sees: there the old weights are a beginning, not the same model.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cadenza.convert.openai_jukebox_prior import read_prior
from cadenza.convert.openai_jukebox_vqvae import read_vqvae
from cadenza.errors import UserError
from cadenza.jukebox.labels import LabelSet, artist_key, genre_keys
from cadenza.jukebox.prior import Prior, PriorConfig
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.pipelines.jukebox_labels import LABELS_FILE, LabelBook
from cadenza.train.objectives.prior_config import PriorObjectiveConfig


def open_vqvae(place: str) -> JukeboxVQVAE:
    """A VQ-VAE from a model directory or OpenAI's file, frozen."""
    vqvae = read_vqvae(place) if Path(place).is_file() else JukeboxVQVAE.from_pretrained(place)
    return vqvae.eval().requires_grad_(False)


def open_start(config: PriorObjectiveConfig) -> Prior | None:
    """The prior to begin with, in float32."""
    if config.start_from is None:
        if config.prior is None:
            raise UserError("nothing says what to train: give objective.prior, or objective.start_from")
        return None
    if Path(config.start_from).is_file():
        return read_prior(config.start_from, config.start_name).float()
    return Prior.from_pretrained(config.start_from)


def check_codes(shape: PriorConfig, vqvae: JukeboxVQVAE) -> None:
    """Raise UserError if a prior of this shape is not one of this VQ-VAE's."""
    if shape.level >= vqvae.num_levels or (shape.conditioner is not None and shape.level + 1 >= vqvae.num_levels):
        raise UserError(f"a prior of level {shape.level}, but the VQ-VAE has levels 0 to {vqvae.num_levels - 1}")
    facts = {
        "sample_rate": (shape.sample_rate, vqvae.sample_rate),
        "hop_length": (shape.hop_length, vqvae.hop_lengths[shape.level]),
        "codebook_size": (shape.codebook_size, vqvae.codebook_size),
    }
    if shape.conditioner is not None:
        ratio = vqvae.hop_lengths[shape.level + 1] // vqvae.hop_lengths[shape.level]
        facts["codes per code of the level above"] = (shape.conditioner.stride, ratio)
    for name, (ours, theirs) in facts.items():
        if ours != theirs:
            raise UserError(
                f"{name} of level {shape.level}: {ours} in the prior, {theirs} in the VQ-VAE; make it equal"
            )


def known_names(config: PriorObjectiveConfig, shape: PriorConfig) -> LabelSet | None:
    """Names that have rows already, if they are known."""
    if shape.labels is None:
        return None
    place = config.labels_from
    if place is None and config.start_from is not None and (Path(config.start_from) / LABELS_FILE).is_file():
        place = config.start_from
    if place is None:
        return None
    version, sets = shape.labels.version, LabelBook.read(place).sets
    if version not in sets:
        raise UserError(f"{place} has labels of version {', '.join(sets)}, the model {version}: give its own")
    return sets[version]


def copies_of(alike: Mapping[str, str], names: LabelSet) -> dict[str, dict[int, int]]:
    """`artists` and `genres` -> new row -> row that it begins as a copy of. Raises UserError for unknown names."""
    version = names.version
    copies: dict[str, dict[int, int]] = {"artists": {}, "genres": {}}
    for new, old in alike.items():
        pairs = {
            "artists": [(artist_key(new, version), artist_key(old, version))],
            "genres": list(zip(genre_keys(new, version), genre_keys(old, version), strict=False)),
        }
        found = 0
        for kind, rows in (("artists", names.artists), ("genres", names.genres)):
            for ours, theirs in pairs[kind]:
                if ours in rows and theirs in rows:
                    copies[kind][rows[ours]] = rows[theirs]
                    found += 1
        if not found:
            raise UserError(f"alike: {new!r} and {old!r} are not two artists or two genres that are known")
    return copies


@torch.no_grad()
def begin(
    config: PriorConfig, start: Prior | None, copies: Mapping[str, Mapping[int, int]], generator: torch.Generator
) -> Prior:
    """A prior of this shape: new where there is no `start`, else with its weights, in all that both have.

    Raises UserError where the two have nothing to do with each other.
    """
    prior = Prior(config)
    prior.initialize(generator)
    if start is None:
        return prior
    layers = layers_from(config, start.config)
    ours, theirs = prior.state_dict(), start.state_dict()
    for name, tensor in ours.items():
        part, *rest = name.split(".")
        if part == "transformer":
            index, inside = int(rest[1]), ".".join(rest[2:])
            if index in layers:
                _copy(name, tensor, theirs[f"transformer.layers.{layers[index]}.{inside}"])
        elif part == "labels":
            _copy_labels(tensor, start, rest[0], copies[rest[0]])
        elif name in ("embedding.weight", "head.weight") and name in theirs:
            old = theirs[name]
            if prior.num_symbols and prior.num_symbols == start.num_symbols:
                _copy(name, tensor, old)
            else:  # the codes stand behind the characters
                _copy(name, tensor[prior.num_symbols :], old[start.num_symbols :])
        elif name == "positions":
            _copy(name, tensor[-len(theirs[name]) :], theirs[name])
        elif name in theirs:
            _copy(name, tensor, theirs[name])
        elif part == "timing":
            tensor.zero_()
        elif part != "lyric_encoder":
            raise UserError(f"the prior to begin with has no {name}: choose one with it, or begin anew")
    lost = {name.split(".")[0] for name in theirs} - {name.split(".")[0] for name in ours} - {"start"}
    if lost:
        raise UserError(f"the prior to begin with has {', '.join(sorted(lost))}, the new one has not: give it one")
    return prior


def layers_from(config: PriorConfig, start: PriorConfig) -> dict[int, int]:
    """Our layer -> the layer that it begins as. Those that listen beside the sequence are new unless both have them."""
    ours, theirs = config.transformer.layers, start.transformer.layers
    if len(ours) == len(theirs) and ("cross" in ours) == ("cross" in theirs):
        return {index: index for index in range(len(ours))}
    kept = [index for index, kind in enumerate(ours) if kind != "cross"]
    if "cross" in theirs or [ours[index] for index in kept] != list(theirs):
        raise UserError(
            f"{len(theirs)} layers to begin with do not stand in order among {len(ours)}: layers of kind cross may be "
            "put between them, others may not"
        )
    return {index: number for number, index in enumerate(kept)}


def _copy(name: str, target: Tensor, source: Tensor) -> None:
    if target.shape != source.shape:
        raise UserError(
            f"{name} is {list(source.shape)} in the prior to begin with and {list(target.shape)} in the new one: give "
            "both the same shape"
        )
    target.copy_(source)


def _copy_labels(table: Tensor, start: Prior, kind: str, copies: Mapping[int, int]) -> None:
    """The rows that there are; new ones begin as those that they are like, or as the unknown."""
    if start.labels is None:  # whoever plays, it sounds as before
        assert start.start is not None
        table.copy_(start.start.expand_as(table)) if kind == "artists" else table.zero_()
        return
    old = start.labels.get_submodule(kind).weight
    assert isinstance(old, Tensor)
    if min(copies, default=len(old)) < len(old):
        raise UserError(f"alike: row {min(copies)} of the {kind} is trained already: name a new one")
    _copy(kind, table[: len(old)], old)  # which has no more rows: `grown` sees to it
    for row in range(len(old), len(table)):
        like = copies.get(row, 0)
        table[row] = old[like if like < len(old) else 0]
