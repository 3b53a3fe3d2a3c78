"""The balancer's gradients, worked out by hand."""

import pytest
import torch

from cadenza.train.balancer import Balancer


def test_gradients_have_the_asked_for_shares():
    # L_a = 3 sum(y), gradient 3 everywhere: norm per item 3 sqrt(4) = 6. L_b = sum(y^2) / 2 at y = 1: norm 2.
    output = torch.ones(2, 1, 4, requires_grad=True)
    losses = {"a": 3 * output.sum(), "b": output.square().sum() / 2}
    gradient, norms = Balancer({"a": 1.0, "b": 3.0}).gradient(losses, output)
    # 1/4 of (3 / 6) + 3/4 of (1 / 2) = 1/2 in every place
    torch.testing.assert_close(gradient, torch.full_like(output, 0.5))
    assert float(norms["a"]) == pytest.approx(6)
    assert float(norms["b"]) == pytest.approx(2)


def test_norms_are_averaged_with_bias_correction():
    balancer = Balancer({"a": 1.0}, decay=0.5)
    output = torch.ones(1, 1, 1, requires_grad=True)
    balancer.gradient({"a": 2 * output.sum()}, output)
    gradient, _ = balancer.gradient({"a": 8 * output.sum()}, output)
    # average of 2 and 8 with weights 0.5 and 1: (1 + 8) / 1.5 = 6; gradient 8 / 6
    assert float(gradient) == pytest.approx(8 / 6)


def test_norm_is_per_item_then_averaged():
    output = torch.ones(2, 1, 1, requires_grad=True)
    scale = torch.tensor([1.0, 3.0])[:, None, None]
    gradient, norms = Balancer({"a": 1.0}).gradient({"a": (scale * output).sum()}, output)
    assert float(norms["a"]) == pytest.approx(2)
    assert gradient.flatten().tolist() == pytest.approx([0.5, 1.5])


def test_absent_losses_leave_their_share_to_the_others():
    output = torch.ones(1, 1, 1, requires_grad=True)
    gradient, _ = Balancer({"a": 1.0, "b": 9.0}).gradient({"a": 5 * output.sum()}, output)
    assert float(gradient) == pytest.approx(1)


def test_without_balance_losses_are_weighted_and_summed():
    output = torch.ones(1, 1, 1, requires_grad=True)
    losses = {"a": 5 * output.sum(), "b": output.sum()}
    gradient, _ = Balancer({"a": 2.0, "b": 3.0}, balance=False).gradient(losses, output)
    assert float(gradient) == pytest.approx(13)


def test_state_survives_saving():
    first, second = Balancer({"a": 1.0}), Balancer({"a": 1.0})
    output = torch.ones(1, 1, 1, requires_grad=True)
    first.gradient({"a": 2 * output.sum()}, output)
    second.load_state_dict(first.state_dict())
    expected, _ = first.gradient({"a": 8 * output.sum()}, output)
    found, _ = second.gradient({"a": 8 * output.sum()}, output)
    assert torch.equal(expected, found)
