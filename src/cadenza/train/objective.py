"""The seam between the trainer and the model families.

The trainer owns the loop: data cursor, accumulation, precision, clipping, schedules, EMA, snapshots, logs. An objective
owns what is peculiar to a family: its modules, its optimisers, the phases of one step and what each phase minimises.

The adversarial codec shaped this interface. A step runs the phases in order; each phase accumulates the gradients of
all micro-batches and then steps its own optimiser, so the generator meets the discriminator that was just updated. An
objective that mixes gradients by hand (the loss balancer) returns a scalar whose gradient is that mixture; the trainer
calls `backward` in one place only.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from cadenza.data.batches import Batch, random_for
from cadenza.train.throughput import Work


@dataclass(frozen=True)
class Phase:
    """One optimiser's turn within a step. `max_grad_norm` 0 means no clipping."""

    name: str
    optimizer: torch.optim.Optimizer
    max_grad_norm: float = 0.0

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


@dataclass(frozen=True)
class Turn:
    """Where in the run a loss is asked for, and what it draws from there.

    `rows` are the rows of the micro-batch that this process holds, of those of all processes. What is drawn for an item
    comes from `draw`, so that it does not depend on who holds it; what is drawn once for the batch comes from
    `generator` (CPU), which is the same in every process.
    """

    phase: str
    step: int
    micro: int
    num_micro: int
    rows: range
    seed: int
    generator: torch.Generator

    def draw(self, row: int) -> random.Random:
        """The generator of one of `rows`: a function of the seed, the step, the micro-batch and the row alone."""
        assert row in self.rows
        # The last number keeps these apart from the generators of whole micro-batches.
        return random.Random(int(random_for(self.seed, self.step, self.micro, row, 1).integers(2**62)))


class Loss(NamedTuple):
    """The scalar to differentiate, what to log (scalars; they may live on the device), and how much was computed."""

    value: Tensor
    metrics: dict[str, Tensor]
    work: Work | None = None


@runtime_checkable
class Objective(Protocol):
    """What one training step of one model family computes."""

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Every module that training changes, by name: all that a snapshot's raw weights must hold."""

    @property
    def averaged(self) -> Sequence[str]:
        """Names of the modules whose moving average is validated and played."""

    @property
    def best_metric(self) -> str:
        """The validation metric that ranks snapshots; lower is better."""

    def phases(self, step: int) -> Sequence[Phase]:
        """The phases of this step, in order."""

    def all_phases(self) -> Sequence[Phase]:
        """Every phase of the run, whether it is active yet or not: what a snapshot must hold."""

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        """Forward of one micro-batch for one phase: a mean over the micro-batch, in train mode, under autocast."""

    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Validation metrics over all batches, in evaluation mode, without gradients."""

    def state_dict(self) -> dict[str, Any]:
        """State outside modules and optimisers, such as running averages: numbers, strings, tensors, lists, dicts."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def save_playable(self, directory: Path) -> None:
        """Write the modules as they are now as a model directory; `directory` exists and is empty."""
