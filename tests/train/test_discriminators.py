"""The multi-scale spectrogram discriminator: size and shapes of the published one."""

import pytest
import torch

from cadenza.train.discriminators import (
    Discriminator,
    DiscriminatorConfig,
    SpectraDiscriminator,
    SpectraDiscriminatorConfig,
)


def test_full_size_has_the_published_number_of_parameters():
    assert sum(p.numel() for p in Discriminator(DiscriminatorConfig()).parameters()) == 472_330


def test_logits_of_one_second_have_the_published_shapes():
    judged = Discriminator(DiscriminatorConfig(filters=2))(torch.randn(1, 1, 32000))
    assert [tuple(x.shape[2:]) for x in judged.logits] == [(122, 65), (59, 129), (247, 33), (497, 17), (997, 9)]
    assert all(len(maps) == 5 for maps in judged.features)


def test_spectrogram_is_normalised_by_the_window_energy():
    """White noise of variance 1 then has expected power 1 in every bin, in real and imaginary part together."""
    part = Discriminator(DiscriminatorConfig(filters=1, windows=(64,))).parts[0]
    noise = torch.randn(4, 1, 16000, generator=torch.Generator().manual_seed(0))
    power = part.spectrogram(noise).square().sum(1)[..., 1:-1].mean()
    assert float(power) == pytest.approx(1.0, abs=0.02)  # 250,000 draws that overlap: about 0.5 %


def test_stereo_doubles_the_input_planes_only():
    mono, stereo = (Discriminator(DiscriminatorConfig(filters=2, windows=(64,), channels=c)) for c in (1, 2))
    assert stereo(torch.randn(1, 2, 512)).logits[0].shape == mono(torch.randn(1, 1, 512)).logits[0].shape


def test_spectra_are_judged_patch_by_patch_each_transform_by_its_own_network():
    judge = SpectraDiscriminator(SpectraDiscriminatorConfig(filters=(4, 4, 4, 4)), 2)
    short, long = torch.randn(2, 160, 80), torch.randn(2, 96, 20)
    judged = judge([short, long])
    assert [tuple(logits.shape) for logits in judged.logits] == [(2, 1, 10, 20), (2, 1, 6, 5)]
    assert [len(maps) for maps in judged.features] == [4, 4]
    moved = short.clone()
    moved[..., 60:] += 1.0
    changed = (judge([moved, long]).logits[0] - judged.logits[0]).abs().amax((0, 1, 2)) > 0
    assert not changed[:12].any()  # patches are small
    assert changed[15:].all()
