"""What an autoregressive model must speak so that the engine can run it, and what it may ask of a cache.

In: tokens of K parallel streams, and conditions in the model's own form, once. Out: logits. The state is the cache,
which the caller holds: the same model serves many runs at once.
"""

from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from cadenza.engine.cache import KVCache
from cadenza.nn.attention import Memory
from cadenza.nn.beside import Beside

ConditionsT = TypeVar("ConditionsT", contravariant=True)


@runtime_checkable
class StepCache(Protocol):
    """The state of B rows, wherever each of them is: one `KVCache`, several side by side, or a grid of slots."""

    @property
    def beside(self) -> Beside | None:
        """What adapters add to the decoder's linear layers, row by row."""

    def bias(self, steps: int) -> Float[Tensor, "b s D"]:
        """What is added to the embedded input of the next steps of each row."""

    def layer(self, index: int) -> Memory:
        """One layer's memory."""

    def advance(self, steps: int) -> None:
        """All layers hold the next steps."""


@runtime_checkable
class Decoder(Protocol[ConditionsT]):
    """An autoregressive model over `[B, K]` tokens per step."""

    def new_cache(self, batch: int, max_steps: int) -> KVCache:
        """An empty cache for `batch` sequences of at most `max_steps` steps, the prefix included."""
        ...

    def prefill(self, cache: KVCache, conditions: ConditionsT | None) -> None:
        """Take in the conditions: prefix steps, cross-attention sources, whatever is added to every step."""
        ...

    def feed(self, sequence: Int[Tensor, "B K s"], cache: StepCache) -> None:
        """Advance by `s` steps whose successors are known: no logits."""
        ...

    def step(self, sequence: Int[Tensor, "B K s"], cache: StepCache) -> Float[Tensor, "B K s V"]:
        """Advance by `s` steps; the logits at each predict the step after it."""
        ...
