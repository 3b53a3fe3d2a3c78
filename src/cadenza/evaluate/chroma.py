"""Does the music follow the tune? Two sounds in, the share of their pitch classes that agree out.

Chroma cosine similarity, as MusicGen's authors measure melody models: chromagrams of both (window 2^14, hop 2^12, 12
classes, 32 kHz), the cosine of every pair of frames, and the mean over frames. Once between the strongest classes
(one-hot: the share of frames in which they are the same, what a melody model hears) and once between the whole frames.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float32

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.nn.chroma import Chromagram

SILENCE_DB = -60.0
"""Frames of the tune with less power (RMS, relative to full scale) are rests."""

_FRAMES = 1024  # at a time, two minutes: an hour takes no more memory
_CONTEXT = 4  # frames before and after, a whole window: their own edges are not those of the sound
_LEAST = 1e-12  # power of digital silence, instead of the logarithm of zero


@dataclass(frozen=True, eq=False)
class Chroma:
    """The frames of one sound: chroma `[T, 12]` with maximum 1, and the level of each frame's window in dB (RMS)."""

    frames: Float32[np.ndarray, "T 12"]
    level_db: Float32[np.ndarray, "T"]

    @property
    def strongest(self) -> Float32[np.ndarray, "T 12"]:
        """One-hot: the strongest class of each frame; all 0 where nothing sounds."""
        chosen: np.ndarray = np.eye(12, dtype=np.float32)[self.frames.argmax(axis=1)]
        return chosen * (self.frames.max(axis=1, keepdims=True) > 0)


def measure_chroma(audio: Audio) -> Chroma:
    """The chroma of a sound of any rate and number of channels, `ceil(N / 4096)` frames at 32 kHz.

    Raises UserError where there are no samples.
    """
    gram = _chromagram()
    wave = audio.with_channels(1).resample(gram.sample_rate).samples[0]
    if not wave.size:
        raise UserError("the audio has no samples: give a sound")
    count, parts = -(-wave.size // gram.hop), []
    with torch.inference_mode():
        for start in range(0, count, _FRAMES):
            first = max(0, start - _CONTEXT)
            part = torch.from_numpy(wave[first * gram.hop : (start + _FRAMES + _CONTEXT) * gram.hop])
            parts.append(gram(part[None])[0, start - first :][: min(_FRAMES, count - start)].numpy())
    frames = np.concatenate(parts)
    # A window is a whole number of hops and centred on a multiple of one, so the power of hops gives that of windows.
    hops = gram.n_fft // gram.hop
    padded = np.pad(wave, (gram.n_fft // 2, gram.n_fft))[: (count + hops) * gram.hop].reshape(-1, gram.hop)
    power = np.einsum("th,th->t", padded, padded, dtype=np.float64) / gram.hop
    power = np.convolve(power, np.ones(hops) / hops, mode="valid")[:count]
    return Chroma(frames, (10 * np.log10(np.maximum(power, _LEAST))).astype(np.float32))


def chroma_similarity(
    tune: Audio | Chroma, music: Audio | Chroma, one_hot: bool = True, silence_db: float | None = SILENCE_DB
) -> float:
    """Mean cosine of the frames that both have, 0 to 1: 1 for the tune itself, about 1/12 for unrelated one-hot ones.

    Args:
        one_hot: Compare the strongest class of each frame (the default: it is what melody models are given, and chance
            scores little); else all twelve values, where chance scores 0.4 and more.
        silence_db: Leave out frames of the tune that are softer. A rest has no pitch, and the one-hot form would call
            it C. None counts every frame, as MusicGen's authors do; their tunes are music without rests.

    A frame in which the music is silent and the tune is not counts 0. Raises UserError where the tune is only rests.
    """
    tune, music = (sound if isinstance(sound, Chroma) else measure_chroma(sound) for sound in (tune, music))
    count = min(len(tune.frames), len(music.frames))
    asked = is_heard(tune, silence_db)[:count]
    if not asked.any():
        raise UserError(f"the tune is silent (below {silence_db} dB) for all of {count} frames: nothing to compare")
    first, second = (c.strongest if one_hot else c.frames for c in (tune, music))
    first, second = first[:count][asked], second[:count][asked]
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(axis=1) / np.maximum(lengths, 1e-12)
    return float(cosines.mean())


def is_heard(chroma: Chroma, silence_db: float | None) -> Bool[np.ndarray, "T"]:
    """Which frames are no rests; all, where `silence_db` is None."""
    heard: np.ndarray = chroma.level_db >= (-math.inf if silence_db is None else silence_db)
    return heard


@lru_cache(maxsize=1)
def _chromagram() -> Chromagram:
    return Chromagram().eval()
