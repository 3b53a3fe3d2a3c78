"""Trained branches: begin as nothing, add what they say, and leave other rows alone."""

import torch

from cadenza.nn.linear import Linear
from cadenza.nn.lora import Branch


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_beginning() -> None:
    branch = Branch(64, 16, 4)
    branch.initialize(generator())
    assert not branch.up.any()
    assert 0.9 / 8 < float(branch.down.detach().abs().max()) <= 1 / 8  # uniform within 1 / sqrt(64)
    again = Branch(64, 16, 4)
    again.initialize(generator())
    assert torch.equal(branch.down, again.down)


def test_rows_with_and_without_a_branch() -> None:
    """q and v of a packed projection have one, k has none."""
    layer = Linear(8, 24)
    branches = [Branch(8, 8, 2, scale=0.5), Branch(8, 8, 3, scale=2.0)]
    for branch in branches:
        branch.initialize(generator())
        torch.nn.init.normal_(branch.up, generator=generator(1))
    x = torch.randn(2, 5, 8, generator=generator(2))
    plain = layer(x)
    layer.branches = [(slice(0, 8), branches[0]), (slice(16, 24), branches[1])]
    made = layer(x)
    assert torch.equal(made[..., 8:16], plain[..., 8:16])
    for (rows, branch), scale in zip(layer.branches, (0.5, 2.0), strict=True):
        expected = plain[..., rows] + scale * x @ branch.down.T @ branch.up.T
        torch.testing.assert_close(made[..., rows], expected, atol=1e-6, rtol=1e-5)


def test_dropout_is_for_training() -> None:
    branch = Branch(8, 8, 2, dropout=0.5)
    branch.initialize(generator())
    torch.nn.init.ones_(branch.up)
    x = torch.ones(4, 8)
    assert not torch.equal(branch.train()(x), branch(x))
    assert torch.equal(branch.eval()(x), branch(x))
