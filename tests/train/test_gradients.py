"""Norms, clipping, and the buckets that gradients travel in; what arrives is tested in test_distributed.py."""

import pytest
import torch
from torch import nn

from cadenza.train.gradients import _buckets, clip, gradient_norm


def parameters(*gradients: list[float] | None) -> list[nn.Parameter]:
    made = [nn.Parameter(torch.zeros(2)) for _ in gradients]
    for parameter, gradient in zip(made, gradients, strict=True):
        parameter.grad = None if gradient is None else torch.tensor(gradient)
    return made


def test_the_norm_is_that_of_one_long_vector():
    assert float(gradient_norm(parameters([3.0, 0.0], None, [0.0, 4.0]))) == 5


@pytest.mark.parametrize(("limit", "expected"), [(2.5, 2.5), (10.0, 5.0)])
def test_gradients_are_scaled_down_and_never_up(limit: float, expected: float):
    clipped = parameters([3.0, 0.0], None, [0.0, 4.0])
    clip(clipped, limit, gradient_norm(clipped))
    assert float(gradient_norm(clipped)) == pytest.approx(expected, rel=1e-5)


def test_buckets_are_filled_in_order_and_hold_one_kind():
    sizes = [(3, torch.float32), (3, torch.float32), (3, torch.float32), (100, torch.float32), (3, torch.bfloat16)]
    made = [nn.Parameter(torch.zeros(size, dtype=kind)) for size, kind in sizes]
    found = [[parameter.numel() for parameter in bucket] for bucket in _buckets(made, limit=24)]
    assert found == [[3, 3], [3], [100], [3]]
