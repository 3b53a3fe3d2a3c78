"""What a sound lost on its way through a codec: an original and its reconstruction in, figures out.

SI-SDR (Le Roux et al. 2019), the mel distance of DAC (Kumar et al. 2023: the scales of its mel loss), the
multi-resolution STFT distance of Parallel WaveGAN (Yamamoto et al. 2020), error of loudness, and drop-outs. Which
scales, windows and floors they use is part of a figure: `DEFINITIONS` says it in words, for reports; distances of
sounds of different rates cannot be compared. EnCodec's mel loss (64 bands at every scale, power and logarithm) is
`train.losses.MelLoss`, a loss and no yardstick. Knows no codec.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from cadenza.audio import Audio
from cadenza.errors import UserError

MEL_SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
"""Windows in samples and their numbers of bands; hops are a quarter of the window."""
MEL_FLOOR = 1e-5
STFT_SCALES = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""Sizes of the transform, hops and windows in samples."""
STFT_FLOOR = 1e-8  # of the power
FRAME_SECONDS = 0.02
AUDIBLE_DB = -30.0  # of a frame, relative to the clip's mean power
DROP_DB = -12.0
DELAY_CORRELATION = 0.3  # the least at which a delay is believed
QUIET_LUFS = -70.0  # the gate of BS.1770: softer counts as this
_SDR_EPSILON = 1e-8  # of energies: digital silence has 0 dB, equal sounds have about 100 dB

DEFINITIONS = {
    "si_sdr_db": "scale-invariant signal-to-distortion ratio, means removed, per channel, mean over channels; higher "
    "is better",
    "mel_distance": "sum over windows of 32, 64, 128, 256, 512, 1024, 2048 samples (hop a quarter; 5, 10, 20, 40, 80, "
    "160, 320 bands on Slaney's scale) of the mean |difference| of log10 mel magnitude, floor 1e-5; lower is better",
    "stft_distance": "mean over transforms of 1024, 2048, 512 samples (hops 120, 240, 50; Hann windows of 600, 1200, "
    "240) of spectral convergence + mean |difference| of ln magnitude, floor 1e-4; lower is better",
    "loudness_error_lu": "|difference| of integrated loudness (BS.1770-4)",
    "dropout_share": "share of audible 20 ms frames (at most 30 dB below the clip) that lose 12 dB or more, overall "
    "gain removed",
    "longest_dropout_seconds": "the longest run of such frames",
}


@dataclass(frozen=True)
class Fidelity:
    """How near a reconstruction is to its original; `DEFINITIONS` has the definitions."""

    si_sdr_db: float
    mel_distance: float
    stft_distance: float
    loudness_error_lu: float
    dropout_share: float
    longest_dropout_seconds: float


def measure_fidelity(made: Audio, original: Audio) -> Fidelity:
    """All figures of a pair of one rate, number of channels and length (see `align`), the original not silent."""
    assert made.sample_rate == original.sample_rate
    assert made.samples.shape == original.samples.shape
    x, y = torch.from_numpy(made.samples), torch.from_numpy(original.samples)
    sounding = y.abs().amax(-1) > 0
    assert bool(sounding.any()), "the original is silent"
    dropped, audible = dropouts(made.samples, original.samples, original.sample_rate)
    return Fidelity(
        si_sdr_db=float(si_sdr(x[sounding].double(), y[sounding].double()).mean()),
        mel_distance=mel_distance(x, y, original.sample_rate),
        stft_distance=stft_distance(x, y),
        loudness_error_lu=abs(max(made.loudness_lufs(), QUIET_LUFS) - max(original.loudness_lufs(), QUIET_LUFS)),
        dropout_share=float(dropped.sum() / max(1, audible.sum())),
        longest_dropout_seconds=_longest_run(dropped) * FRAME_SECONDS,
    )


def si_sdr(audio: Float[Tensor, "*B N"], target: Float[Tensor, "*B N"]) -> Float[Tensor, "*B"]:
    """Scale-invariant signal-to-distortion ratio in dB, means removed (Le Roux et al. 2019)."""
    x, y = (wave - wave.mean(-1, keepdim=True) for wave in (audio, target))
    scale = ((x * y).sum(-1, keepdim=True) + _SDR_EPSILON) / (y.square().sum(-1, keepdim=True) + _SDR_EPSILON)
    signal, noise = (scale * y).square().sum(-1), (x - scale * y).square().sum(-1)
    return 10 * torch.log10((signal + _SDR_EPSILON) / (noise + _SDR_EPSILON))


def mel_distance(audio: Float[Tensor, "C N"], target: Float[Tensor, "C N"], sample_rate: int) -> float:
    """Sum over `MEL_SCALES` of mean |log10 M x - log10 M y|, `M` magnitudes in mel bands, not below the floor."""
    return float(mel_distances(audio, target, sample_rate).mean())


def mel_distances(audio: Float[Tensor, "C N"], target: Float[Tensor, "C N"], sample_rate: int) -> Float[Tensor, " C"]:
    """The mel distance of each channel; differentiable."""
    total = audio.new_zeros(len(audio))
    for size, bands in MEL_SCALES:
        filters = slaney_filters(sample_rate, size, bands).to(audio.device)
        x, y = (
            torch.log10((filters @ _magnitudes(wave, size, size // 4, size)).clamp_min(MEL_FLOOR))
            for wave in (audio, target)
        )
        total = total + (x - y).abs().mean((1, 2))
    return total


def stft_distance(audio: Float[Tensor, "C N"], target: Float[Tensor, "C N"]) -> float:
    """Mean over `STFT_SCALES` of `||Y - X||_F / ||Y||_F + mean |ln Y - ln X|`, magnitudes, `Y` those of the target."""
    total = 0.0
    for size, hop, window in STFT_SCALES:
        x, y = (_magnitudes(wave, size, hop, window).clamp_min(STFT_FLOOR**0.5) for wave in (audio, target))
        convergence = torch.linalg.vector_norm(y - x, dim=(-2, -1)) / torch.linalg.vector_norm(y, dim=(-2, -1))
        total += float(convergence.mean() + (torch.log(y) - torch.log(x)).abs().mean())
    return total / len(STFT_SCALES)


def contour_correlation(made: Audio, original: Audio) -> float:
    """Correlation of how their spectra move: log magnitude in 40 mel bands, each less its mean. Near 1 for what was
    coded well, near 0 for another piece."""
    filters = slaney_filters(original.sample_rate, 2048, 40)
    x, y = (
        torch.log10((filters @ _magnitudes(torch.from_numpy(audio.samples), 2048, 1024, 2048)).clamp_min(1e-4))
        for audio in (made, original)
    )
    x, y = x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
    return float((x * y).sum() / torch.sqrt(x.square().sum() * y.square().sum()).clamp_min(1e-12))


def dropouts(
    made: Float32[np.ndarray, "C N"], original: Float32[np.ndarray, "C N"], sample_rate: int
) -> tuple[Bool[np.ndarray, "T"], Bool[np.ndarray, "T"]]:
    """Which frames of `FRAME_SECONDS` are lost, and which are audible in the original at all."""
    size = max(1, round(FRAME_SECONDS * sample_rate))
    x, y = (_frame_power(samples, size) for samples in (made, original))
    audible = y > y.mean() * 10 ** (AUDIBLE_DB / 10)
    gain = x.sum() / max(float(y.sum()), 1e-20)
    # A reconstruction that is silent throughout has lost everything, whatever its gain.
    lost = x < y * gain * 10 ** (DROP_DB / 10) if gain > 1e-10 else np.ones_like(audible)
    return lost & audible, audible


def align(made: Audio, original: Audio, most_seconds: float) -> tuple[Audio, Audio, int]:
    """What both have in common once a delay of the coder is taken out, and the delay in samples.

    The delay is where the cross-correlation of the sounds, mixed down, is largest, at most `most_seconds` either way.
    Raises UserError for pairs that differ in rate or channels.
    """
    if (made.sample_rate, made.channels) != (original.sample_rate, original.channels):
        raise UserError(
            f"{made.channels} channels at {made.sample_rate} Hz against {original.channels} at {original.sample_rate} "
            "Hz: resample one of them"
        )
    most = round(most_seconds * original.sample_rate)
    delay = find_delay(made.samples.mean(0), original.samples.mean(0), most)
    x = made.samples[:, max(0, delay) :]
    y = original.samples[:, max(0, -delay) :]
    size = min(x.shape[1], y.shape[1])
    rate = original.sample_rate
    return Audio(x[:, :size], rate), Audio(y[:, :size], rate), delay


def find_delay(made: Float32[np.ndarray, "M"], original: Float32[np.ndarray, "N"], most: int) -> int:
    """By how many samples `made` is late, -most .. most; 0 where they correlate too little to tell.

    A codec of few bits keeps what is heard, not the waveform: the best of many chance correlations is no delay.
    """
    if not most:
        return 0
    size = 1 << (len(made) + len(original) - 1).bit_length()
    product = np.fft.rfft(made, size) * np.conj(np.fft.rfft(original, size))
    correlation = np.fft.irfft(product, size)
    near = np.concatenate([correlation[size - most :], correlation[: most + 1]])
    least = DELAY_CORRELATION * float(np.linalg.norm(made) * np.linalg.norm(original))
    if near.max() <= max(near[most] * (1 + 1e-6), least):  # rounding must not move what is in place
        return 0
    return int(near.argmax()) - most


@lru_cache(maxsize=32)
def slaney_filters(sample_rate: int, size: int, bands: int) -> Float[Tensor, "M F"]:
    """Triangles of equal area (2 / width), evenly spaced on Slaney's mel scale (1998) from 0 Hz to half the rate.

    The scale is linear to 1 kHz (200 / 3 Hz a mel) and logarithmic above (27 mels for a factor of 6.4).
    """
    knee, step = 1000.0 / (200.0 / 3.0), math.log(6.4) / 27.0
    nyquist = sample_rate / 2
    top = nyquist * 3.0 / 200.0 if nyquist < 1000.0 else knee + math.log(nyquist / 1000.0) / step
    mels = np.linspace(0.0, top, bands + 2)
    edges = np.where(mels < knee, mels * 200.0 / 3.0, 1000.0 * np.exp(step * (mels - knee)))
    bins = np.fft.rfftfreq(size, 1.0 / sample_rate)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return torch.from_numpy((np.maximum(0.0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32))


def _magnitudes(audio: Float[Tensor, "C N"], size: int, hop: int, window: int) -> Float[Tensor, "C F T"]:
    """Frames are centred, the ends reflected."""
    shape = torch.hann_window(window, dtype=audio.dtype, device=audio.device)
    return torch.stft(audio, size, hop, window, shape, return_complex=True).abs()


def _frame_power(samples: Float32[np.ndarray, "C N"], size: int) -> Float[np.ndarray, "T"]:
    whole = samples[:, : samples.shape[1] // size * size].astype(np.float64)
    power: np.ndarray = np.square(whole).mean(0).reshape(-1, size).mean(1)
    return power


def _longest_run(flags: Bool[np.ndarray, "T"]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
