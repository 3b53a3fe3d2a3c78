"""What a run that trains a Jukebox prior is made of: VQ-VAE, prior, names, and batches.

In: settings and data. Out: `PriorParts`.
"""

from typing import NamedTuple

import torch

from cadenza.data.batches import BatchSource, FiniteBatchSource
from cadenza.errors import UserError
from cadenza.jukebox.labels import LabelSet
from cadenza.jukebox.prior import Prior
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.train.objectives.prior_config import PriorObjectiveConfig
from cadenza.train.objectives.prior_data import DrawnWindows, MiddleWindows, Windows, read_tracks
from cadenza.train.objectives.prior_labels import grown, learn_names, pieces_of
from cadenza.train.objectives.prior_start import begin, check_codes, copies_of, known_names, open_start, open_vqvae


class PriorParts(NamedTuple):
    """The frozen VQ-VAE, the prior, the names of its labels, and its batches."""

    vqvae: JukeboxVQVAE
    prior: Prior
    names: LabelSet | None
    train: BatchSource
    valid: FiniteBatchSource | None


def build_prior(
    family: PriorObjectiveConfig, place: str, batch_size: int, seed: int, valid_items: int, rows: range
) -> PriorParts:
    """`place` holds a manifest or tokens; `valid_items` 0: no validation; `rows` of every batch are those held here."""
    vqvae, start = open_vqvae(family.vqvae), open_start(family)
    shape = family.prior
    if shape is None:
        assert start is not None
        shape = start.config
    check_codes(shape, vqvae)
    tracks = read_tracks(place, vqvae, shape)
    splits = {name: [track for track in tracks if track.split == name] for name in ("train", "valid")}
    if not splits["train"]:
        raise UserError(f"{place} has no entries of split 'train': nothing to learn from")
    names: LabelSet | None = None
    copies: dict[str, dict[int, int]] = {"artists": {}, "genres": {}}
    if shape.labels is not None:
        trained = None if start is None else start.config.labels
        rows_there = (0, 0) if trained is None else (trained.num_artists, trained.num_genres)
        known, least = known_names(family, shape), family.least_recordings
        names = learn_names(shape.labels.version, known, rows_there, splits["train"], family.fields, least)
        shape = shape.model_copy(update={"labels": grown(shape.labels, names)})
        copies = copies_of(family.alike, names)
    prior = begin(shape, start, copies, torch.Generator().manual_seed(seed))
    pieces = {name: pieces_of(part, names, shape, family.fields) for name, part in splits.items()}
    train = DrawnWindows(Windows(splits["train"], pieces["train"], shape), batch_size, seed, rows)
    valid = None
    if splits["valid"] and valid_items:
        windows = Windows(splits["valid"], pieces["valid"], shape)
        valid = MiddleWindows(windows, batch_size, valid_items)
    return PriorParts(vqvae, prior, names, train, valid)
