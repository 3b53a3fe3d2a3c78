"""The objective of a reader of plans: from a caption to what is true of its music.

In: batches of captions and facts (`reading_pairs`). Out: a `PlanReader`. Cross-entropy for genre, tempo, meter and
mode, binary cross-entropy for each instrument and mood. What a caption does not mention is a target all the same: the
heads then learn what is likely beside what was said, and how sure that is.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from cadenza.checkpoint import Config
from cadenza.conditioning.reader import PlanReader, PlanReaderConfig
from cadenza.data.batches import Batch
from cadenza.train.objective import Loss, Phase, Turn
from cadenza.train.objectives.reading_pairs import UNKNOWN, names_in
from cadenza.train.optim import AdamWConfig, OptimizerConfig, build_optimizer
from cadenza.train.tokenizer import train_tokenizer

_ONE_OF = ("genre", "tempo", "meter", "mode")
_ANY_OF = ("instruments", "moods")
_TOKENIZER_CAPTIONS = 40_000
"""More teach the tokenizer nothing."""


class ReadingObjectiveConfig(Config):
    """A small reader."""

    kind: Literal["reading"] = "reading"
    reader: PlanReaderConfig = Field(
        default_factory=PlanReaderConfig,
        description="the model; names that it lacks and the size of its vocabulary come from the data",
    )
    start_from: str | None = Field(None, description="reader to go on from; overrides `reader` and `vocab_size`")
    vocab_size: int = Field(2048, ge=64, description="pieces of the tokenizer, learnt from the captions")
    spoiled: float = Field(0.6, ge=0, le=1, description="share of captions with typing errors, words left out, etc.")
    optimizer: OptimizerConfig = Field(default_factory=AdamWConfig)
    max_grad_norm: float = Field(1.0, ge=0, description="clip the gradient to this norm; 0: off")


def build_reader(config: ReadingObjectiveConfig, rows: Sequence[dict[str, Any]]) -> PlanReader:
    """A reader to be trained on these rows: tokenizer and names from them, weights from PyTorch's generator."""
    if config.start_from:
        return PlanReader.from_pretrained(config.start_from)
    step = max(1, len(rows) // _TOKENIZER_CAPTIONS)
    tokenizer = train_tokenizer((text for row in rows[::step] for text in row["captions"][:2]), config.vocab_size)
    names = {field: getattr(config.reader, field) or found for field, found in names_in(rows).items()}
    encoder = config.reader.encoder.model_copy(update={"vocab_size": tokenizer.tokenizer.get_vocab_size()})
    reader = PlanReader(config.reader.model_copy(update={**names, "encoder": encoder}))
    reader.encoder.initialize()
    reader.tokenizer = tokenizer
    return reader


class ReadingObjective:
    """One phase, one module."""

    averaged: Sequence[str] = ("reader",)
    best_metric = "loss"

    def __init__(self, config: ReadingObjectiveConfig, reader: PlanReader, device: str | torch.device = "cpu") -> None:
        self.config, self.reader = config, reader.to(device).train()
        self.modules: dict[str, nn.Module] = {"reader": self.reader}
        self._phase = Phase("reader", build_optimizer(self.modules, config.optimizer), config.max_grad_norm)

    def phases(self, step: int) -> Sequence[Phase]:
        return (self._phase,)

    def all_phases(self) -> Sequence[Phase]:
        return (self._phase,)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        parts = self._losses(batch, self._logits(batch))
        return Loss(torch.stack(list(parts.values())).sum(), {name: part.detach() for name, part in parts.items()})

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Losses, and how often the likeliest genre, tempo (bin), meter and mode are true; unknown ones are not."""
        sums: dict[str, float] = {}
        items = 0
        for batch in batches:
            logits = self._logits(batch)
            values = {name: float(part) for name, part in self._losses(batch, logits).items()}
            values["loss"] = sum(values.values())
            for name in _ONE_OF:
                right = logits[name].argmax(1) == _target(batch, name)
                values[f"{name}_accuracy"] = float(right.float().mean())
            count = len(batch["captions"])
            items += count
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value * count
        return {name: value / items for name, value in sums.items()}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert not state

    def save_playable(self, directory: Path) -> None:
        self.reader.save_pretrained(directory)

    def _logits(self, batch: Batch) -> dict[str, Tensor]:
        return self.reader([str(caption) for caption in batch["captions"]])

    def _losses(self, batch: Batch, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In nats per caption; of instruments and moods the sum over all of them."""
        losses: dict[str, Tensor] = {}
        for name in _ONE_OF:
            target = _target(batch, name)
            known = (target != UNKNOWN).sum().clamp_min(1)
            losses[name] = F.cross_entropy(logits[name], target, ignore_index=UNKNOWN, reduction="sum") / known
        for name in _ANY_OF:
            target = _target(batch, name)
            losses[name] = F.binary_cross_entropy_with_logits(logits[name], target, reduction="sum") / len(target)
        return losses


def _target(batch: Batch, name: str) -> Tensor:
    target = batch[name]
    assert isinstance(target, Tensor)
    return target
