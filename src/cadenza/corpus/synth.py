"""Electronic instruments in NumPy: notes in, mono float32 audio out.

Sustained voices read band-limited wavetables, one per brightness, and sweep between them: a filter whose cutoff moves,
at the price of a table look-up. Drums are one-shots, made once.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cadenza.corpus.instruments import Patch
from cadenza.corpus.score import Note, Part, Score

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
    frequency: float,
    time: NDArray[np.float64],
    brightness: NDArray[np.float64],
    shape: str = "saw",
    resonance: float = 0.0,
    phase: float = 0.0,
) -> NDArray[np.float64]:
    """One oscillator with a brightness curve in [0, 1] per sample; `time` in seconds, bent where the pitch is."""
    # A note that glides down from an octave above must not alias on its way.
    steepest = max(1.0, float((time[1:101] - time[:100]).max()) * SAMPLE_RATE) if len(time) > 100 else 1.0
    num_harmonics = int(max(1, min(120, 0.45 * SAMPLE_RATE / (frequency * round(steepest, 2)))))
    tables = _wavetables(num_harmonics, shape, resonance)
    position = ((phase + time * frequency) % 1.0) * _TABLE_SIZE
    column = position.astype(np.int64)
    row = np.clip(brightness, 0.0, 1.0) * (_NUM_CUTOFFS - 1.001)
    lower = row.astype(np.int64)
    blend = row - lower
    return tables[lower, column] * (1.0 - blend) + tables[lower + 1, column] * blend


def _unison(
    frequency: float,
    time: NDArray[np.float64],
    brightness: NDArray[np.float64],
    voices: tuple[tuple[float, float], ...],
) -> NDArray[np.float64]:
    """Detuned saws in one: pairs of detuning factor and starting phase."""
    waves = [_oscillate(frequency * detune, time, brightness, phase=phase) for detune, phase in voices]
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


_RELEASE = {
    "lead": 0.12, "square lead": 0.1, "pad": 0.5, "warm pad": 0.9, "bass": 0.05, "sub bass": 0.06, "acid": 0.04,
    "pluck": 0.2, "bell pluck": 0.3,
}  # fmt: skip
_GLIDE_SECONDS = 0.06


def _bent(count: int, slide: int, vibrato: bool) -> NDArray[np.float64]:
    """Time in seconds as a note's oscillators feel it: it runs faster while the pitch is higher."""
    time = np.arange(count) / SAMPLE_RATE
    if not slide and not vibrato:
        return time
    semitones = -slide * np.exp(-time / (_GLIDE_SECONDS / 3))
    if vibrato:
        semitones = semitones + 0.22 * np.clip((time - 0.3) / 0.4, 0.0, 1.0) * np.sin(2 * np.pi * 5.3 * time)
    found: NDArray[np.float64] = np.cumsum(2 ** (semitones / 12)) / SAMPLE_RATE
    return found


@lru_cache(maxsize=1024)
def _tone(voice: str, pitch: int, held: int, bright: int, colour: int = 0, slide: int = 0) -> Samples:
    """One note of a voice; equal notes are made once.

    Args:
        bright: 1 for a hard note of the acid bass.
        colour: -1 (duller), 0 or 1 (brighter).
        slide: semitones by which the note is above the one that it glides from.
    """
    tail = int(_RELEASE[voice] * 3 * SAMPLE_RATE)
    count = held + tail
    time = np.arange(count) / SAMPLE_RATE
    base = _frequency(pitch)
    lead = voice.endswith("lead")
    bent = _bent(count, slide, lead and held > SAMPLE_RATE // 2)
    shade = 0.06 * colour
    if voice == "lead":
        envelope = _envelope(count, held, 0.01, 0.4, 0.75, 0.12)
        sweep = 0.78 + shade + 0.15 * np.exp(-time / 0.15)
        wave = 0.5 * _unison(base, bent, sweep, ((0.994, 0.1), (1.0, 0.45), (1.006, 0.8)))
    elif voice == "square lead":
        envelope = _envelope(count, held, 0.006, 0.3, 0.7, 0.1)
        sweep = 0.66 + shade + 0.2 * np.exp(-time / 0.2)
        wave = 0.5 * _oscillate(base, bent, sweep, "square") + 0.4 * _oscillate(base * 1.005, bent, sweep, phase=0.4)
    elif voice == "pad":
        envelope = _envelope(count, held, 0.25, 1.0, 0.9, 0.5)
        sweep = 0.38 + shade + 0.1 * np.sin(2 * np.pi * 0.18 * time + pitch)
        wave = 0.55 * _unison(base, bent, sweep, ((0.996, 0.0), (1.0, 0.37), (1.0045, 0.71)))
    elif voice == "warm pad":
        envelope = _envelope(count, held, 0.4, 1.5, 0.9, 0.9)
        sweep = 0.27 + shade + 0.07 * np.sin(2 * np.pi * 0.11 * time + pitch)
        pair = ((0.9965, 0.2), (1.0035, 0.6))
        wave = 0.6 * _unison(base, bent, sweep, pair) + 0.3 * _oscillate(base / 2, bent, sweep, "square", phase=0.1)
    elif voice == "bass":
        envelope = _envelope(count, held, 0.004, 0.25, 0.7, 0.05)
        sweep = 0.28 + shade + 0.3 * np.exp(-time / 0.12)
        wave = _oscillate(base, bent, sweep, resonance=0.3) + 0.6 * np.sin(2 * np.pi * base * bent)
    elif voice == "sub bass":
        envelope = _envelope(count, held, 0.006, 0.4, 0.8, 0.06)
        sweep = 0.22 + shade + 0.2 * np.exp(-time / 0.09)
        wave = 0.55 * _oscillate(base, bent, sweep, "square") + 1.0 * np.sin(2 * np.pi * base * bent)
    elif voice == "acid":
        envelope = _envelope(count, held, 0.003, 0.3, 0.6, 0.04)
        sweep = 0.2 + shade / 2 + (0.25 + 0.12 * bright) * np.exp(-time / 0.13)
        wave = _oscillate(base, bent, sweep, resonance=3.5)
    elif voice == "bell pluck":
        # Two-operator frequency modulation: the modulator dies first, so that a bright stroke rings on as a sine.
        envelope = _envelope(count, held, 0.002, 0.22, 0.0, 0.3)
        depth = (1.6 + 0.5 * colour) * np.exp(-time / 0.09)
        wave = 0.9 * np.sin(2 * np.pi * base * bent + depth * np.sin(4 * np.pi * base * bent))
    else:
        envelope = _envelope(count, held, 0.002, 0.16, 0.0, 0.2)
        sweep = 0.25 + shade + 0.55 * np.exp(-time / 0.07)
        wave = _oscillate(base, bent, sweep, resonance=0.6)
        wave = wave + 0.5 * _oscillate(base * 1.004, bent, sweep, "square", phase=0.3)
    return (wave * envelope).astype(np.float32)


@lru_cache(maxsize=128)
def _drum(key: int, colour: int = 0) -> Samples:
    """One-shots of an analogue drum machine, by General MIDI drum key.

    Args:
        colour: which machine: -1 has a longer, deeper bass drum, 1 a short and hard one.
    """
    noise = np.random.default_rng([808, key]).standard_normal(SAMPLE_RATE)
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    bright = np.diff(noise, n=2, prepend=[0.0, 0.0]) * 0.35
    if key in (35, 36):
        base, sweep, decay, click, length = {
            -1: (44.0, 90.0, 0.3, 0.12, 0.95), 0: (48.0, 130.0, 0.16, 0.25, 0.6), 1: (54.0, 190.0, 0.11, 0.4, 0.45)
        }[colour]  # fmt: skip
        phase = 2 * np.pi * np.cumsum(base + sweep * np.exp(-time / 0.028)) / SAMPLE_RATE
        sound = np.sin(phase) * np.exp(-time / decay) + click * bright * np.exp(-time / 0.004)
    elif key in (38, 40):
        tune = 1.0 + 0.12 * colour
        tone = np.sin(2 * np.pi * 185 * tune * time) + 0.6 * np.sin(2 * np.pi * 330 * tune * time)
        rattle = np.diff(noise, prepend=0.0) * np.exp(-time / (0.1 - 0.03 * colour))
        sound = 0.5 * tone * np.exp(-time / 0.07) + 0.35 * rattle
        length = 0.4
    elif key == 39:
        bursts = sum(np.exp(-np.maximum(0.0, time - d) / 0.012) * (time >= d) for d in (0.0, 0.011, 0.023))
        sound = 0.3 * np.diff(noise, prepend=0.0) * (bursts + 0.6 * np.exp(-time / 0.09))
        length = 0.35
    elif key in (42, 44, 70, 54):
        sound = 0.6 * bright * np.exp(-time / ((0.028 if key != 54 else 0.05) * (1.0 - 0.25 * colour)))
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


_MIX = {
    "lead": 0.16, "square lead": 0.16, "pad": 0.11, "warm pad": 0.12, "bass": 0.27, "sub bass": 0.27, "acid": 0.24,
    "pluck": 0.2, "bell pluck": 0.25, "machine": 0.55,
}  # fmt: skip


def synthesize(part: Part, patch: Patch, score: Score, num_samples: int) -> Samples:
    """One electronic part.

    Args:
        part: what to play.
        patch: with which of our own voices.
        score: the piece; its tempo and its seed, which draws the voice's brightness.
        num_samples: how long.

    Returns:
        [N] mono at 32 kHz, not normalised (one part peaks near 0.3 to 0.6).
    """
    voice = patch.sound
    assert isinstance(voice, str)
    rng = np.random.default_rng(np.random.SeedSequence([0x5E7, score.seed, len(part.instrument)]))
    colour, glides = int(rng.integers(-1, 2)), bool(rng.random() < 0.4)
    sound = np.zeros(num_samples, np.float32)
    scale = score.seconds_per_quarter
    fader = _MIX[voice] * part.level**2 * 10 ** (patch.trim_db / 20)
    sliding = voice == "acid" or (glides and voice.endswith(("lead", "bass")) and part.role in ("melody", "bass"))
    previous: Note | None = None
    for note in part.notes:
        start = int(note.start * scale * SAMPLE_RATE)
        gain = fader * (note.velocity / 100.0) ** 1.5
        if voice == "machine":
            tone = _drum(note.pitch, colour)
        else:
            slide = 0
            if sliding and previous is not None and note.start - previous.start > 0.02:
                # Only a note that follows at once glides, and only over an octave at most.
                near = abs(note.pitch - previous.pitch) <= 12
                slide = note.pitch - previous.pitch if near and note.start - previous.start < 0.8 else 0
            # Durations are rounded to 10 ms, so that repeated notes share one rendering.
            held = max(1, round(note.duration * scale * 100)) * SAMPLE_RATE // 100
            tone = _tone(voice, note.pitch, held, int(note.velocity > 90) if voice == "acid" else 0, colour, slide)
        end = min(num_samples, start + len(tone))
        if end > start:
            sound[start:end] += np.float32(gain) * tone[: end - start]
        previous = note
    return sound
