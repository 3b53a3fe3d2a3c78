"""A codebook that learns by moving averages and revives what is not used.

In: latent vectors `[N, D]`. Out: their codes `[N]` and the entries that these stand for. Jukebox (Dhariwal et al. 2020,
arXiv 2005.00341), section 3 (random restarts); averages as in van den Oord et al. 2017, appendix A.1.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.errors import CheckpointError
from cadenza.nn.ranks import num_ranks, rank, sum_over_ranks

ROWS = 2048
"""Vectors that are compared with all entries at once: 16 MB for 2048 entries."""
JITTER = 0.01
"""Standard deviation, times the square root of D, of what is added to vectors that are used more than once."""
FORGOTTEN = 1e-12
"""Averaged uses below which the average of an entry means nothing any more."""


class Codebook(nn.Module):
    """`V` vectors; a vector's code is its nearest entry in Euclidean distance (the first on ties)."""

    vectors: Tensor

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.randn(codebook_size, dim))

    def nearest(self, x: Float[Tensor, "N D"]) -> tuple[Int[Tensor, "N"], Float[Tensor, "N"]]:
        """Codes and squared distances, `|x|^2 - 2 x.k + |k|^2`. Needs full float32: TF32 alone changes codes."""
        squares = self.vectors.square().sum(1)
        codes = torch.empty(len(x), dtype=torch.int64, device=x.device)
        distances = x.new_empty(len(x))
        # One piece of memory for all: the allocator would scatter as many large ones as there are turns.
        table = x.new_empty(min(ROWS, len(x)), len(squares))
        for start in range(0, len(x), ROWS):
            rows, part = x[start : start + ROWS], slice(start, start + ROWS)
            found = table[: len(rows)].copy_(rows.square().sum(1, keepdim=True).expand(-1, len(squares)))
            found.addmm_(rows, self.vectors.t(), alpha=-2).add_(squares)
            torch.min(found, dim=1, out=(distances[part], codes[part]))
        return codes, distances

    def lookup(self, codes: Int[Tensor, "B T"]) -> Float[Tensor, "B D T"]:
        """The entries of codes."""
        return F.embedding(codes, self.vectors).transpose(1, 2)


class LearningConfig(Config):
    """How codebooks learn; the defaults are those of the published model."""

    decay: float = Field(0.99, ge=0, lt=1, description="of the moving averages, per batch (arXiv 2005.00341)")
    restart_threshold: float = Field(
        1.0, ge=0, description="averaged uses per batch below which an entry is replaced by a vector of the batch"
    )
    restarts: bool = Field(True, description="False: entries without use stay as they are (for comparisons)")


class CodebookMetrics(NamedTuple):
    """What one batch did to a codebook; scalars. `fit` and `spread` are of this process's vectors."""

    entropy: Float[Tensor, ""]
    """Of the batch's codes, nats."""
    used: Float[Tensor, ""]
    """Entries that the batch uses at least `restart_threshold` times."""
    usage: Float[Tensor, ""]
    """Entries that live: averaged uses at or above the threshold."""
    movement: Float[Tensor, ""]
    """Root mean square of the entries' change."""
    fit: Float[Tensor, ""]
    """Mean squared distance to the nearest entry, summed over D."""
    spread: Float[Tensor, ""]
    """Root mean square of the vectors' numbers about their mean."""


class Draw(NamedTuple):
    """An order of all vectors of the batch, repeated until there are as many as entries; unit noise if repeated."""

    order: Int[Tensor, "M"]
    noise: Float[Tensor, "M D"] | None


def draw(num_vectors: int, codebook_size: int, dim: int, generator: torch.Generator | None) -> Draw:
    """Which vectors of the batch are to become entries."""
    repeats = max(1, math.ceil(codebook_size / num_vectors))
    noise = torch.randn(repeats * num_vectors, dim, generator=generator) if repeats > 1 else None
    return Draw(torch.randperm(repeats * num_vectors, generator=generator), noise)


def candidates(x: Float[Tensor, "N D"], codebook_size: int, drawn: Draw) -> Float[Tensor, "V D"]:
    """The drawn vectors, of those of all processes, in whose order they are numbered."""
    rows = drawn.order[:codebook_size]
    numbers = (rows % (num_ranks() * len(x)) - rank() * len(x)).to(x.device)
    own = (numbers >= 0) & (numbers < len(x))
    picked = x.new_zeros(codebook_size, x.shape[1])
    picked[own] = x[numbers[own]]
    picked = sum_over_ranks(picked)
    if drawn.noise is None:
        return picked
    return picked + drawn.noise[rows].to(x.device) * (JITTER / math.sqrt(x.shape[1]))


class Assigned(NamedTuple):
    """Codes of a batch, the entries they stood for before the batch was learnt from, and what it changed."""

    codes: Int[Tensor, "N"]
    chosen: Float[Tensor, "N D"]
    metrics: CodebookMetrics


class CodebookLearner:
    """The averages from which a codebook is made; they are no part of the model.

    After each batch, with decay `m`: `uses_k = m uses_k + (1 - m) batch_uses_k`, `sums_k` alike with the vectors of
    code k, and entry k is `sums_k / uses_k` where `uses_k >= restart_threshold`, else a random vector of the batch. The
    averages of a replaced entry go on as they were, so that it is drawn anew at every batch until it is used enough.
    Processes that train together learn from the vectors of all.
    """

    def __init__(self, book: Codebook, config: LearningConfig) -> None:
        self.book, self.config = book, config
        self.uses: Float[Tensor, "V"] | None = None
        """Averaged uses per batch; None until there is something to go on from."""
        self.sums: Float[Tensor, "V D"] | None = None

    def go_on(self, uses_per_batch: float) -> None:
        """From entries that were learnt elsewhere, as if each had been used so often in every batch."""
        self.uses = torch.full_like(self.book.vectors[:, 0], uses_per_batch)
        self.sums = self.book.vectors * uses_per_batch

    @torch.no_grad()
    def learn(self, x: Float[Tensor, "N D"], generator: torch.Generator | None = None) -> Assigned:
        """Assign a batch of vectors and learn from it. The first batch of all also gives the first entries."""
        book, size = self.book, len(self.book.vectors)

        def fresh() -> Tensor:
            return candidates(x, size, draw(num_ranks() * len(x), size, x.shape[1], generator))

        if self.uses is None or self.sums is None:
            book.vectors.copy_(fresh())
            self.go_on(1.0)
        assert self.uses is not None and self.sums is not None
        codes, distances = book.nearest(x)
        chosen = F.embedding(codes, book.vectors)
        uses = sum_over_ranks(torch.bincount(codes, minlength=size).to(x.dtype))
        self.uses.lerp_(uses, 1 - self.config.decay)
        self.sums.lerp_(sum_over_ranks(torch.zeros_like(book.vectors).index_add_(0, codes, x)), 1 - self.config.decay)
        alive = self.uses >= self.config.restart_threshold
        kept = alive if self.config.restarts else self.uses > FORGOTTEN
        entries = self.sums / self.uses.clamp_min(FORGOTTEN)[:, None]
        if not bool(kept.all()):
            entries = torch.where(kept[:, None], entries, fresh() if self.config.restarts else book.vectors)
        metrics = CodebookMetrics(
            entropy=_entropy(uses),
            used=(uses >= self.config.restart_threshold).to(x.dtype).sum(),
            usage=alive.to(x.dtype).sum(),
            movement=(entries - book.vectors).square().mean().sqrt(),
            fit=distances.mean(),
            spread=(x - x.mean()).square().mean().sqrt(),
        )
        book.vectors.copy_(entries)
        return Assigned(codes, chosen, metrics)

    def state_dict(self) -> dict[str, Any]:
        """The averages; empty before the first batch."""
        return {} if self.uses is None or self.sums is None else {"uses": self.uses, "sums": self.sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises CheckpointError for averages of another codebook."""
        if not state:
            self.uses = self.sums = None
            return
        vectors = self.book.vectors
        if state["sums"].shape != vectors.shape:
            found, expected = list(state["sums"].shape), list(vectors.shape)
            raise CheckpointError(f"averages of a codebook of shape {found}, expected {expected}: use the same recipe")
        self.uses, self.sums = (state[name].to(vectors.device, copy=True) for name in ("uses", "sums"))


def _entropy(uses: Tensor) -> Tensor:
    shares = uses / uses.sum()
    return -(shares * torch.log(shares.clamp_min(1e-8))).sum()
