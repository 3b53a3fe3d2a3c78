"""The objective of a Jukebox prior: predict each code of a level from those before it and from what is known beside.

In: batches of `prior_data`. Out: a `Prior`, and `labels.json` beside it. Dhariwal et al. 2020 (arXiv 2005.00341),
sections 4 and 5. Artists, genres and lyrics are left out now and then, so that the model can do without.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from cadenza.data.batches import Batch
from cadenza.errors import UserError
from cadenza.jukebox.labels import LabelSet, Piece
from cadenza.jukebox.prior import Prior, PriorLoss
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.pipelines.jukebox_labels import LABELS_FILE, LabelBook
from cadenza.train.objective import Loss, Phase, Turn
from cadenza.train.objectives.prior_config import PriorObjectiveConfig
from cadenza.train.objectives.prior_data import levels_of
from cadenza.train.optim import build_optimizer
from cadenza.train.throughput import Work


class PriorObjective:
    """One phase, `prior`: bits per code, and per character of lyrics, weighed as the model has it."""

    averaged: Sequence[str] = ("prior",)
    best_metric = "bits"

    def __init__(
        self,
        config: PriorObjectiveConfig,
        prior: Prior,
        vqvae: JukeboxVQVAE,
        names: LabelSet | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        """`vqvae` codes what comes as sound; `names` are stored with the model."""
        self.config, self.names = config, names
        self.prior = prior.to(device).train()
        self.prior.transformer.gradient_checkpointing = config.gradient_checkpointing
        if prior.lyric_encoder is not None:
            prior.lyric_encoder.transformer.gradient_checkpointing = config.gradient_checkpointing
        self.vqvae = vqvae.to(device)
        self.modules: dict[str, nn.Module] = {"prior": self.prior}
        self._phase = Phase("prior", build_optimizer(self.modules, config.optimizer), config.max_grad_norm)

    def phases(self, step: int) -> Sequence[Phase]:
        return (self._phase,)

    def all_phases(self) -> Sequence[Phase]:
        return (self._phase,)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        """`loss` is what is minimised, `bits` are those per code of music, `bits_lyrics` those per character."""
        codes, upper = self.codes_of(batch)
        told = [self.thinned(piece, turn.draw(row)) for row, piece in zip(turn.rows, pieces_in(batch), strict=True)]
        found = self._bits(codes, upper, told)
        value = found.total.mean()
        metrics = {"loss": value.detach(), "bits": found.music.mean().detach()}
        if found.lyrics is not None:
            metrics["bits_lyrics"] = found.lyrics.mean().detach()
        return Loss(value, metrics, self._work(codes))

    def thinned(self, piece: Piece, draw: random.Random) -> Piece:
        """A piece of which artist, genres and lyrics are each left out by chance."""
        artist, genres, lyrics = draw.random(), draw.random(), draw.random()
        changes: dict[str, Any] = {}
        if artist < self.config.label_dropout:
            changes["artist"] = 0
        if genres < self.config.label_dropout:
            changes["genres"] = (0,)
        if lyrics < self.config.lyrics_dropout:
            changes["lyrics"] = ()
        return replace(piece, **changes)

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Bits per code with all that is known (`bits`), and without it, what each is worth: of labels and lyrics
        (`bits_unlabelled`, `bits_unsung`), and with the level above of another item (`bits_shuffled`). Chance is
        `bits_chance`, what the frequencies of these very codes give away: no guess that sees nothing does better.
        """
        counts = torch.zeros(self.prior.config.codebook_size, dtype=torch.float64)
        sums: dict[str, float] = {}
        items = 0
        for batch in batches:
            codes, upper = self.codes_of(batch)
            pieces = pieces_in(batch)
            whole = self._bits(codes, upper, pieces)
            found = {"loss": whole.total, "bits": whole.music}
            if whole.lyrics is not None:
                found["bits_lyrics"] = whole.lyrics
            for name, other_upper, others in self._lessened(upper, pieces):
                found[name] = self._bits(codes, other_upper, others).music
            for name, bits in found.items():
                sums[name] = sums.get(name, 0.0) + float(bits.sum())
            counts += torch.bincount(codes.flatten().cpu(), minlength=len(counts))
            items += len(codes)
        shares = counts / counts.sum()
        chance = float(-(shares * shares.clamp_min(1e-12).log2()).sum())
        return {name: value / items for name, value in sums.items()} | {"bits_chance": chance}

    def _lessened(
        self, upper: Int[Tensor, "B U"] | None, pieces: Sequence[Piece]
    ) -> list[tuple[str, Tensor | None, Sequence[Piece]]]:
        """Ways of knowing less."""
        ways: list[tuple[str, Tensor | None, Sequence[Piece]]] = []
        if self.prior.labels is not None:
            ways.append(("bits_unlabelled", upper, [replace(piece, artist=0, genres=(0,)) for piece in pieces]))
        if self.prior.config.lyrics is not None:
            ways.append(("bits_unsung", upper, [replace(piece, lyrics=()) for piece in pieces]))
        if upper is not None:
            # Of the item before; of a single one its other half.
            other = upper.roll(1, 0) if len(upper) > 1 else upper.roll(upper.shape[1] // 2, 1)
            ways.append(("bits_shuffled", other, pieces))
        return ways

    def state_dict(self) -> dict[str, Any]:
        return {"names": _stored(self.names)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Rows are names: UserError if the data now give them to others."""
        if state["names"] != _stored(self.names):
            raise UserError(
                "artists or genres of the data have changed since this run began, or which are the more frequent: "
                "put them back, or begin a new run from this one's model (objective.start_from)"
            )

    def save_playable(self, directory: Path) -> None:
        self.prior.save_pretrained(directory)
        if self.names is not None:
            LabelBook({self.names.version: self.names}).save(directory / LABELS_FILE)

    # ---- the loss ------------------------------------------------------------------------------------------------

    def codes_of(self, batch: Batch) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B U"] | None]:
        """Codes of this level and of the one above, of a batch of either kind."""
        levels = levels_of(self.prior.config)
        if "audio" in batch:
            audio = batch["audio"]
            assert isinstance(audio, Tensor)
            audio = audio.to(self.prior.device)
            with torch.autocast(audio.device.type, enabled=False):
                found = self.vqvae.encode(audio, levels)
        else:
            parts = [batch[name] for name in ("codes", "upper")[: len(levels)]]
            found = [part.to(self.prior.device) for part in parts if isinstance(part, Tensor)]
        return found[0], found[1] if len(levels) > 1 else None

    def _bits(self, codes: Int[Tensor, "B T"], upper: Tensor | None, pieces: Sequence[Piece]) -> PriorLoss:
        return self.prior.loss(codes, self.prior.conditions(pieces, upper_codes=upper))

    def _work(self, codes: Int[Tensor, "B T"]) -> Work:
        """Products with weights, of the stack and the head; attention and what is heard are a few percent of them."""
        config = self.prior.config
        stack = sum(part.numel() for part in self.prior.transformer.parameters() if part.dim() == 2)
        operations = 6 * (stack * config.length + self.prior.vocabulary_size * config.transformer.dim * config.length)
        return Work(codes.numel(), float(len(codes) * operations))


def pieces_in(batch: Batch) -> list[Piece]:
    """What is told of each item."""
    pieces = [piece for piece in batch["pieces"] if isinstance(piece, Piece)]
    assert len(pieces) == len(batch["pieces"])
    return pieces


def _stored(names: LabelSet | None) -> Mapping[str, Any] | None:
    return None if names is None else {"artists": names.artists, "genres": names.genres}
