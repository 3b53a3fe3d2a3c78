"""The formulas of guidance."""

import torch

from cadenza.nn.guidance import mix, mix_probabilities

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


def test_an_item_without_guidance_in_a_guided_batch_is_itself() -> None:
    c, u = torch.randn(2, 4, 9), torch.randn(2, 4, 9)
    scale = torch.tensor([3.0, 1.0])[:, None, None]
    mixed = mix(c, torch.stack([u[0], c[1]]), None, scale)
    assert torch.equal(mixed[1], c[1])
    assert torch.equal(mixed[0], mix(c[0], u[0], None, 3.0))


def test_a_mixture_of_probabilities() -> None:
    """System 1 writes it as g P_u + (1 - g) P_c with g = 0.2."""
    mixed = mix_probabilities(C, U, 0.8).softmax(-1)
    torch.testing.assert_close(mixed, 0.2 * U.softmax(-1) + 0.8 * C.softmax(-1))
