"""Samples to the spectra that the measurements read: power per frequency and frame, and power per mel band.

`Audio` flows in as one channel at one rate, [F, T] arrays flow out. Plain numpy: a spectrum of ten seconds takes
milliseconds, and a figure does not change with the version of an audio library.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32, Int

from cadenza.audio import Audio

SAMPLE_RATE = 22050  # hertz; keeps everything up to 11 kHz, where instruments and beats still differ

_SEMITONE_WIDTH = 0.25  # standard deviation of the weight of a peak around equal temperament, semitones


def mono(audio: Audio, sample_rate: int = SAMPLE_RATE) -> Float32[np.ndarray, "N"]:
    """The mean of the channels at `sample_rate`."""
    samples: np.ndarray = audio.with_channels(1).resample(sample_rate).samples[0]
    return samples


def power_spectrum(samples: Float32[np.ndarray, "N"], size: int, hop: int) -> Float32[np.ndarray, "F T"]:
    """Power in `size // 2 + 1` frequencies (Hann window of `size` samples, a full-scale sine gives 0.25).

    Frames are centred on multiples of `hop`; the ends are padded with silence, so there are N // hop + 1 of them.
    """
    padded = np.pad(samples, size // 2)
    if padded.size < size:
        padded = np.pad(padded, (0, size - padded.size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(frames * window, axis=1) / window.sum()
    return np.ascontiguousarray((spectrum.real**2 + spectrum.imag**2).T, dtype=np.float32)


@lru_cache(maxsize=8)
def mel_bank(
    sample_rate: int, size: int, bands: int, low_hz: float = 30.0, high_hz: float | None = None
) -> Float32[np.ndarray, "bands F"]:
    """Triangles of equal height, evenly spaced in mel (2595 log10(1 + f / 700), O'Shaughnessy 1987)."""
    edges_mel = np.linspace(_mel(low_hz), _mel(high_hz or sample_rate / 2), bands + 2)
    edges = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    frequencies = np.fft.rfftfreq(size, 1.0 / sample_rate)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def mel_decibels(
    samples: Float32[np.ndarray, "N"], sample_rate: int, size: int, hop: int, bands: int, floor_db: float = -80.0
) -> Float32[np.ndarray, "bands T"]:
    """Power per mel band in decibels below the loudest band of the clip, not lower than `floor_db`: level drops out."""
    power = mel_bank(sample_rate, size, bands) @ power_spectrum(samples, size, hop)
    loudest = max(float(power.max()), 1e-10)
    return np.maximum(10.0 * np.log10(np.maximum(power / loudest, 1e-12)), floor_db).astype(np.float32)


def semitone_peaks(
    amplitude: Float[np.ndarray, "F T"], low_hz: float, high_hz: float, weakest: float
) -> tuple[Int[np.ndarray, "P"], Int[np.ndarray, "P"], Float[np.ndarray, "P"]]:
    """The spectral peaks of music at 22,050 Hz: the nearest MIDI pitch of each, its frame, and its weight.

    Drums have few of them. A peak weighs the root of its amplitude, and less the further it lies from its semitone.

    Args:
        amplitude: Of each bin and frame; the window has twice as many samples as there are bins, but for the last.
        low_hz, high_hz: Where peaks are looked for.
        weakest: Share of the strongest amplitude of a frame; what lies below is noise or the window's side lobes.
    """
    size = 2 * (amplitude.shape[0] - 1)
    low, high = (round(edge * size / SAMPLE_RATE) for edge in (low_hz, high_hz))
    middle = amplitude[low:high]
    is_peak = (middle > amplitude[low - 1 : high - 1]) & (middle >= amplitude[low + 1 : high + 1])
    bins, frames = np.nonzero(is_peak & (middle > weakest * amplitude.max(axis=0, initial=0.0)))
    bins += low
    # A parabola through the three logarithms finds the frequency between the bins.
    left, top, right = (np.log(amplitude[bins + shift, frames] + 1e-12) for shift in (-1, 0, 1))
    offset = 0.5 * (left - right) / np.minimum(left - 2 * top + right, -1e-6)
    pitch = 69.0 + 12.0 * np.log2((bins + offset) * SAMPLE_RATE / size / 440.0)
    nearest = np.round(pitch)
    weight = np.exp(0.5 * top - 0.5 * ((pitch - nearest) / _SEMITONE_WIDTH) ** 2)
    return nearest.astype(int), frames, weight


def _mel(frequency_hz: Float[np.ndarray, "..."] | float) -> float:
    return float(2595.0 * np.log10(1.0 + np.asarray(frequency_hz) / 700.0))
