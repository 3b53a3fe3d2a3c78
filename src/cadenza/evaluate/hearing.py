"""What is heard in one clip besides vectors: level, tempo, key, instruments, genre, repetition, faults and the tune.

`Audio` in, `Heard` out, and the pitch classes from which any tune can be compared with it. The ear, which knows
instruments and genres, is given; the rest is computed from the samples alone. An ear that has learnt tempo and key
tells those too: on held-out composed clips the shipped one is right in 88 instead of 76 % and 80 instead of 63 %.
"""

import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from cadenza import audio as audio_module
from cadenza import loudness
from cadenza.audio import Audio
from cadenza.evaluate import chroma, drift, key, measurements, repetition, spectra, tempo
from cadenza.evaluate.chroma import measure_chroma
from cadenza.evaluate.drift import (
    SEGMENT_SECONDS,
    SILENCE_DB,
    centroid_hz,
    clipped_share,
    gated_loudness_lufs,
    mean_power,
    silent_share,
)
from cadenza.evaluate.embedders.base import Identity
from cadenza.evaluate.key import Key, estimate_key
from cadenza.evaluate.measurements import REST, Heard
from cadenza.evaluate.repetition import levels_of, measure_repetition, stuck_seconds
from cadenza.evaluate.spectra import mono
from cadenza.evaluate.tempo import Tempo, estimate_tempo
from cadenza.nn import chroma as chromagram


@runtime_checkable
class Ear(Protocol):
    """Names instruments and genres (`evaluate.embedders.listener.Listener`)."""

    @property
    def identity(self) -> Identity: ...

    def instrument_probabilities(self, audio: Audio) -> dict[str, float]:
        """Most probable first."""

    def heard(self, probabilities: dict[str, float]) -> list[str]:
        """The instruments above their thresholds."""

    def genre_probabilities(self, audio: Audio) -> dict[str, float]:
        """Most probable first."""


@runtime_checkable
class FeltEar(Protocol):
    """An ear that has learnt which beat is felt, and what tells a key."""

    def tempo(self, audio: Audio) -> Tempo: ...

    def key(self, audio: Audio) -> Key | None: ...


def hear(audio: Audio, ear: Ear | None = None, levelled: Audio | None = None) -> Heard:
    """Everything but the tune. The ear hears `levelled`, the same clip at the loudness that embedders hear, if given.

    Raises UserError for a clip that is too short for the ear.
    """
    tempo_of_clip, key_of_clip = estimate_tempo(audio), estimate_key(audio)
    samples = mono(audio)
    levels = levels_of(audio)
    copies = measure_repetition(levels)
    count = int(audio.duration_seconds / SEGMENT_SECONDS + 1e-9)
    starts = np.arange(count if count > 1 else 0) * SEGMENT_SECONDS
    segments = [audio.slice(float(start), SEGMENT_SECONDS) for start in starts]
    found = Heard(
        duration_seconds=audio.duration_seconds,
        sample_rate=audio.sample_rate,
        channels=audio.channels,
        loudness_lufs=gated_loudness_lufs(audio),
        true_peak_db=max(audio.true_peak_db(), -200.0),
        silent_share=silent_share(samples),
        clipped_share=clipped_share(audio),
        tempo=tempo_of_clip,
        key=key_of_clip,
        computed_tempo=tempo_of_clip,
        computed_key=key_of_clip,
        repetition=copies.share,
        repetition_seconds=copies.lag_seconds,
        stuck_seconds=stuck_seconds(levels),
        loudness_segments=tuple(map(gated_loudness_lufs, segments)),
        brightness_segments=tuple(centroid_hz(mean_power(mono(segment))) for segment in segments),
    )
    return found if ear is None else name_sounds(found, ear, audio if levelled is None else levelled)


def name_sounds(heard: Heard, ear: Ear, levelled: Audio) -> Heard:
    """With the instruments and genres that the ear hears in the clip, and the tempo and key if it has learnt those."""
    instruments = ear.instrument_probabilities(levelled)
    named = tuple(ear.heard(instruments))
    heard = replace(heard, instruments=instruments, named=named, genres=ear.genre_probabilities(levelled))
    return replace(heard, tempo=ear.tempo(levelled), key=ear.key(levelled)) if isinstance(ear, FeltEar) else heard


def pitch_classes(audio: Audio) -> UInt8[np.ndarray, "T"]:
    """The strongest pitch class of each frame of 0.128 s, C is 0 (and digital silence); `REST` more below -60 dB."""
    found = measure_chroma(audio)
    return (found.frames.argmax(axis=1) + REST * (found.level_db < SILENCE_DB)).astype(np.uint8)


@cache
def version() -> str:
    """The key of cached figures: SHA-256 of the source that computes them.

    What other code computed is computed anew, without anyone having to remember.
    """
    modules: tuple[ModuleType, ...] = (
        audio_module, chroma, chromagram, drift, key, loudness, measurements, repetition, spectra, tempo
    )  # fmt: skip
    total = hashlib.sha256()
    for path in (__file__, *(module.__file__ for module in modules)):
        assert path is not None
        total.update(Path(path).read_bytes())
    return total.hexdigest()
