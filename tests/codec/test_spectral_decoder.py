"""The spectral decoder: two transforms share the spectrum, and their distances are what they say."""

import pytest
import torch

from cadenza.codec.spectral import SpectralConfig
from cadenza.codec.spectral_decoder import SpectralDecoder, full_scale_tone, hold_back, round_peaks

CONFIG = SpectralConfig(hop_length=40, dim=16, num_layers=1, fast_dim=8, fast_layers=1, low_bins=25, low_dim=8)
RATE = 8000  # bins of the long transform are 40 Hz wide, those of the short one 133: they meet below 1 kHz


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return SpectralDecoder(CONFIG, 1, 4).eval()


def tone(frequency):
    return (0.3 * torch.sin(2 * torch.pi * frequency * torch.arange(RATE // 2) / RATE))[None, None]


def write(decoder, monkeypatch, audio):
    """A decoder that writes the true magnitudes of `audio`."""
    short, long = decoder.band.inverse.analyse(audio[:, 0]), decoder.low_band.inverse.analyse(audio[:, 0])
    scale = CONFIG.n_fft / CONFIG.low_n_fft
    monkeypatch.setattr(
        decoder, "_magnitudes", lambda *_, **__: [short.abs(), long.abs()[:, : CONFIG.low_bins] * scale]
    )
    return torch.zeros(1, 4, audio.shape[-1] // CONFIG.hop_length)


@pytest.mark.parametrize("frequency", [200.0, 900.0, 2000.0])
def test_a_tone_below_within_and_above_the_fade_keeps_its_pitch_and_level(decoder, monkeypatch, frequency):
    audio = tone(frequency)
    heard = decoder(write(decoder, monkeypatch, audio))[0, 0]
    middle = slice(800, 3200)
    spectrum = torch.fft.rfft(heard[middle] * torch.hann_window(2400), 8000).abs()
    assert abs(int(spectrum.argmax()) - frequency) <= 8
    level_db = 10 * torch.log10(heard[middle].square().mean() / audio[0, 0, middle].square().mean())
    assert abs(float(level_db)) < 2.5  # within the fade two sounds of equal power meet in some phase


def test_true_magnitudes_are_at_no_distance_and_give_the_original(decoder, monkeypatch):
    audio = tone(900.0) + tone(300.0) + tone(2100.0)
    training = decoder.train_pass(audio, write(decoder, monkeypatch, audio))
    assert float(training.distance) < 1e-3
    # Amplitudes of both transforms add up to more than one where they overlap: shares are of power.
    dry = tone(300.0) + tone(2100.0)
    training = decoder.train_pass(dry, write(decoder, monkeypatch, dry))
    torch.testing.assert_close(training.audio[..., 800:3200], dry[..., 800:3200], atol=0.02, rtol=0)


def test_spectra_hold_the_bins_that_are_heard(decoder):
    training = decoder.train_pass(tone(500.0), torch.randn(1, 4, 100))
    short, long = training.spectra
    assert long.made.shape == long.wanted.shape == (1, CONFIG.low_bins, 100)
    fade_begins = 0.8 * CONFIG.low_bins / CONFIG.low_n_fft * CONFIG.n_fft
    assert short.made.shape == (1, CONFIG.n_fft // 2 + 1 - int(fade_begins) - 1, 400)
    assert decoder.num_transforms == len(decoder.last_weights) == 2


def test_one_transform_is_the_default():
    plain = SpectralDecoder(CONFIG.model_copy(update={"low_bins": 0}), 1, 4)
    assert plain.low is None
    assert plain.num_transforms == 1
    assert len(plain.train_pass(tone(500.0), torch.randn(1, 4, 100)).spectra) == 1


def test_peaks_bend_below_full_scale_and_all_else_stays():
    sound = torch.linspace(-1.6, 1.6, 3201, dtype=torch.float64).float()[None, None]
    bent, below = round_peaks(sound, 0.75), sound.abs() <= 0.75
    assert torch.equal(bent[below], sound[below])
    assert (bent.diff() > 0).all() and bent.abs().max() < 1
    assert torch.equal(round_peaks(-sound, 0.75), -bent)


def test_a_decoder_with_a_knee_writes_no_sample_at_full_scale(monkeypatch):
    torch.manual_seed(0)
    decoder = SpectralDecoder(CONFIG.model_copy(update={"knee": 0.75}), 1, 4).eval()
    loud = 5 * tone(200.0)
    latent = write(decoder, monkeypatch, loud)
    assert decoder(latent).abs().max() < 1 < loud.abs().max()


def test_a_full_scale_sine_is_as_loud_as_it_is_said_to_be():
    decoder = SpectralDecoder(CONFIG.model_copy(update={"low_bins": 0}), 1, 4)
    frames = decoder.band.inverse.analyse(tone(2000.0)[:, 0] / 0.3).abs()[..., 4:-4]
    level = torch.linalg.vector_norm(frames, dim=1)
    assert torch.allclose(level, torch.tensor(full_scale_tone(CONFIG.n_fft)), rtol=0.01)


def test_frames_that_are_too_loud_become_as_loud_as_allowed_and_others_stay():
    magnitude = torch.rand(2, 40, 6)
    magnitude[:, :, 3] *= 100
    level = torch.linalg.vector_norm(magnitude, dim=1)
    kept = [0, 1, 2, 4, 5]
    most = float(level[:, kept].max()) + 0.1
    held = hold_back(magnitude, most)
    assert torch.equal(held[..., kept], magnitude[..., kept])
    loud = held[..., 3]
    assert torch.allclose(torch.linalg.vector_norm(loud, dim=1), torch.full((2,), most))
    assert torch.allclose(loud / loud[:, :1], magnitude[..., 3] / magnitude[:, :1, 3])
    assert torch.equal(hold_back(torch.zeros(1, 4, 2), most), torch.zeros(1, 4, 2))


def test_a_tone_beyond_full_scale_is_held_at_it(monkeypatch):
    torch.manual_seed(0)
    decoder = SpectralDecoder(CONFIG.model_copy(update={"loudest": 1.0}), 1, 4).eval()
    loud = 4 / 0.3 * tone(200.0)
    latent = write(decoder, monkeypatch, loud)
    held = decoder(latent)
    inside = held[..., 800:-800].abs().max()
    assert 0.9 < inside < 1.1
    quiet = decoder.config.model_copy(update={"loudest": None})
    monkeypatch.setattr(decoder, "config", quiet)
    assert decoder(latent)[..., 800:-800].abs().max() > 3.5
