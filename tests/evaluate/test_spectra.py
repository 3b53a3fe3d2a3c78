"""Spectra against closed forms."""

import numpy as np

from cadenza.evaluate.spectra import mel_bank, mel_decibels, power_spectrum
from cadenza.testing import noise, tone


def test_full_scale_sine_has_a_quarter_of_power_at_its_frequency() -> None:
    samples = tone(2756.25, 1.0, sample_rate=22050, level=1.0).samples[0]  # bin 128 of 1024
    power = power_spectrum(samples, 1024, 256)
    assert power.shape == (513, 22050 // 256 + 1)
    assert int(power[:, 40].argmax()) == 128
    np.testing.assert_allclose(power[128, 10:-10], 0.25, rtol=1e-4)  # float32


def test_clips_shorter_than_the_window_have_a_spectrum() -> None:
    assert power_spectrum(np.ones(1, dtype=np.float32), 1024, 256).shape == (513, 1)


def test_mel_bands_overlap_to_a_constant() -> None:
    bank = mel_bank(22050, 8192, 40)
    frequencies = np.fft.rfftfreq(8192, 1 / 22050)
    inner = (frequencies > 300) & (frequencies < 9000)
    np.testing.assert_allclose(bank.sum(axis=0)[inner], 1.0, atol=1e-5)  # rising and falling edges add up


def test_level_drops_out() -> None:
    quiet = noise(1.0, sample_rate=22050, level=0.01).samples[0]
    first, second = (mel_decibels(quiet * gain, 22050, 1024, 256, 40) for gain in (1.0, 8.0))
    np.testing.assert_allclose(first, second, atol=1e-3)
    assert first.max() == 0.0
