"""Losses: zero where they must be, and values worked out by hand."""

import math

import pytest
import torch

from cadenza.train.losses import MelLoss, MelLossConfig, discriminator_hinge, feature_matching, generator_hinge


def test_mel_loss_of_equal_audio_is_zero_and_grows_with_distance():
    loss = MelLoss(MelLossConfig(), 32000)
    audio = torch.randn(2, 1, 6400, generator=torch.Generator().manual_seed(0)) * 0.1
    other = torch.randn(2, 1, 6400, generator=torch.Generator().manual_seed(1)) * 0.1
    values = [float(loss(audio, audio + gain * other)) for gain in (0.0, 0.1, 1.0)]
    assert values[0] == 0
    assert values[0] < values[1] < values[2]


def test_mel_loss_against_silence_is_known():
    """Silence has mel power 0, so the L1 term is the mean power and the log term mean log10((floor + P) / floor)^2."""
    loss = MelLoss(MelLossConfig(windows=(128,)), 32000)
    audio = torch.randn(1, 1, 3200, generator=torch.Generator().manual_seed(0)) * 0.1
    power = loss.mel(audio[:, 0], 128)
    expected = (power.mean() + torch.log10((1e-5 + power) / 1e-5).square().mean()) / 2
    torch.testing.assert_close(loss(audio, torch.zeros_like(audio)), expected)


@pytest.mark.parametrize("length", [640, 641, 703])
def test_mel_frames_cover_every_sample(length: int):
    """Hop 32 at window 128: one frame per hop, the last one filled with zeros."""
    loss = MelLoss(MelLossConfig(windows=(128,)), 32000)
    assert loss.mel(torch.zeros(1, length), 128).shape == (1, math.ceil(length / 32), 64)


def test_mel_power_of_noise_is_the_area_of_its_filter():
    """Normalised by the window's energy, white noise of variance 1 has power 1 per bin."""
    loss = MelLoss(MelLossConfig(windows=(512,)), 32000)
    noise = torch.randn(1, 320000, generator=torch.Generator().manual_seed(0))
    found = loss.mel(noise, 512).mean((0, 1))
    # 2,500 frames that overlap by three quarters: a few per cent in the narrow bands, 20 % is far beyond chance
    torch.testing.assert_close(found, loss.get_buffer("filters_512").sum(0), rtol=0.2, atol=0)


def test_hinges():
    real, fake = [torch.tensor([2.0, 0.5]), torch.tensor([-1.0])], [torch.tensor([-2.0, 0.0]), torch.tensor([1.0])]
    # first: mean(0, 0.5) + mean(0, 1) = 0.75; second: 2 + 2 = 4
    assert float(discriminator_hinge(real, fake)) == pytest.approx((0.75 + 4) / 2)
    assert float(generator_hinge(fake)) == pytest.approx((1.0 - 1.0) / 2)


def test_feature_matching_averages_maps_then_discriminators():
    real = [[torch.zeros(4), torch.zeros(2)], [torch.zeros(1)]]
    fake = [[torch.ones(4), 3 * torch.ones(2)], [torch.full((1,), 6.0)]]
    assert float(feature_matching(real, fake)) == pytest.approx(((1 + 3) / 2 + 6) / 2)
