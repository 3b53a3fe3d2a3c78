"""Music, noise or talk, judged by the signal alone: what `cadenza data filter` does where there is no trained tagger.

In: a window of sound. Out: four figures of it, and from them three probabilities. The figures are old and cheap: music
holds its tones (Seyerlehner et al. 2007, "Automatic music detection in television productions"), noise fills its
spectrum evenly, talk has gaps and jumps between vowels and consonants (Saunders 1996; Scheirer & Slaney 1997).

The weights of the figures were fitted to composed music against synthetic noises and synthetic talk
(`benchmarks/content.py`, where the errors are measured). What it does not know: it hears talk, but a voice that sings
holds its tones and counts as music; a steady hum does too; drums alone may not.
"""

import math

import numpy as np
from jaxtyping import Float64

from cadenza.audio import Audio
from cadenza.data.tags import Scores

SAMPLE_RATE = 16000  # hertz; talk lies below 8 kHz
SILENCE_DB = -60.0  # of a frame, RMS relative to full scale
LEAST_SOUND = 0.02  # share of frames that must be louder than that, or there is nothing to judge

_SIZE, _HOP = 1024, 256  # 64 ms, every 16 ms
_LOW_HZ, _HIGH_HZ = 100.0, 7000.0
_SECOND = 62  # frames
_NEIGHBOURS = 21  # frequencies, 330 Hz: what a tone must stand out from
_PROMINENCE_DB = 6.0
_TONES = 10  # strongest frequencies of a second that are looked at

FIGURES = ("flatness", "held", "gaps", "swing")
# Rows: music, noise, talk. Columns: the figures, then a constant. Printed by `benchmarks/content.py --fit`.
WEIGHTS = np.array(
    [
        [0.041, 6.161, 2.621, 0.462, -3.602],
        [0.925, -2.789, -4.376, -4.566, 6.457],
        [-0.966, -3.372, 1.754, 4.104, -2.855],
    ]
)


class SignalTagger:
    """Needs nothing but the signal, and is to be trusted less than a trained tagger."""

    name = "signal"

    def judge(self, audio: Audio) -> Scores:
        """`softmax(W (figures, 1))`; all 0 for silence."""
        figures = measure(audio)
        if figures is None:
            return Scores(0.0, 0.0, 0.0)
        values = WEIGHTS[:, :-1] @ np.array([figures[name] for name in FIGURES]) + WEIGHTS[:, -1]
        shares = np.exp(values - values.max())
        music, noise, talk = (shares / shares.sum()).tolist()
        return Scores(talk, noise, music)


def measure(audio: Audio) -> dict[str, float] | None:
    """The figures of a sound, by the names in `FIGURES`; None for silence.

    flatness: logarithm (base 10) of the geometric over the arithmetic mean of the spectrum, median over frames.
    held: share of a second for which its ten steadiest frequencies stand out from their neighbours, 0 to 1.
    gaps: share of frames that are softer than half the mean of their second.
    swing: how far the middle of the spectrum wanders, standard deviation in octaves.
    """
    wave = audio.with_channels(1).resample(SAMPLE_RATE).samples[0].astype(np.float64)
    wave = np.pad(wave, (0, max(0, _SIZE - wave.size)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, _SIZE)[::_HOP]
    level = np.sqrt(np.square(frames).mean(axis=1))
    if (level > 10 ** (SILENCE_DB / 20)).mean() < LEAST_SOUND:
        return None
    frames = frames / np.sqrt(np.square(level).mean())  # so that the level of a recording does not matter
    spectrum = np.fft.rfft(frames * np.hanning(_SIZE + 1)[:-1], axis=1)
    low, high = (round(hz * _SIZE / SAMPLE_RATE) for hz in (_LOW_HZ, _HIGH_HZ))
    # The floor, 80 dB below a sine of this level, keeps digital silence within a sound out of the logarithms.
    power = np.square(np.abs(spectrum[:, low:high])) + 1e-8 * 2 * (_SIZE / 4) ** 2
    active = power[level > 0.1 * level.max()]
    flatness = np.log(active).mean(axis=1) - np.log(active.mean(axis=1))
    centroid = np.log2(active @ np.arange(low, high) / active.sum(axis=1))
    return {
        "flatness": float(np.median(flatness)) / math.log(10),
        "held": _held(power),
        "gaps": float(np.mean([(part < 0.5 * part.mean()).mean() for part in _seconds(level)])),
        "swing": float(centroid.std()),
    }


def _held(power: Float64[np.ndarray, "T F"]) -> float:
    """Which frequencies stand out in a frame, how long of a second they do, the mean of the longest."""
    decibels = 10 * np.log10(power)
    around = np.pad(decibels, ((0, 0), (_NEIGHBOURS // 2, _NEIGHBOURS // 2)), mode="edge")
    sums = np.cumsum(np.pad(around, ((0, 0), (1, 0))), axis=1)
    stands_out = decibels - (sums[:, _NEIGHBOURS:] - sums[:, :-_NEIGHBOURS]) / _NEIGHBOURS > _PROMINENCE_DB
    return float(np.mean([np.sort(part.mean(axis=0))[-_TONES:].mean() for part in _seconds(stands_out)]))


def _seconds(values: np.ndarray) -> list[np.ndarray]:
    """About equal parts of at least a second, or the whole."""
    return np.array_split(values, max(1, len(values) // _SECOND))
