"""What an autoregressive model must speak so that any engine can run it.

In: tokens of K parallel streams, and conditions in the model's own form, once. Out: logits. The state is the cache,
which the caller holds: the same model serves many runs at once, and a faster engine may bring its own cache.
"""

from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from cadenza.engine.cache import KVCache

ConditionsT = TypeVar("ConditionsT", contravariant=True)


@runtime_checkable
class Decoder(Protocol[ConditionsT]):
    """An autoregressive model over `[B, K]` tokens per step."""

    def new_cache(self, batch: int, max_steps: int) -> KVCache:
        """An empty cache for `batch` sequences of at most `max_steps` steps, the prefix included."""
        ...

    def prefill(self, cache: KVCache, conditions: ConditionsT | None) -> None:
        """Take in the conditions: prefix steps, cross-attention sources, whatever is added to every step."""
        ...

    def step(self, sequence: Int[Tensor, "B K s"], cache: KVCache) -> Float[Tensor, "B K s V"]:
        """Advance by `s` steps; the logits at each predict the step after it."""
        ...
