"""Sound that something has gone wrong with, and by how much: what the listener learns to tell from sound that is whole.

Samples `[N]` in, damaged samples and a severity of 0 to 1 per kind out. No codec is among them, so that no codec's
artefacts are anything special to who learnt from these.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float32

KINDS = ("noise", "lowpass", "clipping", "smear")


def damage(
    samples: Float32[np.ndarray, "N"], sample_rate: int, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "N"], dict[str, float]]:
    """One kind of damage (of three clips in ten, two), drawn like its severity; the severities of the others are 0."""
    number = 2 if rng.random() < 0.3 else 1
    severities = dict.fromkeys(KINDS, 0.0)
    for kind in sorted(rng.permutation(len(KINDS))[:number]):
        severities[KINDS[kind]] = float(rng.uniform(0.05, 1.0))
        samples = DAMAGES[KINDS[kind]](samples, sample_rate, severities[KINDS[kind]], rng)
    return samples, severities


def add_noise(
    samples: Float32[np.ndarray, "N"], sample_rate: int, severity: float, rng: np.random.Generator
) -> Float32[np.ndarray, "N"]:
    """Noise 40 (1 - severity) dB below the music; white, pink or brown (power falling by 0, 3 or 6 dB an octave)."""
    spectrum = np.fft.rfft(rng.normal(size=samples.size))
    slope = (0.0, 0.0, 0.5, 1.0)[int(rng.integers(4))]
    spectrum *= np.maximum(np.arange(spectrum.size) * sample_rate / samples.size, 30.0) ** -slope
    noise = np.fft.irfft(spectrum, samples.size)
    level = float(np.sqrt(np.square(samples).mean() / max(np.square(noise).mean(), 1e-20)))
    return (samples + noise * level * 10 ** (-2.0 * (1.0 - severity))).astype(np.float32)


def low_pass(
    samples: Float32[np.ndarray, "N"], sample_rate: int, severity: float, rng: np.random.Generator
) -> Float32[np.ndarray, "N"]:
    """Nothing above 16000 / 16^severity Hz (1 kHz at worst): Butterworth magnitudes of order 4 to 24."""
    frequencies = np.fft.rfftfreq(samples.size, 1.0 / sample_rate)
    order = int(rng.integers(4, 25))
    gain = 1.0 / np.sqrt(1.0 + (frequencies / (16000.0 * 16.0**-severity)) ** (2 * order))
    return np.fft.irfft(np.fft.rfft(samples) * gain, samples.size).astype(np.float32)


def clip_peaks(
    samples: Float32[np.ndarray, "N"], sample_rate: int, severity: float, rng: np.random.Generator
) -> Float32[np.ndarray, "N"]:
    """Driven 24 severity dB above the level at which the peaks are cut off."""
    limit = float(np.abs(samples).max()) * 10 ** (-24.0 * severity / 20)
    return np.clip(samples, -limit, limit)


def smear(
    samples: Float32[np.ndarray, "N"], sample_rate: int, severity: float, rng: np.random.Generator
) -> Float32[np.ndarray, "N"]:
    """Phases and levels of the spectrum blurred at random, what is weak left out: what coarse resynthesis sounds like.

    Windows of 32 ms; phases off by up to 180 severity degrees, levels by 6 severity dB (standard deviation), nothing
    left that is more than 70 - 45 severity dB below the strongest frequency of its frame.
    """
    size = 1 << round(np.log2(0.032 * sample_rate))
    window = torch.hann_window(size)
    spectrum = torch.stft(torch.from_numpy(samples), size, size // 4, window=window, return_complex=True).numpy()
    amplitude = np.abs(spectrum)
    kept = amplitude > amplitude.max(axis=0) * 10 ** (-(70 - 45 * severity) / 20)
    level = 10 ** (6.0 * severity / 20 * rng.standard_normal(spectrum.shape, dtype=np.float32))
    turn = np.exp(1j * np.pi * severity * rng.uniform(-1.0, 1.0, spectrum.shape).astype(np.float32))
    blurred = torch.from_numpy((spectrum * kept * level * turn).astype(np.complex64))
    result: np.ndarray = torch.istft(blurred, size, size // 4, window=window, length=samples.size).numpy()
    return result


Damage = Callable[[np.ndarray, int, float, np.random.Generator], np.ndarray]
DAMAGES: dict[str, Damage] = {"noise": add_noise, "lowpass": low_pass, "clipping": clip_peaks, "smear": smear}
