"""Noise by name: the same at its place whoever asks, and Gaussian."""

import pytest
import torch

from cadenza.diffusion.noise import draws, gaussians
from cadenza.errors import UserError


def test_windows_agree_where_they_overlap():
    whole = gaussians([7], 0, 1000)
    for start, size in ((0, 10), (3, 500), (401, 599), (998, 2)):
        assert torch.equal(gaussians([7], start, size), whole[..., start : start + size])
    far = 2**34 + 5  # beyond 32-bit counters
    assert torch.equal(gaussians([7], far, 8)[..., 3:], gaussians([7], far + 3, 5))


def test_items_do_not_depend_on_their_batch():
    both = gaussians([1, 2**63], 0, 100, channels=2)
    assert torch.equal(both[1:], gaussians([2**63], 0, 100, channels=2))
    assert torch.equal(both[:, :1], gaussians([1, 2**63], 0, 100))


def test_bands_draw_together_what_they_draw_alone():
    both = gaussians([1, 6], 3, 50, channels=2, bands=[4, 0], draw=1)
    alone = [gaussians([1, 6], 3, 50, channels=2, bands=[band], draw=1) for band in (4, 0)]
    assert torch.equal(both, torch.cat(alone, dim=1))


def test_every_name_counts():
    one = gaussians([1], 0, 1000)
    others = [gaussians([2], 0, 1000), gaussians([1], 0, 1000, bands=[1]), gaussians([1], 0, 1000, draw=1)]
    others += [gaussians([1], 0, 1000, channels=2)[:, 1:], gaussians([1], 1000, 1000)]
    for other in others:
        correlation = (one * other).mean()
        assert abs(correlation) < 0.13  # four standard errors


def test_it_is_gaussian():
    x = gaussians([3], 0, 200_000)[0, 0].double()
    assert abs(x.mean()) < 0.01
    assert x.var().item() == pytest.approx(1, abs=0.015)
    assert (x**4).mean().item() == pytest.approx(3, abs=0.08)
    assert (x.abs() > 3).double().mean().item() == pytest.approx(0.0027, abs=0.0005)
    assert abs((x[1:] * x[:-1]).mean()) < 0.01
    assert x.isfinite().all()


def test_draws_come_in_order():
    noise = draws([5], 40, 16, 1, [2], "cpu")
    for draw in range(3):
        assert torch.equal(next(noise), gaussians([5], 40, 16, bands=[2], draw=draw))


def test_seeds_out_of_range():
    with pytest.raises(UserError, match="seed -1"):
        gaussians([-1], 0, 4)
