"""KL of label probabilities: by hand, by scipy, and pairs that do not fit."""

import numpy as np
import pytest
import scipy.stats
import torch

from cadenza.errors import UserError
from cadenza.evaluate.divergence import EPSILON, kl_divergence, kl_per_piece


def probabilities(count: int, labels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(labels), size=count)


def test_one_pair_by_hand() -> None:
    reference, generated = np.array([[0.75, 0.25]]), np.array([[0.5, 0.5]])
    forward = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)
    reverse = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    found = kl_divergence(reference, generated)
    assert found.forward == pytest.approx(forward, abs=3e-6)  # what 1e-6 in the logarithm takes away
    assert found.reverse == pytest.approx(reverse, abs=3e-6)
    assert found.both == found.forward + found.reverse


def test_scipy_and_torch_find_the_same() -> None:
    """MusicGen's setting is torch's `kl_div` of ln(q + 1e-6), summed over labels, mean over pieces."""
    p, q = probabilities(20, 50, 0), probabilities(20, 50, 1)
    found = kl_divergence(p, q)
    by_torch = torch.nn.functional.kl_div((torch.tensor(q) + EPSILON).log(), torch.tensor(p), reduction="sum") / 20
    assert found.forward == pytest.approx(by_torch.item(), rel=1e-9)
    # Without the 1e-6 it is the textbook's: 50 labels lose up to 1e-6 / q each, and the smallest q here is 1e-5.
    assert found.forward == pytest.approx(scipy.stats.entropy(p, q, axis=1).mean(), rel=1e-2)
    each = kl_per_piece(p, q)
    assert np.mean([one.reverse for one in each]) == pytest.approx(found.reverse, rel=1e-12)
    assert kl_divergence(q, p).forward == pytest.approx(found.reverse, rel=1e-12)


def test_equal_rows_are_below_zero_by_the_labels_count_and_zeros_cost_nothing_or_a_known_sum() -> None:
    p = probabilities(5, 100, 0)
    assert kl_divergence(p, p).forward == pytest.approx(-100 * EPSILON, rel=0.05)
    one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert kl_divergence(one, other).forward == pytest.approx(-np.log(EPSILON), rel=1e-9)
    single = kl_per_piece(one.astype(np.float32), one.astype(np.float32))[0]
    assert (single.forward, single.both) == pytest.approx((-EPSILON, -2 * EPSILON), rel=1e-5)


def test_what_does_not_pair_is_refused() -> None:
    p = probabilities(5, 10, 0)
    with pytest.raises(UserError, match=r"\[4, 10\] probabilities beside \[5, 10\]"):
        kl_divergence(p, p[:4])
    with pytest.raises(UserError, match=r"\[5, 9\] probabilities beside"):
        kl_divergence(p, p[:, :9])
    with pytest.raises(UserError, match="no pairs"):
        kl_divergence(p[:0], p[:0])
    for bad in (p * 20, p - 0.5, p * np.nan):
        with pytest.raises(UserError, match="not within 0 and 1"):
            kl_divergence(p, bad)
