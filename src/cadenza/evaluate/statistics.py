"""Mean and covariance of windows that come a few at a time: what a Fréchet distance needs of a set of any size.

In: embeddings, [N, D] at a time. Out: count, mean and covariance, which can be merged, saved and shared without the
sound. In float64, by the update of Chan, Golub and LeVeque (1979): stable where a sum of squares is not, and the same
for every way of cutting a set, to rounding.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64

from cadenza.checkpoint import read_weights, write_weights
from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Identity

FORMAT = "cadenza statistics 1"
_BLOCK = 4096  # windows that are converted to float64 at once: memory is bounded by it, not by the set


class GaussianStatistics:
    """Count, mean and covariance of the windows so far.

    Two sets meet only if they are of one embedder: where both say which (`identity`), it has to be the same one; a set
    that does not say it is taken at its word, and what is merged with it does not say it either.

    Attributes:
        count: Windows so far.
        mean: [D], zeros before the first window.
        scatter: [D, D], the sum of (x - mean)(x - mean)'.
    """

    def __init__(self, dim: int, identity: Identity | None = None) -> None:
        assert dim >= 1, dim
        self.count = 0
        self.mean: Float64[np.ndarray, "D"] = np.zeros(dim)
        self.scatter: Float64[np.ndarray, "D D"] = np.zeros((dim, dim))
        self.identity = identity

    @classmethod
    def of(cls, windows: Float[np.ndarray, "N D"], identity: Identity | None = None) -> "GaussianStatistics":
        """The statistics of one array. Raises UserError for values that are not finite."""
        statistics = cls(windows.shape[1], identity)
        statistics.update(windows)
        return statistics

    @classmethod
    def of_pieces(
        cls, pieces: Sequence[Float[np.ndarray, "_ _"]], identity: Identity | None = None
    ) -> "GaussianStatistics":
        """The statistics of many short arrays, many at a time: one by one they take far longer.

        Raises UserError for values that are not finite, for pieces of different widths, and where there is none.
        """
        if not pieces:
            raise UserError("no pieces: every clip was left out, or none was given")
        statistics = cls(pieces[0].shape[1], identity)
        first, held = 0, 0
        for number, piece in enumerate(pieces):
            statistics._check_width(piece)
            held += len(piece)
            if held >= _BLOCK or number == len(pieces) - 1:
                statistics.update(np.concatenate(pieces[first : number + 1]))
                first, held = number + 1, 0
        return statistics

    @property
    def dim(self) -> int:
        return len(self.mean)

    @property
    def covariance(self) -> Float64[np.ndarray, "D D"]:
        """With N - 1 in the denominator; zeros for a single window, which says nothing of how windows vary."""
        return self.scatter / max(1, self.count - 1)

    def update(self, windows: Float[np.ndarray, "_ _"]) -> None:
        """Add windows. Raises UserError for values that are not finite or of another width."""
        self._check_width(windows)
        for start in range(0, len(windows), _BLOCK):
            block = windows[start : start + _BLOCK].astype(np.float64)
            if not np.isfinite(block).all():
                raise UserError("a window is not finite: leave its clip out, or measure it again")
            mean, total = block.mean(axis=0), self.count + len(block)
            block -= mean
            between = (mean - self.mean) * np.sqrt(self.count * len(block) / total)
            self.scatter += block.T @ block
            self.scatter += np.outer(between, between)
            self.mean += (mean - self.mean) * (len(block) / total)
            self.count = total

    @classmethod
    def total(cls, parts: Sequence["GaussianStatistics"]) -> "GaussianStatistics":
        """Several sets as one, a new one. Raises UserError where they are of different embedders."""
        assert parts, "no parts"
        first = next((part for part in parts if part.identity is not None), parts[0])
        for part in parts:
            first.match(part)
        known = all(part.identity is not None for part in parts)
        merged = cls(first.dim, first.identity if known else None)
        counts = np.array([part.count for part in parts])
        means = np.stack([part.mean for part in parts])
        merged.count = int(counts.sum())
        merged.mean = counts @ means / max(1, merged.count)
        away = (means - merged.mean) * np.sqrt(counts)[:, None]
        merged.scatter = away.T @ away
        for part in parts:
            merged.scatter += part.scatter
        return merged

    def merge(self, other: "GaussianStatistics") -> "GaussianStatistics":
        """Both sets as one, as `total` makes it."""
        return self.total([self, other])

    def without(self, other: "GaussianStatistics") -> "GaussianStatistics":
        """The inverse of `merge`: this set less some of its windows. Loses precision if little is left."""
        self.match(other)
        assert other.count < self.count, f"{other.count} of {self.count} windows taken out"
        rest = GaussianStatistics(self.dim, self.identity)
        rest.count = self.count - other.count
        rest.mean = (self.count * self.mean - other.count * other.mean) / rest.count
        away = other.mean - rest.mean
        rest.scatter = self.scatter - other.scatter - np.outer(away, away) * (rest.count * other.count / self.count)
        return rest

    def match(self, other: "GaussianStatistics") -> None:
        """Raise UserError, in one line, where two sets cannot be merged or compared."""
        one, two = self.identity, other.identity
        if one is not None and two is not None and one != two:
            raise UserError(f"{_difference(one, two)}: measure both sets with the same embedder")
        if self.dim != other.dim:
            raise UserError(f"windows of {other.dim} values beside {self.dim}: measure both sets with one embedder")

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all; the same set gives the same bytes."""
        identity = None if self.identity is None else self.identity.record()
        # As a tensor: the header's own facts stand in an order that differs from call to call.
        facts = json.dumps({"content": FORMAT, "count": self.count, "identity": identity}).encode()
        state = {"facts": np.frombuffer(facts, np.uint8).copy(), "mean": self.mean, "scatter": self.scatter}
        write_weights(path, {key: torch.from_numpy(value) for key, value in state.items()})

    @classmethod
    def load(cls, path: str | Path) -> "GaussianStatistics":
        """Read what `save` wrote. Raises UserError for any other file."""
        state = read_weights(path)
        try:
            facts = json.loads(state["facts"].numpy().tobytes())
            if facts["content"] != FORMAT:
                raise ValueError(facts["content"])
            identity = None if facts["identity"] is None else Identity.from_record(facts["identity"])
            mean, scatter = (state[name].numpy().astype(np.float64) for name in ("mean", "scatter"))
            if scatter.shape != (len(mean), len(mean)) or not np.isfinite(scatter).all() or not np.isfinite(mean).all():
                raise ValueError("no mean and covariance")
            statistics = cls(len(mean), identity)
            statistics.count, statistics.mean, statistics.scatter = int(facts["count"]), mean, scatter
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: no statistics of a set; make them with GaussianStatistics.save") from error
        return statistics

    def _check_width(self, windows: Float[np.ndarray, "_ _"]) -> None:
        if windows.shape[1] != self.dim:
            raise UserError(f"windows of {windows.shape[1]} values beside {self.dim}: use one embedder for all")


def _difference(one: Identity, other: Identity) -> str:
    """What differs first, in words."""
    if one.name != other.name:
        return f"embedder {other.name!r} beside {one.name!r}"
    if one.weights != other.weights:
        return f"{one.name} with weights {other.weights[:12]} beside {one.weights[:12]}"
    names = sorted(one.settings.keys() | other.settings.keys())
    name = next(name for name in names if one.settings.get(name) != other.settings.get(name))
    return f"{one.name} with {name} {other.settings.get(name)!r} beside {one.settings.get(name)!r}"
