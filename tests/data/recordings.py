"""Little recordings to scan: every one another tune, so that none is a copy of another by chance."""

from pathlib import Path

import numpy as np
import soundfile

from cadenza.audio import Audio


def tune(seed: int, seconds: float = 3.0, rate: int = 16000) -> Audio:
    """Notes of 0.2 s with harmonics, drawn from `seed`."""
    random = np.random.default_rng(seed)
    time = np.arange(round(0.2 * rate)) / rate
    notes = []
    for _ in range(round(seconds / 0.2)):
        pitch = 220 * 2 ** (random.integers(0, 24) / 12)
        tone = sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 5))
        notes.append(tone * np.exp(-4 * time))
    samples = np.concatenate(notes) + random.normal(0, 0.003, len(notes) * len(time))
    return Audio((0.3 * samples).astype(np.float32), rate)


def save(audio: Audio, path: Path) -> Path:
    """At its own level; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return audio.write(path, loudness_lufs=None)


def transcode(source: Path, target: Path) -> Path:
    """The very samples of a 16-bit file in another lossless format."""
    samples, rate = soundfile.read(source, dtype="int16")
    soundfile.write(target, samples, rate, subtype="PCM_16")
    return target
