"""Phases from magnitudes: tones come back as tones, refinement helps, and streaming equals one-shot."""

import math

import pytest
import torch

from cadenza.nn.phase import Band, BandState, first_guess
from cadenza.nn.spectral import InverseSTFT

RATE, N_FFT, HOP = 8000, 480, 80


def tones(*frequencies):
    time = torch.arange(RATE) / RATE
    return sum(0.2 * torch.sin(2 * math.pi * f * time + f) for f in frequencies)[None]


def rebuild(audio, iterations):
    inverse = InverseSTFT(N_FFT, HOP)
    magnitude = inverse.analyse(audio).abs()
    return Band(N_FFT, HOP, iterations).stream(magnitude, BandState(), last=True), magnitude, inverse


def distance(audio, magnitude, inverse):
    return float((inverse.analyse(audio).abs() - magnitude).norm() / magnitude.norm())


def test_a_steady_tone_needs_no_refinement():
    audio, magnitude, inverse = rebuild(tones(441.0), 0)
    assert distance(audio, magnitude, inverse) < 0.05
    spectrum = torch.fft.rfft(audio[0])
    assert abs(int(spectrum.abs().argmax()) - 441) <= 1


def test_refinement_brings_a_chord_closer():
    before, magnitude, inverse = rebuild(tones(220.0, 277.2, 329.6), 0)
    after, _, _ = rebuild(tones(220.0, 277.2, 329.6), 8)
    assert distance(after, magnitude, inverse) < distance(before, magnitude, inverse)


def test_magnitudes_are_kept():
    torch.manual_seed(0)
    magnitude = torch.rand(2, 41, 5)
    spectrum, _ = first_guess(magnitude, 80, 20)
    torch.testing.assert_close(spectrum.abs(), magnitude, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bins", [N_FFT // 2 + 1, 30])
@pytest.mark.parametrize("sizes", [(1,), (3, 17, 2)])
def test_streamed_sound_equals_one_shot(sizes, bins):
    torch.manual_seed(0)
    inverse = InverseSTFT(N_FFT, HOP)
    magnitude = inverse.analyse(0.1 * torch.randn(2, HOP * 60)).abs()
    band = Band(N_FFT, HOP, 2)
    magnitude = magnitude[:, :bins]
    whole = band.stream(magnitude, BandState(), last=True)
    state, pieces, start = BandState(), [], 0
    while start < 60:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(band.stream(magnitude[..., start : start + size], state, start + size >= 60))
        start += size
    torch.testing.assert_close(
        torch.cat(pieces, -1), whole, atol=1e-5, rtol=1e-4
    )  # the transforms sum in another order


def test_silence_stays_silent():
    audio, _, _ = rebuild(torch.zeros(1, RATE), 2)
    assert float(audio.abs().max()) == 0.0


def test_the_lowest_bins_alone_give_the_low_tone():
    inverse = InverseSTFT(N_FFT, HOP)
    low, high = tones(441.0), tones(2500.0)
    magnitude = inverse.analyse(low + high).abs()[:, :60]  # up to 1 kHz
    made = Band(N_FFT, HOP, 1).stream(magnitude, BandState(), last=True)
    both = torch.fft.rfft(made[0]).abs()
    assert abs(int(both.argmax()) - 441) <= 1
    assert float(both[2000:].max()) < 0.01 * float(both.max())
