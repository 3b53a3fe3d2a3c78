"""The inverse transform inverts, streams exactly, and the mel filters cover the band."""

import pytest
import torch

from cadenza.nn.spectral import InverseState, InverseSTFT, LogBands, mel_filters


def analyse(audio, n_fft, hop):
    pad = (n_fft - hop) // 2
    padded = torch.nn.functional.pad(audio, (pad, pad))
    return torch.stft(padded, n_fft, hop, window=torch.hann_window(n_fft), center=False, return_complex=True)


def test_inverse_of_the_transform_is_the_audio():
    torch.manual_seed(0)
    audio = torch.randn(2, 160 * 20)
    rebuilt = InverseSTFT(640, 160)(analyse(audio, 640, 160))
    assert rebuilt.shape == audio.shape
    torch.testing.assert_close(rebuilt, audio, atol=1e-4, rtol=0)  # the window nearly vanishes at the very edge


@pytest.mark.parametrize("size", [1, 3, 20])
def test_streamed_inverse_equals_one_shot(size):
    torch.manual_seed(0)
    inverse = InverseSTFT(640, 160)
    spectrum = analyse(torch.randn(1, 160 * 20), 640, 160)
    state = InverseState()
    pieces = [
        inverse.stream(spectrum[..., start : start + size], state, start + size >= 20) for start in range(0, 20, size)
    ]
    torch.testing.assert_close(torch.cat(pieces, 1), inverse(spectrum), atol=1e-6, rtol=0)


def test_every_bin_between_the_edges_is_heard():
    filters = mel_filters(32, 2048, 32000, 20.0, 16000.0)
    assert filters.shape == (32, 1025)
    assert bool((filters[:, 10:1000].sum(0) > 0).all())
    assert filters.max() <= 1


def test_a_louder_tone_raises_its_own_band_only():
    mel = LogBands(32000, 1280, 320, 64)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(6400) / 32000)[None]
    quiet, loud = mel(0.01 * tone), mel(0.1 * tone)
    band = loud[0, :, 10].argmax()
    assert loud[0, band, 10] - quiet[0, band, 10] == pytest.approx(2.3026, abs=0.05)  # ln 10
    assert loud[0, 60, 10] == pytest.approx(float(quiet[0, 60, 10]), abs=0.5)
