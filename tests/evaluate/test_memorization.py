"""Memorisation, counted by hand."""

import pytest
import torch

from cadenza.evaluate.memorization import StretchIndex, chance, draw_excerpts, is_stuck, memorization

ORIGINAL = torch.arange(10).repeat(3, 2, 1)  # three continuations, two codebooks, ten frames


def test_shares_of_exact_and_partial_matches_per_codebook():
    made = ORIGINAL.clone()
    made[1, 0, :2] += 1  # the second: 8 of 10 in the first codebook, a partial match
    made[2, 0, :3] += 1  # the third: 7 of 10, none
    made[:, 1] += 1  # nothing of the second codebook
    found = memorization(made, ORIGINAL)
    assert found.exact == (pytest.approx(1 / 3), 0.0)
    assert found.partial == (pytest.approx(2 / 3), 0.0)
    assert found.agreement == (pytest.approx((10 + 8 + 7) / 30), 0.0)
    assert found.count == 3
    assert found.line() == "exact 33%, partial 67% of 3 continuations (first codebook)"


def test_a_share_that_is_no_whole_number_of_codes_is_rounded_up():
    made = ORIGINAL[:1, :, :7].clone()
    made[:, :, 0] = 99  # 6 of 7 are 86 %, 5 of 7 are 71 %
    assert memorization(made, ORIGINAL[:1, :, :7]).partial == (1.0, 1.0)
    made[:, :, 1] = 99
    assert memorization(made, ORIGINAL[:1, :, :7]).partial == (0.0, 0.0)


def test_excerpts_come_from_all_tracks_that_are_long_enough_and_never_twice():
    tracks = [torch.arange(length).repeat(2, 1) + 100 * i for i, length in enumerate((30, 5, 21))]
    excerpts = draw_excerpts(tracks, 6, 20, torch.Generator().manual_seed(0))
    assert [excerpt.track for excerpt in excerpts] == [0, 2, 0, 2, 0, 0]  # the third track has two places only
    for excerpt in excerpts:
        start = 100 * excerpt.track + excerpt.first
        assert excerpt.codes.tolist() == [list(range(start, start + 20))] * 2
    assert len({(excerpt.track, excerpt.first) for excerpt in excerpts}) == len(excerpts)
    again = draw_excerpts(tracks, 6, 20, torch.Generator().manual_seed(0))
    assert [excerpt.first for excerpt in again] == [excerpt.first for excerpt in excerpts]
    assert draw_excerpts(tracks, 6, 31, torch.Generator()) == []


def test_chance_is_what_other_tracks_agree():
    original = torch.stack([torch.full((1, 4), code) for code in (1, 1, 2, 2)])
    found = chance(original, original, [0, 1, 2, 3])
    assert found is not None
    assert found.exact == (pytest.approx(1 / 3),)  # of three others one is equal
    assert found.count == 4
    # The two of a track do not count as others.
    apart = chance(original, original, [0, 0, 1, 1])
    assert apart is not None
    assert apart.exact == (0.0,)
    assert chance(original, original, [0, 0, 0, 0]) is None


def test_the_most_alike_stretch_is_that_of_trying_every_place():
    generator = torch.Generator().manual_seed(3)
    tracks = [torch.randint(6, (2, length), generator=generator) for length in (30, 4, 17)]
    index = StretchIndex(tracks)
    for _ in range(10):
        stretch = torch.randint(8, (9,), generator=generator)  # with codes that no track has
        tried = {
            (number, first): float((codes[0, first : first + 9] == stretch).double().mean())
            for number, codes in enumerate(tracks)
            for first in range(codes.shape[1] - 8)
        }
        found = index.nearest(stretch)
        assert found is not None
        assert found.share == pytest.approx(max(tried.values()))
        assert tried[found.track, found.first] == pytest.approx(found.share)
    assert index.nearest(torch.zeros(31, dtype=torch.int64)) is None


def test_stuck_is_half_or_more_of_one_code():
    assert is_stuck(torch.tensor([5, 5, 1, 2]))
    assert not is_stuck(torch.tensor([5, 5, 1, 2, 3]))
