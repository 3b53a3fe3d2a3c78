"""Sounds that are no music, made from nothing: noises, talk, and a voice that sings.

In: a kind and a seed. Out: `Audio`, 16 kHz mono. Nobody's recording is needed to measure `cadenza data filter`, and so
its figures hold for these sounds and no further. The voice is a row of pulses (or hiss) through resonances at the
formants of vowels (Peterson & Barney 1952; Klatt 1980), four syllables a second, a falling tune, and pauses.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cadenza.audio import Audio

RATE = 16000
SECONDS = 10.0
Samples = NDArray[np.float64]

VOWELS = {  # formants in hertz, men's
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
    "ae": (660, 1720, 2410),
    "er": (490, 1350, 1690),
}
_BANDWIDTHS_HZ = (80.0, 100.0, 140.0)


def make(kind: str, seed: int, seconds: float = SECONDS) -> Audio:
    """The sound of `kind`, a name in `NOISES` or `VOICES`, at -20 dB RMS unless it is silence."""
    rng = np.random.default_rng([seed, *kind.encode()])
    samples = {**NOISES, **VOICES}[kind](rng, round(seconds * RATE))
    level = float(np.sqrt(np.square(samples).mean()))
    if level > 1e-6:
        samples = samples * (0.1 / level)
    return Audio(np.clip(samples, -1, 1).astype(np.float32), RATE)


# --------------------------------------------------------------------------------------------------------------- noise


def coloured(rng: np.random.Generator, size: int, slope_db: float, low_hz: float = 20.0) -> Samples:
    """Noise whose power changes by `slope_db` per octave: 0 white, -3 pink, -6 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequencies = np.maximum(np.fft.rfftfreq(size, 1 / RATE), low_hz)
    return np.fft.irfft(spectrum * (frequencies / 1000) ** (slope_db / 6.02), size)


def swell(rng: np.random.Generator, size: int, rate_hz: float, depth: float) -> Samples:
    """A level that wanders slowly between `1 - depth` and 1."""
    points = rng.random(max(4, int(size / RATE * rate_hz) + 2))
    return 1 - depth * np.interp(np.linspace(0, len(points) - 1, size), np.arange(len(points)), points)


def _rain(rng: np.random.Generator, size: int) -> Samples:
    """Hiss, and drops: 300 to 900 a second, short, each of its own pitch."""
    drops = np.zeros(size)
    for _ in range(int(rng.uniform(300, 900) * size / RATE)):
        length = int(rng.uniform(0.001, 0.008) * RATE)
        start = int(rng.integers(0, size - length))
        time = np.arange(length) / RATE
        ring = np.sin(2 * np.pi * rng.uniform(1000, 7000) * time) * np.exp(-time * rng.uniform(400, 2000))
        drops[start : start + length] += ring * rng.exponential()
    return drops / drops.std() + 0.7 * coloured(rng, size, rng.uniform(-3, 0))


def _wind(rng: np.random.Generator, size: int) -> Samples:
    low = coloured(rng, size, -7) * swell(rng, size, rng.uniform(0.3, 1.5), 0.8)
    return low / low.std() + 0.2 * coloured(rng, size, -3) * swell(rng, size, 1.0, 0.9)


def _applause(rng: np.random.Generator, size: int) -> Samples:
    claps = np.zeros(size)
    for _ in range(int(rng.uniform(20, 200) * size / RATE)):
        length = int(rng.uniform(0.004, 0.02) * RATE)
        start = int(rng.integers(0, size - length))
        claps[start : start + length] += (
            rng.standard_normal(length) * np.linspace(1, 0, length) ** 2 * rng.exponential()
        )
    return claps


def _crackle(rng: np.random.Generator, size: int) -> Samples:
    clicks = rng.standard_normal(size) * (rng.random(size) < rng.uniform(0.0005, 0.005))
    return np.convolve(clicks, np.exp(-np.arange(40) / 6.0), mode="same") + 0.01 * coloured(rng, size, -3)


def _mains(rng: np.random.Generator, size: int) -> Samples:
    """A hum of 50 or 60 Hz with its odd partials, under hiss."""
    time, base = np.arange(size) / RATE, float(rng.choice([50.0, 60.0]))
    hum = sum(np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6)) / k for k in (1, 2, 3, 5, 7, 9, 11))
    return np.asarray(hum) + rng.uniform(0.05, 0.5) * coloured(rng, size, -3)


def _traffic(rng: np.random.Generator, size: int) -> Samples:
    passing = sum(
        coloured(rng, size, rng.uniform(-6, -2))
        * np.exp(-0.5 * ((np.arange(size) / RATE - rng.uniform(0, size / RATE)) / rng.uniform(0.5, 2)) ** 2)
        for _ in range(int(rng.integers(2, 6)))
    )
    return np.asarray(passing) + 0.3 * coloured(rng, size, -5)


NOISES: dict[str, Callable[[np.random.Generator, int], Samples]] = {
    "white": lambda rng, size: coloured(rng, size, 0),
    "pink": lambda rng, size: coloured(rng, size, -3),
    "brown": lambda rng, size: coloured(rng, size, -6),
    "rain": _rain,
    "wind": _wind,
    "applause": _applause,
    "crackle": _crackle,
    "mains hum": _mains,
    "traffic": _traffic,
}


# -------------------------------------------------------------------------------------------------------------- voices


def resonate(source: Samples, formants: tuple[float, ...]) -> Samples:
    """Through one resonance per formant, one after another (Klatt's cascade)."""
    frequencies = np.fft.rfftfreq(len(source), 1 / RATE)
    z = np.exp(-2j * np.pi * frequencies / RATE)
    spectrum = np.fft.rfft(source)
    for centre, width in zip(formants, _BANDWIDTHS_HZ, strict=True):
        radius = np.exp(-np.pi * width / RATE)
        b, c = 2 * radius * np.cos(2 * np.pi * centre / RATE), -(radius**2)
        spectrum = spectrum * (1 - b - c) / (1 - b * z - c * z**2)
    return np.fft.irfft(spectrum, len(source))


def pulses(pitch_hz: Samples, phase: float = 0.0) -> Samples:
    """A voice's source: one soft pulse per period (a sawtooth, about -6 dB per octave)."""
    turns = phase + np.cumsum(pitch_hz) / RATE
    return 1 - 2 * (turns % 1.0)


def talk(rng: np.random.Generator, size: int, pitch_hz: float, tract: float) -> Samples:
    """Phrases of 5 to 14 syllables, 3.3 to 5 a second, with a pause of 0.15 to 0.7 s between phrases."""
    out = np.zeros(size)
    position, rate = 0, rng.uniform(3.3, 5.0)
    while position < size:
        count = int(rng.integers(5, 15))
        for i in range(count):
            length = int(RATE / rate * rng.uniform(0.6, 1.5))
            fall = pitch_hz * (1.25 - 0.45 * i / count)
            glide = fall * np.exp(np.linspace(rng.normal(0, 0.12), rng.normal(0, 0.12), length))
            vowel = VOWELS[str(rng.choice(list(VOWELS)))]
            voiced = resonate(pulses(glide), tuple(f * tract * rng.uniform(0.93, 1.07) for f in vowel))
            shape = np.sin(np.pi * np.linspace(0, 1, length) ** rng.uniform(0.6, 1.4)) ** 0.7
            syllable = voiced / (voiced.std() + 1e-9) * shape * rng.uniform(0.5, 1.0)
            if rng.random() < 0.6:  # a consonant of hiss before it
                hiss = np.diff(rng.standard_normal(min(length, int(rng.uniform(0.03, 0.11) * RATE)) + 1))
                syllable[: len(hiss)] = 0.25 * hiss * np.hanning(len(hiss)) + syllable[: len(hiss)] * 0.2
            end = min(size, position + length)
            out[position:end] += syllable[: end - position]
            position = end
            if position >= size:
                break
        position += int(rng.uniform(0.15, 0.7) * RATE)
    return out


def sing(rng: np.random.Generator, size: int) -> Samples:
    """Held tones of a scale with vibrato, a vowel each, drawn into each other."""
    pitch, pieces, total = float(rng.uniform(130, 350)), [], 0
    while total < size:
        length = int(rng.choice([0.4, 0.6, 0.8, 1.2]) * RATE)
        step = pitch * 2 ** (float(rng.choice([-5, -3, 0, 2, 4, 5, 7, 9])) / 12)
        time = np.arange(length) / RATE
        bend = 2 ** ((0.4 * np.minimum(time / 0.25, 1) * np.sin(2 * np.pi * rng.uniform(5, 6.5) * time)) / 12)
        tone = resonate(pulses(step * bend), tuple(1.1 * f for f in VOWELS[str(rng.choice(["a", "e", "i", "o", "u"]))]))
        pieces.append(tone / tone.std() * np.minimum(1, np.minimum(time, time[::-1]) / 0.05))
        total += length
    return np.concatenate(pieces)[:size]


def room(rng: np.random.Generator, dry: Samples, seconds: float = 0.5) -> Samples:
    """The same in a room whose sound dies away by 60 dB in `seconds`."""
    tail = rng.standard_normal(int(seconds * RATE)) * np.exp(-6.9 * np.arange(int(seconds * RATE)) / (seconds * RATE))
    size = len(dry) + len(tail)
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(tail, size), size)[: len(dry)]
    return dry / dry.std() + 0.5 * wet / wet.std()


def _noisy(rng: np.random.Generator, size: int) -> Samples:
    voice, noise = talk(rng, size, rng.uniform(90, 220), 1.05), coloured(rng, size, -3)
    return voice / voice.std() + 0.3 * noise / noise.std()  # 10 dB


VOICES: dict[str, Callable[[np.random.Generator, int], Samples]] = {
    "man": lambda rng, size: talk(rng, size, rng.uniform(85, 140), 1.0),
    "woman": lambda rng, size: talk(rng, size, rng.uniform(165, 250), 1.15),
    "child": lambda rng, size: talk(rng, size, rng.uniform(250, 350), 1.35),
    "in a room": lambda rng, size: room(rng, talk(rng, size, rng.uniform(90, 220), 1.05)),
    "in noise": _noisy,
    "two voices": lambda rng, size: talk(rng, size, 110, 1.0) + talk(rng, size, 200, 1.15),
}
