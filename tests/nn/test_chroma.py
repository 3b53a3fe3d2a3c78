"""Chromagrams against the reference's own output, and tones whose class is known."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cadenza.nn.chroma import Chromagram, chroma_filters, strongest

ORACLE = Path(__file__).parents[1] / "parity" / "musicgen_melody_tiny" / "io.safetensors"
NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]


@pytest.fixture(scope="module")
def chromagram() -> Chromagram:
    return Chromagram()


def tone(hz: float, seconds: float = 1.0, rate: int = 32000) -> torch.Tensor:
    return (
        0.5 * torch.sin(2 * math.pi * hz * torch.arange(int(seconds * rate), dtype=torch.float64) / rate).float()[None]
    )


def test_equals_the_reference(chromagram: Chromagram) -> None:
    expected = load_file(ORACLE)
    chroma = chromagram(expected["melody_wav_0"])
    torch.testing.assert_close(chroma, expected["chroma_soft"], rtol=1e-5, atol=1e-6)
    assert torch.equal(strongest(chroma), expected["chroma_argmax"])


@pytest.mark.parametrize("octave", range(2, 8))
def test_a_tone_is_its_pitch_class(chromagram: Chromagram, octave: int) -> None:
    for i, name in enumerate(NAMES):
        hz = 440.0 * 2 ** ((i - 9) / 12 + octave - 4)
        heard = strongest(chromagram(tone(hz)))[0, 2:-2].argmax(-1)
        assert (heard == i).all(), f"{name}{octave} at {hz:.1f} Hz is heard as {NAMES[int(heard.mode().values)]}"


def test_every_bin_of_an_octave_counts_once() -> None:
    """Folding keeps a bin's weight whatever class it lies in: the length of its column is the octave's weight alone."""
    filters = chroma_filters(12, 16384, 32000)
    frequencies = torch.arange(8193, dtype=torch.float64)[1:] * 32000 / 16384
    octave = torch.log2(frequencies / 27.5)
    expected = torch.exp(-0.5 * ((octave - 5) / 2) ** 2)
    torch.testing.assert_close(filters[:, 1:].double().norm(dim=0), expected, rtol=1e-5, atol=1e-7)


def test_loudness_does_not_matter(chromagram: Chromagram) -> None:
    wave = torch.randn(1, 40000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(chromagram(wave), chromagram(0.01 * wave))


def test_frames(chromagram: Chromagram) -> None:
    for samples in (1, 4096, 16384, 16385, 32000, 32000 * 30):
        assert chromagram(torch.randn(2, samples)).shape == (2, chromagram.num_frames(samples), 12)
    assert chromagram.num_frames(32000 * 30) == 235


def test_silence_is_nothing_and_its_strongest_class_the_first(chromagram: Chromagram) -> None:
    chroma = chromagram(torch.zeros(1, 20000))
    assert not chroma.any()
    assert (strongest(chroma).argmax(-1) == 0).all()


def test_quiet_frames_can_be_left_empty(chromagram: Chromagram) -> None:
    wave = torch.cat([tone(440.0, 2), 0.003 * tone(523.25, 2)], dim=1)  # 50 dB quieter
    kept, cut = chromagram(wave), chromagram(wave, quiet_db=40.0)
    assert (strongest(kept)[0, -8:].argmax(-1) == 0).all()  # C, however quiet
    assert not strongest(cut, keep_silence=True)[0, -8:].any()
    assert torch.equal(strongest(cut, keep_silence=True)[0, :12], strongest(kept)[0, :12])


@pytest.mark.parametrize("cents", [-45, -30, -10, 0, 20, 40, 48])
def test_a_tune_off_concert_pitch_keeps_its_intervals(chromagram: Chromagram, cents: int) -> None:
    classes = [0, 2, 4, 5, 7, 9, 11]
    tune = torch.cat([tone(440.0 * 2 ** ((c - 9 + cents / 100) / 12)) for c in classes], dim=1)
    tuning = chromagram.tuning_of(tune[0])
    assert tuning == pytest.approx(cents / 100, abs=0.02)
    heard = strongest(chromagram(tune, tuning=tuning))[0].argmax(-1)
    middles = [round((i + 0.5) * 32000 / 4096) for i in range(len(classes))]
    assert heard[middles].tolist() == classes


def test_silence_has_no_tuning(chromagram: Chromagram) -> None:
    assert chromagram.tuning_of(torch.zeros(40000)) == 0
