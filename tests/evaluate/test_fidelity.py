"""Fidelity: values of published implementations, and changes whose effect is known."""

import math

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.fidelity import (
    DEFINITIONS,
    MEL_SCALES,
    Fidelity,
    align,
    contour_correlation,
    dropouts,
    find_delay,
    measure_fidelity,
    mel_distance,
    si_sdr,
    slaney_filters,
    stft_distance,
)
from cadenza.testing import noise
from data.recordings import tune

TIME = torch.arange(16000, dtype=torch.float64) / 32000
TARGET = 0.3 * torch.sin(2 * math.pi * 440 * TIME) + 0.1 * torch.sin(2 * math.pi * (1000 * TIME + 3000 * TIME**2))
AUDIO = 0.9 * TARGET + 0.05 * torch.sin(2 * math.pi * 2345 * TIME)


def test_values_of_published_implementations():
    """torchmetrics 1.9.0 (`scale_invariant_signal_distortion_ratio`, zero_mean) and auraloss 0.4.0
    (`MultiResolutionSTFTLoss`, w_lin_mag 0) on the same signals in float64."""
    assert float(si_sdr(AUDIO, TARGET)) == pytest.approx(15.096897381045157, abs=1e-6)
    assert stft_distance(AUDIO[None], TARGET[None]) == pytest.approx(0.42311262244859243, abs=1e-6)


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_mel_filters_are_slaneys(sample_rate: int):
    for size, bands in MEL_SCALES:
        theirs = mel_filter_bank(
            size // 2 + 1, bands, 0.0, sample_rate / 2, sample_rate, norm="slaney", mel_scale="slaney"
        )
        # float32 against float64
        np.testing.assert_allclose(slaney_filters(sample_rate, size, bands).numpy(), theirs.T, atol=1e-8)


def test_mel_distance_is_that_of_dac_written_out_in_numpy():
    """As `MelSpectrogramLoss` of descript-audio-codec computes with the scales that its authors trained with (pow 1,
    mag_weight 0), on another library's filters."""
    expected = 0.0
    for size, bands in MEL_SCALES:
        filters = mel_filter_bank(size // 2 + 1, bands, 0.0, 16000.0, 32000, norm="slaney", mel_scale="slaney")
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        logs = []
        for wave in (AUDIO.numpy(), TARGET.numpy()):
            frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, size // 2, mode="reflect"), size)
            magnitude = np.abs(np.fft.rfft(frames[:: size // 4] * window))
            logs.append(np.log10(np.maximum(magnitude @ filters, 1e-5)))
        expected += np.abs(logs[0] - logs[1]).mean()
    found = mel_distance(AUDIO[None].float(), TARGET[None].float(), 32000)
    assert found == pytest.approx(expected, rel=1e-4)  # float32: what is near the floor is a difference of large sums


def test_mel_distance_of_half_the_level_is_known():
    """Where no band is at the floor, every log10 magnitude is lower by log10 2, at each of the seven scales."""
    audio = torch.from_numpy(noise(0.5).samples)
    assert mel_distance(0.5 * audio, audio, 32000) == pytest.approx(len(MEL_SCALES) * math.log10(2), rel=0.02)
    assert mel_distance(audio, audio, 32000) == 0.0


def test_si_sdr_ignores_scale_and_mean_and_measures_noise():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(2, 100_000, generator=generator)
    other = torch.randn(2, 100_000, generator=generator)
    assert float(si_sdr(3 * target + 1, target).min()) > 80
    # noise of a tenth of the amplitude: 20 dB, to the chance correlation of 100,000 samples
    assert si_sdr(target + 0.1 * other, target).tolist() == pytest.approx([20, 20], abs=0.1)


def test_each_figure_hears_its_own_fault():
    music = tune(3, rate=32000)
    same = measure_fidelity(music, music)
    # Equal energies over an epsilon of 1e-8: a ratio of more than 90 dB.
    assert same.si_sdr_db > 90
    assert (same.mel_distance, same.stft_distance, same.loudness_error_lu, same.dropout_share) == (0, 0, 0, 0)
    softer = measure_fidelity(Audio(music.samples / 2, 32000), music)
    assert softer.loudness_error_lu == pytest.approx(6.02, abs=0.01)
    assert softer.si_sdr_db > 80
    assert softer.dropout_share == 0
    gap = music.samples.copy()
    gap[:, 32000:35200] = 0
    holed = measure_fidelity(Audio(gap, 32000), music)
    assert holed.longest_dropout_seconds == pytest.approx(0.1)
    assert holed.dropout_share == pytest.approx(5 / 150, rel=0.3)  # some of 150 frames are too soft to be heard
    assert set(DEFINITIONS) == set(Fidelity.__dataclass_fields__)


def test_silence_instead_of_music_is_one_long_dropout():
    music = tune(3)
    lost, audible = dropouts(np.zeros_like(music.samples), music.samples, music.sample_rate)
    assert (lost == audible).all()
    assert audible.any()
    assert measure_fidelity(Audio(np.zeros_like(music.samples), 16000), music).loudness_error_lu > 40


@pytest.mark.parametrize("delay", [0, 1, 37, -37, 1600])
def test_a_delay_is_found_and_taken_out(delay: int):
    music = tune(5)
    shifted = np.roll(music.samples, delay, axis=1)
    made, wanted, found = align(Audio(shifted, 16000), music, 0.1)
    assert found == delay
    assert measure_fidelity(made, wanted).si_sdr_db > 80


def test_what_does_not_correlate_has_no_delay():
    other = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    assert find_delay(other, tune(5).samples[0], 1600) == 0
    assert find_delay(other, other, 0) == 0


def test_contours_tell_another_piece():
    assert contour_correlation(tune(1), tune(1)) == pytest.approx(1.0, abs=1e-4)
    # Notes in another rhythm: those of `tune` all begin together.
    slower = Audio(np.repeat(tune(2).samples, 2, axis=1)[:, :48000], 16000)
    assert contour_correlation(slower, tune(1)) < 0.2


def test_pairs_must_have_one_form():
    with pytest.raises(UserError, match="resample one of them"):
        align(tune(1, rate=16000), tune(1, rate=32000), 0.1)
