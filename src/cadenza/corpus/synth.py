"""Electronic instruments in NumPy: notes in, mono float32 audio out.

Sustained voices read band-limited wavetables, one per brightness, and sweep between them: a filter whose cutoff moves,
at the price of a table look-up. Drums are one-shots, made once.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cadenza.corpus.instruments import INSTRUMENTS
from cadenza.corpus.score import Score

Samples = NDArray[np.float32]
SAMPLE_RATE = 32_000
_TABLE_SIZE = 2048
_NUM_CUTOFFS = 16


@lru_cache(maxsize=512)
def _wavetables(num_harmonics: int, shape: str, resonance: float) -> Samples:
    """[cutoffs, table + 1] one period at each cutoff, from dull (2 harmonics) to bright (all of them)."""
    harmonics = np.arange(1, num_harmonics + 1)
    amplitudes = 1.0 / harmonics
    if shape == "square":
        amplitudes = np.where(harmonics % 2 == 1, amplitudes, 0.0)
    phase = 2 * np.pi * np.arange(_TABLE_SIZE + 1) / _TABLE_SIZE
    sines = np.sin(np.outer(harmonics, phase))
    cutoffs = np.geomspace(1.5, max(3.0, float(num_harmonics)), _NUM_CUTOFFS)
    ratio = harmonics[None, :] / cutoffs[:, None]
    gains = 1.0 / np.sqrt(1.0 + ratio**6)
    gains = gains * (1.0 + resonance * np.exp(-(((ratio - 1.0) / 0.25) ** 2)))
    tables: Samples = ((amplitudes * gains) @ sines).astype(np.float32)
    return tables


def _oscillate(
    frequency: float, brightness: NDArray[np.float64], shape: str, resonance: float, phase: float
) -> NDArray[np.float64]:
    """One oscillator with a brightness curve in [0, 1] per sample."""
    num_harmonics = int(max(1, min(120, 0.45 * SAMPLE_RATE / frequency)))
    tables = _wavetables(num_harmonics, shape, resonance)
    position = ((phase + np.arange(len(brightness)) * (frequency / SAMPLE_RATE)) % 1.0) * _TABLE_SIZE
    column = position.astype(np.int64)
    row = np.clip(brightness, 0.0, 1.0) * (_NUM_CUTOFFS - 1.001)
    lower = row.astype(np.int64)
    blend = row - lower
    return tables[lower, column] * (1.0 - blend) + tables[lower + 1, column] * blend


def _unison(
    frequency: float, brightness: NDArray[np.float64], voices: tuple[tuple[float, float], ...]
) -> NDArray[np.float64]:
    """Detuned saws in one: pairs of detuning factor and starting phase."""
    waves = [_oscillate(frequency * detune, brightness, "saw", 0.0, phase) for detune, phase in voices]
    total: NDArray[np.float64] = np.sum(waves, axis=0)
    return total


def _envelope(
    num_samples: int, held: int, attack: float, decay: float, sustain: float, release: float
) -> NDArray[np.float64]:
    """Attack and decay in seconds towards a sustain level, then an exponential release after `held` samples."""
    time = np.arange(num_samples) / SAMPLE_RATE
    rise = np.minimum(1.0, time / max(attack, 1e-4))
    body = sustain + (1.0 - sustain) * np.exp(-np.maximum(0.0, time - attack) / max(decay, 1e-4))
    tail = np.exp(-np.maximum(0.0, time - held / SAMPLE_RATE) / max(release, 1e-4))
    fade = np.minimum(1.0, (num_samples - np.arange(num_samples)) / 64.0)
    return rise * body * tail * fade


def _frequency(pitch: int) -> float:
    return float(440.0 * 2 ** ((pitch - 69) / 12))


_RELEASE = {"lead": 0.12, "pad": 0.5, "bass": 0.05, "acid": 0.04, "pluck": 0.2}


@lru_cache(maxsize=1024)
def _tone(voice: str, pitch: int, held: int, bright: int) -> Samples:
    """One note of a voice; equal notes are made once."""
    tail = int(_RELEASE[voice] * 3 * SAMPLE_RATE)
    count = held + tail
    time = np.arange(count) / SAMPLE_RATE
    base = _frequency(pitch)
    if voice == "lead":
        envelope = _envelope(count, held, 0.01, 0.4, 0.75, 0.12)
        sweep = 0.78 + 0.15 * np.exp(-time / 0.15)
        wave = 0.5 * _unison(base, sweep, ((0.994, 0.1), (1.0, 0.45), (1.006, 0.8)))
    elif voice == "pad":
        envelope = _envelope(count, held, 0.25, 1.0, 0.9, 0.5)
        sweep = 0.38 + 0.1 * np.sin(2 * np.pi * 0.18 * time + pitch)
        wave = 0.55 * _unison(base, sweep, ((0.996, 0.0), (1.0, 0.37), (1.0045, 0.71)))
    elif voice == "bass":
        envelope = _envelope(count, held, 0.004, 0.25, 0.7, 0.05)
        sweep = 0.28 + 0.3 * np.exp(-time / 0.12)
        wave = _oscillate(base, sweep, "saw", 0.3, 0.0) + 0.6 * np.sin(2 * np.pi * base * time)
    elif voice == "acid":
        envelope = _envelope(count, held, 0.003, 0.3, 0.6, 0.04)
        sweep = 0.2 + (0.25 + 0.12 * bright) * np.exp(-time / 0.13)
        wave = _oscillate(base, sweep, "saw", 3.5, 0.0)
    else:
        envelope = _envelope(count, held, 0.002, 0.16, 0.0, 0.2)
        sweep = 0.25 + 0.55 * np.exp(-time / 0.07)
        wave = _oscillate(base, sweep, "saw", 0.6, 0.0) + 0.5 * _oscillate(base * 1.004, sweep, "square", 0.0, 0.3)
    return (wave * envelope).astype(np.float32)


@lru_cache(maxsize=64)
def _drum(key: int) -> Samples:
    """One-shots of an analogue drum machine, by General MIDI drum key."""
    noise = np.random.default_rng([808, key]).standard_normal(SAMPLE_RATE)
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    bright = np.diff(noise, n=2, prepend=[0.0, 0.0]) * 0.35
    if key in (35, 36):
        phase = 2 * np.pi * np.cumsum(48.0 + 130.0 * np.exp(-time / 0.028)) / SAMPLE_RATE
        sound = np.sin(phase) * np.exp(-time / 0.16) + 0.25 * bright * np.exp(-time / 0.004)
        length = 0.6
    elif key in (38, 40):
        tone = np.sin(2 * np.pi * 185 * time) + 0.6 * np.sin(2 * np.pi * 330 * time)
        sound = 0.5 * tone * np.exp(-time / 0.07) + 0.35 * np.diff(noise, prepend=0.0) * np.exp(-time / 0.1)
        length = 0.4
    elif key == 39:
        bursts = sum(np.exp(-np.maximum(0.0, time - d) / 0.012) * (time >= d) for d in (0.0, 0.011, 0.023))
        sound = 0.3 * np.diff(noise, prepend=0.0) * (bursts + 0.6 * np.exp(-time / 0.09))
        length = 0.35
    elif key in (42, 44, 70, 54):
        sound = 0.6 * bright * np.exp(-time / (0.028 if key != 54 else 0.05))
        length = 0.15
    elif key in (46, 49, 51):
        loudness, decay, length = {46: (0.45, 0.13, 0.4), 49: (0.35, 0.3, 1.0), 51: (0.3, 0.18, 0.6)}[key]
        sound = loudness * bright * np.exp(-time / decay)
    elif key == 37:
        sound = (np.sin(2 * np.pi * 1700 * time) + np.sin(2 * np.pi * 820 * time)) * 0.5 * np.exp(-time / 0.014)
        length = 0.1
    else:
        pitch = {45: 95.0, 47: 120.0, 50: 160.0, 63: 260.0, 64: 190.0}.get(key, 560.0)
        sound = 0.8 * np.sin(2 * np.pi * pitch * (time + 0.012 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.13)
        length = 0.5
    count = int(length * SAMPLE_RATE)
    fade = np.minimum(1.0, (count - np.arange(count)) / 320.0)
    return (sound[:count] * fade).astype(np.float32)


_MIX = {"lead": 0.16, "pad": 0.11, "bass": 0.27, "acid": 0.24, "pluck": 0.2, "machine": 0.55}
_DUCKED = ("pad", "bass", "pluck")


def synthesize(score: Score, num_samples: int) -> Samples:
    """The score's electronic parts, mixed; pads and basses duck under the kick drum when a drum machine plays.

    Returns:
        [N] mono at 32 kHz, not normalised (one part peaks near 0.3 to 0.6).
    """
    mix = np.zeros(num_samples, np.float32)
    ducked = np.zeros(num_samples, np.float32)
    scale = score.seconds_per_quarter
    kicks: list[float] = []
    for part in score.parts:
        voice = INSTRUMENTS[part.instrument].sound
        if not isinstance(voice, str) or voice.startswith("kit"):
            continue
        fader = _MIX[voice] * part.level**2 * 10 ** (INSTRUMENTS[part.instrument].trim_db / 20)
        target = ducked if voice in _DUCKED else mix
        for note in part.notes:
            start = int(note.start * scale * SAMPLE_RATE)
            gain = fader * (note.velocity / 100.0) ** 1.5
            if voice == "machine":
                sound = _drum(note.pitch)
                if note.pitch == 36 and note.velocity > 70:
                    kicks.append(note.start * scale)
            else:
                # Durations are rounded to 10 ms, so that repeated notes share one rendering.
                held = max(1, round(note.duration * scale * 100)) * SAMPLE_RATE // 100
                sound = _tone(voice, note.pitch, held, int(note.velocity > 90) if voice == "acid" else 0)
            end = min(num_samples, start + len(sound))
            if end > start:
                target[start:end] += np.float32(gain) * sound[: end - start]
    return mix + ducked * _sidechain(kicks, num_samples)


def _sidechain(kicks: list[float], num_samples: int, depth: float = 0.6, recovery_seconds: float = 0.11) -> Samples:
    """Gain that drops at each kick and comes back exponentially."""
    gain = np.ones(num_samples, np.float32)
    length = int(recovery_seconds * 4 * SAMPLE_RATE)
    dip = 1.0 - depth * np.exp(-np.arange(length) / (recovery_seconds * SAMPLE_RATE)) * np.minimum(
        1, np.arange(length) / 160
    )
    for kick in kicks:
        start = int(kick * SAMPLE_RATE)
        end = min(num_samples, start + length)
        if end > start:
            gain[start:end] = np.minimum(gain[start:end], dip[: end - start])
    return gain
