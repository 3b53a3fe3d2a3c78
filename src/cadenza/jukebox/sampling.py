"""From a prior to codes: one window, and all windows of a level.

In: a prior, what its windows hear, and codes to go on from. Out: codes. Dhariwal et al. (2020), arXiv 2005.00341,
section 4.4. Which code is chosen depends on (seed, level, place in the piece) alone: a level that was stopped after any
window goes on with the same codes, whatever else is sampled beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cadenza.errors import UserError
from cadenza.jukebox.prior import Prior, PriorConditions
from cadenza.jukebox.windows import plan_windows
from cadenza.nn.sampling import Choice, sample, uniforms

BLOCK = 256
"""Random numbers are drawn for so many places at a time."""

KEEP_EVERY = 2048
"""Codes after which a long window is handed over and read anew: what a stop can lose. Reading is cheap beside writing,
and a run that goes on there computes what one does that was never stopped."""


Choose = Callable[[Tensor, int], Tensor]
"""Tokens `[B]` from logits `[B, V]`, for a place in the piece, counted in codes."""
Measure = Callable[[int], AbstractContextManager[Any]]
"""Put around each step, given how many items it moves (see `cadenza.engine.threads`)."""


class Draws:
    """Chooses at random, by seeds; `temperature` 0 takes the most likely."""

    def __init__(
        self,
        seeds: Sequence[int],
        level: int,
        vocabulary_size: int,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        """One seed per item; `top_k` and `top_p` 0 are off."""
        self.seeds, self.level, self.device = list(seeds), level, device
        self.choice = Choice.of([(temperature, top_k, top_p, False)] * len(self.seeds), vocabulary_size, device)
        self._block: Tensor | None = None
        self._first = 0

    def __call__(self, logits: Float[Tensor, "B V"], place: int) -> Int[Tensor, "B"]:
        first = place - place % BLOCK
        if self._block is None or first != self._first:
            # Levels differ as codebooks do elsewhere: the same seed means other numbers at each.
            drawn = uniforms(self.seeds, first, BLOCK, self.level + 1, self.device)
            self._block, self._first = drawn[:, self.level], first
        return sample(logits, self._block[:, place - first], self.choice)


@torch.no_grad()
def sample_window(
    prior: Prior,
    conditions: PriorConditions,
    given: Int[Tensor, "B c"],
    num_new: int,
    choose: Choose,
    place: int = 0,
    codes_only: bool = True,
    on_code: Callable[[int], None] | None = None,
    measure: Measure = nullcontext,
) -> Int[Tensor, "B n"]:
    """`num_new` codes that follow `given` in one window.

    Args:
        conditions: what the window hears (`Prior.conditions`), for each item.
        given: codes at the window's beginning, perhaps none.
        place: of the window's first code in the piece, for `choose`.
        codes_only: never choose a character of lyrics. The original lets a model that has them in its sequence do so,
            goes on from there and then replaces it by code 0.
        on_code: told after each code how many there are; what it raises stops the sampling.
        measure: put around each step.
    """
    batch, num_given = given.shape
    total = num_given + num_new
    if not 0 < total <= prior.config.context_length:
        raise UserError(f"a window of {total} codes: this prior's context is {prior.config.context_length}")
    if conditions.added is not None and total > conditions.added.shape[1]:
        raise UserError(
            f"{total} codes need conditions for each, there are {conditions.added.shape[1]}: give more codes of the "
            "level above"
        )
    symbols = prior.num_symbols
    cache = prior.new_cache(batch, prior.config.lyrics_in_sequence + total)
    prior.prefill(cache, conditions)
    tokens = torch.full((batch, total + 1), prior.special_token, device=prior.device)
    tokens[:, 1 : num_given + 1] = given.to(prior.device) + symbols
    if num_given:
        prior.feed(tokens[:, None, :num_given], cache)
    for number in range(num_given, total):
        with measure(batch):
            logits = prior.step(tokens[:, None, number : number + 1], cache)[:, 0, 0]
            if symbols and codes_only:
                logits[:, :symbols] = float("-inf")
            tokens[:, number + 1] = choose(logits, place + number)
        if on_code is not None:
            on_code(number + 1 - num_given)
    return (tokens[:, num_given + 1 :] - symbols).clamp(min=0)


def sample_level(
    prior: Prior,
    conditions_at: Callable[[int], PriorConditions],
    given: Int[Tensor, "B c"],
    total: int,
    hop: int,
    choose: Choose,
    codes_only: bool = True,
    on_code: Callable[[int], None] | None = None,
    measure: Measure = nullcontext,
) -> Iterator[Int[Tensor, "B n"]]:
    """All codes that there are, after each window (and within long ones), until there are `total`.

    Args:
        conditions_at: what the window hears that begins at this code.
        given: codes that are there before, perhaps none; what an earlier call yielded goes on exactly there.
        hop: codes between the beginnings of windows (see `plan_windows`).
        on_code: told after each code how many of `total` there are.
        measure: put around each step.
    """
    stride = prior.config.conditioner.stride if prior.config.conditioner is not None else 1
    codes = given.to(prior.device)
    for window in plan_windows(total, prior.config.context_length, hop, given.shape[1], stride):
        conditions = conditions_at(window.start)
        while codes.shape[1] < window.end:
            begin = codes.shape[1]
            count = min(window.end, begin - begin % KEEP_EVERY + KEEP_EVERY) - begin
            told = None if on_code is None else lambda number, begin=begin: on_code(begin + number)
            seen = codes[:, window.start :]
            new = sample_window(prior, conditions, seen, count, choose, window.start, codes_only, told, measure)
            codes = torch.cat([codes, new], dim=1)
            yield codes
