"""What the ear's networks of tempo and key hear, and what cannot change their answer."""

import numpy as np
import pytest
import torch

from cadenza.audio import Audio
from cadenza.evaluate.embedders.listener_key import NUM_PITCHES, KeyNetwork, pitch_peaks
from cadenza.evaluate.embedders.listener_tempo import (
    NUM_CURVES,
    NUM_TEMPOS,
    PER_OCTAVE,
    TEMPOS_BPM,
    TempoNetwork,
    _at_ratios,
    most_probable_tempo,
    onset_bands,
    tempo_curves,
)
from cadenza.evaluate.spectra import SAMPLE_RATE
from cadenza.testing import noise, tiny_listener, tone


def clicks(bpm: float, seconds: float = 8.0) -> np.ndarray:
    """Bursts of noise, 20 ms each."""
    samples = np.zeros(round(seconds * SAMPLE_RATE), dtype=np.float32)
    burst = noise(0.02, SAMPLE_RATE).samples[0]
    for start in np.arange(0.1, seconds - 0.1, 60 / bpm):
        place = round(start * SAMPLE_RATE)
        samples[place : place + burst.size] += burst
    return samples


def nearest(bpm: float) -> int:
    return int(np.abs(np.log(TEMPOS_BPM / bpm)).argmin())


@pytest.mark.parametrize("bpm", [80.0, 132.0])
def test_curves_peak_at_the_tempo_and_at_what_it_is_mistaken_for(bpm: float) -> None:
    curves = tempo_curves(onset_bands(clicks(bpm)))
    assert curves.shape == (NUM_CURVES, NUM_TEMPOS)
    similarity, pulse = curves[8], curves[17]  # of the mean of all groups
    for curve, multiples in ((similarity, (1.0, 0.5)), (pulse, (1.0, 2.0))):
        for multiple in multiples:
            place = nearest(multiple * bpm)
            near, around = curve[place - 2 : place + 3].max(), curve[place - 16 : place + 17]
            assert near == around.max() > 1.5 * np.median(np.abs(around))


def test_half_an_octave_up_is_half_an_octave_on() -> None:
    slow, fast = (tempo_curves(onset_bands(clicks(bpm)))[8] for bpm in (90.0, 90.0 * 2**0.5))
    assert np.argmax(slow[nearest(80) : nearest(100)]) == pytest.approx(
        np.argmax(fast[nearest(80 * 2**0.5) : nearest(100 * 2**0.5)]), abs=1
    )


def test_every_tempo_hears_its_multiples_and_parts() -> None:
    hidden = torch.zeros(1, 1, NUM_TEMPOS)
    hidden[0, 0, 128] = 1.0
    heard = _at_ratios(hidden)[0]
    assert heard.shape == (11, NUM_TEMPOS)
    places = heard.argmax(dim=1)[heard.amax(dim=1) > 0].tolist()
    assert places[:3] == [128, 128 - PER_OCTAVE, 128 + PER_OCTAVE]  # half of that tempo finds it at its double
    assert len(places) == 10 and min(places) == 0  # four times that tempo lies beyond the fastest


def test_the_most_probable_tempo_lies_between_the_steps() -> None:
    probabilities = np.zeros(NUM_TEMPOS, dtype=np.float32)
    probabilities[[70, 71]], probabilities[200] = 0.4, 0.2
    bpm, sure = most_probable_tempo(probabilities)
    assert bpm == pytest.approx((TEMPOS_BPM[70] * TEMPOS_BPM[71]) ** 0.5)
    assert sure == pytest.approx(0.8)


def test_peaks_are_the_pitches_that_sound() -> None:
    sound = tone(440.0, 2.0, SAMPLE_RATE).samples[0] + 0.25 * tone(660.0, 2.0, SAMPLE_RATE).samples[0]
    strongest = pitch_peaks(sound)[:, 2:-2].mean(axis=1)
    assert np.flatnonzero(strongest > 0.1).tolist() == [69 - 24, 76 - 24]
    assert strongest[69 - 24] == pytest.approx(1.0, abs=0.05)
    # An amplitude of a quarter has a root of a half; 660 Hz lies 2 cents from the tempered fifth.
    assert strongest[76 - 24] == pytest.approx(0.5, abs=0.05)


def test_transposing_transposes_the_answer() -> None:
    torch.manual_seed(0)
    network = KeyNetwork(12).eval()
    peaks = torch.zeros(1, NUM_PITCHES, 20)
    peaks[0, 36:60] = torch.rand(24, 20)  # far enough from both ends
    with torch.inference_mode():
        answer, higher = network(peaks), network(peaks.roll(3, dims=1))
    assert torch.allclose(answer.roll(3, dims=-1), higher, atol=1e-5)
    assert not torch.allclose(answer, higher, atol=1e-3)


def test_the_listener_tells_them_and_not_of_silence() -> None:
    listener = tiny_listener()
    silence = Audio(np.zeros(64000, dtype=np.float32), 32000)
    assert listener.tempo(silence).bpm is None and listener.key(silence) is None
    music = Audio(clicks(120.0, 4.0), SAMPLE_RATE)
    assert TEMPOS_BPM[0] <= (listener.tempo(music).bpm or 0.0) <= TEMPOS_BPM[-1]
    key = listener.key(tone(440.0, 2.0))
    assert key is not None and 0 < key.strength <= 1
    assert listener.tempo(music) == listener.tempo(music)


def test_networks_have_the_shapes_they_say() -> None:
    assert TempoNetwork(4).eval()(torch.zeros(2, NUM_CURVES, NUM_TEMPOS)).shape == (2, NUM_TEMPOS)
    assert KeyNetwork(6).eval()(torch.zeros(2, NUM_PITCHES, 7)).shape == (2, 2, 12)
