"""Phases from magnitudes: tones come back as tones, refinement helps, and streaming equals one-shot."""

import math

import pytest
import torch

from cadenza.nn.phase import PhaseReconstruction, PhaseState, first_guess
from cadenza.nn.spectral import InverseSTFT

RATE, N_FFT, HOP = 8000, 480, 80


def tones(*frequencies):
    time = torch.arange(RATE) / RATE
    return sum(0.2 * torch.sin(2 * math.pi * f * time + f) for f in frequencies)[None]


def rebuild(audio, iterations):
    inverse = InverseSTFT(N_FFT, HOP)
    magnitude = inverse.analyse(audio).abs()
    spectrum = PhaseReconstruction(N_FFT, HOP, iterations).stream(magnitude, inverse, PhaseState(), last=True)
    return inverse(spectrum), magnitude, inverse


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


@pytest.mark.parametrize("sizes", [(1,), (3, 17, 2)])
def test_streamed_phases_equal_one_shot(sizes):
    torch.manual_seed(0)
    inverse = InverseSTFT(N_FFT, HOP)
    magnitude = inverse.analyse(0.1 * torch.randn(2, HOP * 60)).abs()
    phases = PhaseReconstruction(N_FFT, HOP, 2)
    whole = phases.stream(magnitude, inverse, PhaseState(), last=True)
    state, pieces, start = PhaseState(), [], 0
    while start < 60:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(phases.stream(magnitude[..., start : start + size], inverse, state, start + size >= 60))
        start += size
    torch.testing.assert_close(
        torch.cat(pieces, -1), whole, atol=1e-5, rtol=1e-4
    )  # the transforms sum in another order


def test_silence_stays_silent():
    audio, _, _ = rebuild(torch.zeros(1, RATE), 2)
    assert float(audio.abs().max()) == 0.0
