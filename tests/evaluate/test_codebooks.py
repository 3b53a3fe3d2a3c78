"""Codebooks: entropies that are known in closed form."""

import numpy as np
import pytest

from cadenza.errors import UserError
from cadenza.evaluate.codebooks import CodebookCounts


def test_entropy_of_one_code_of_half_and_of_all():
    counts = CodebookCounts(3, 4)
    codes = np.stack([np.zeros(4000, int), np.arange(4000) % 2, np.arange(4000) % 4])
    counts.add(codes[:, :1000])
    counts.add(codes[:, 1000:])
    one, two, all_of_them = counts.uses()
    assert (one.usage, one.entropy_bits, one.perplexity) == (0.25, 0.0, 1.0)
    # Miller's correction: one entry more than one, over twice 4000 codes.
    assert two.entropy_bits == pytest.approx(1.0 + 1 / 8000 / np.log(2))
    assert (all_of_them.usage, all_of_them.entropy_bits, all_of_them.perplexity) == (1.0, 2.0, 4.0)
    assert counts.nominal_kbps(50.0) == pytest.approx(0.3)
    assert counts.entropy_kbps(50.0) == pytest.approx(0.15, abs=1e-4)
    assert counts.codes_per_entry == 1000


def test_the_correction_takes_most_of_the_bias_away():
    """1000 draws of 256 equally likely entries: the plain entropy misses 0.18 of 8 bits."""
    found = []
    for seed in range(20):
        counts = CodebookCounts(1, 256)
        counts.add(np.random.default_rng(seed).integers(256, size=(1, 1000)))
        found.append(counts.uses()[0].entropy_bits)
    assert np.mean(found) == pytest.approx(8.0, abs=0.03)


def test_codes_of_another_codec():
    counts = CodebookCounts(2, 4)
    with pytest.raises(UserError, match="no codes"):
        counts.uses()
    with pytest.raises(UserError, match="another codec"):
        counts.add(np.zeros((3, 5), int))
    with pytest.raises(UserError, match="4 entries"):
        counts.add(np.full((2, 5), 4))
