"""Guidance: the formulas, and which passes are run."""

import pytest
import torch
from torch import Tensor

from cadenza.conditioning.fuser import FusedConditions
from cadenza.engine.cache import KVCache
from cadenza.lm.guidance import GuidedConditions, GuidedDecoder, mix
from cadenza.lm.model import LM, LMConfig

C, S, U = torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, 0.5]]), torch.tensor([[0.0, 2.0]])


def test_single_guidance() -> None:
    assert torch.equal(mix(C, U, None, 3.0), torch.tensor([[9.0, -7.0]]))
    assert torch.equal(mix(C, U, None, 1.0), C)
    assert torch.equal(mix(C, U, None, 0.0), U)
    assert torch.equal(mix(C, None, None, 3.0), C)


def test_double_guidance() -> None:
    # u + 3 (s + 5 (c - s) - u)
    assert torch.equal(mix(C, U, S, 3.0, 5.0), U + 3 * (S + 5 * (C - S) - U))
    assert torch.equal(mix(C, U, S, 3.0, 1.0), mix(C, U, None, 3.0))


def test_a_mixture_of_probabilities() -> None:
    """System 1 writes it as g P_u + (1 - g) P_c with g = 0.2."""
    mixed = mix(C, U, None, 0.8, domain="probabilities").softmax(-1)
    torch.testing.assert_close(mixed, 0.2 * U.softmax(-1) + 0.8 * C.softmax(-1))


def tiny() -> LM:
    lm = LM(LMConfig(codebook_size=32, dim=24, num_layers=2, num_heads=3, feed_forward_dim=48)).eval()
    lm.initialize(torch.Generator().manual_seed(0))
    return lm


class Counting:
    """A decoder that remembers the batch of each pass."""

    def __init__(self, lm: LM) -> None:
        self.lm, self.batches = lm, []

    def new_cache(self, batch: int, max_steps: int) -> KVCache:
        return self.lm.new_cache(batch, max_steps)

    def prefill(self, cache: KVCache, conditions: FusedConditions | None) -> None:
        self.lm.prefill(cache, conditions)

    def step(self, sequence: Tensor, cache: KVCache) -> Tensor:
        self.batches.append(sequence.shape[0])
        return self.lm.step(sequence, cache)


def three(prefix: bool = False) -> GuidedConditions:
    draw = torch.Generator().manual_seed(1)
    parts = {"prefix" if prefix else "cross": (6, 6, 1)}
    ((name, lengths),) = parts.items()
    full, partial = (torch.randn(2, length, 24, generator=draw) for length in lengths[:2])
    return GuidedConditions(
        FusedConditions(**{name: full}),
        FusedConditions(**{name: torch.zeros(2, 1, 24)}),
        FusedConditions(**{name: partial}),
    )


@pytest.mark.parametrize(
    ("scale", "beta", "two_step", "batches"),
    [
        (3.0, None, False, [4]),
        (3.0, None, True, [2, 2]),
        (3.0, 5.0, False, [6]),
        (3.0, 5.0, True, [2, 2, 2]),
        (1.0, None, False, [2]),
        (1.0, 5.0, False, [4]),
        (3.0, 1.0, False, [4]),
    ],
)
@torch.no_grad()
def test_no_pass_is_run_in_vain(scale: float, beta: float | None, two_step: bool, batches: list[int]) -> None:
    counting, sequence = Counting(tiny()), torch.randint(0, 33, (2, 4, 3))
    guided = GuidedDecoder(counting, three(), 2, 8, scale, beta, two_step=two_step)
    mixed = guided.step(sequence)
    assert counting.batches == batches
    c, u, s = (counting.lm(sequence, one)[:, :, -1] for one in three())
    # Batches of another size sum in another order; the mixture multiplies that by up to 15.
    torch.testing.assert_close(mixed, mix(c, u, s, scale, beta or 1.0), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_nothing_to_drop_is_no_guidance() -> None:
    counting = Counting(tiny())
    guided = GuidedDecoder(counting, GuidedConditions(three().conditional), 2, 8, 3.0)
    guided.step(torch.randint(0, 33, (2, 4, 1)))
    assert counting.batches == [2]


@torch.no_grad()
def test_two_steps_differ_only_where_padding_is_seen() -> None:
    """Zeros as a longer prefix are seen and counted; zeros as a cross-attention source without biases are not."""
    sequence = torch.randint(0, 33, (2, 4, 3))
    for prefix in (False, True):
        one, two = (
            GuidedDecoder(tiny(), three(prefix), 2, 8, 3.0, two_step=two_step).step(sequence)
            for two_step in (False, True)
        )
        assert torch.allclose(one, two, atol=1e-4) != prefix
