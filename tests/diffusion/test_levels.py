"""Levels and image of what a diffusion made: those of the reference."""

import pytest
import torch

from cadenza.diffusion.bands import BandSplitter
from cadenza.diffusion.levels import match_levels

SPLITTER = BandSplitter(32000, 8)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_covariances_are_those_of_the_bands():
    audio = noise(2, 2, 9000) + 0.5
    audio[:, 1] += audio[:, 0]
    bands = SPLITTER(audio).double()
    bands = bands - bands.mean(-1, keepdim=True)
    expected = torch.einsum("nbct,nbdt->nbcd", bands, bands) / 9000
    torch.testing.assert_close(SPLITTER.covariances(audio), expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("pan", "is_correlated"), [((1.0, 0.2), False), ((0.1, 0.9), False), ((0.8, 0.5), True), ((1.0, 0.0), True)]
)
def test_a_stereo_image_is_taken_over(pan, is_correlated):
    """Whatever the image of what was made: balance, and correlation, band by band. A little remains of neighbouring
    bands, which overlap."""
    one, other = noise(1, 1, 32000, seed=1), noise(1, 1, 32000, seed=2)
    wanted = torch.cat([pan[0] * one, pan[1] * (one if is_correlated else other)], 1)
    made = noise(1, 2, 32000, seed=3)
    ours, theirs = SPLITTER.covariances(match_levels(made, wanted, SPLITTER)), SPLITTER.covariances(wanted)
    scale = theirs.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    torch.testing.assert_close(ours / scale, theirs / scale, atol=0.12, rtol=0)


def test_what_agrees_stays():
    audio = noise(1, 2, 16000)
    torch.testing.assert_close(match_levels(audio, audio, SPLITTER), audio, atol=1e-3, rtol=0)


def test_mono_in_two_channels():
    """No side is made out of nothing, and none is left where the reference has none."""
    mono, wide = noise(1, 1, 8000).expand(1, 2, -1), noise(1, 2, 8000, seed=1)
    made = match_levels(mono, wide, SPLITTER)
    assert made.isfinite().all()
    assert made.abs().max() < 10
    narrowed = match_levels(wide, mono, SPLITTER)
    assert (narrowed[:, 0] - narrowed[:, 1]).std() < 0.01
    assert not match_levels(torch.zeros(1, 2, 4000), wide[..., :4000], SPLITTER).any()
