"""Small measured sets whose figures are known: random vectors around a place, a genre, and words that fit or do not."""

import hashlib

import numpy as np

from cadenza.audio import Audio
from cadenza.evaluate.clips import Asked, Refused
from cadenza.evaluate.embedders.base import Identity
from cadenza.evaluate.key import Key
from cadenza.evaluate.measurements import Embeddings, Heard, Joint, Labels, MeasuredClip, Measurements
from cadenza.evaluate.tempo import Tempo

DIM, WINDOWS = 4, 8
GENRES = ("waltz", "techno", "blues")


def identity(name: str = "mel", weights: str = "ab" * 32) -> Identity:
    return Identity(name, weights, {"sample_rate": 16000}, "a test")


def measured_set(
    name: str, count: int = 12, place: float = 0.0, fit: float = 1.0, seed: int = 0, weights: str = "ab" * 32
) -> Measurements:
    """`count` clips of as many pieces around `place`; their text vectors fit as well as `fit` says."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, WINDOWS, DIM)) + random.normal(size=(count, 1, DIM)) * 0.3 + place
    clips, text, audio, labels = [], [], [], []
    for number in range(count):
        genre = GENRES[number % len(GENRES)]
        asked = Asked(f"a {genre}, number {number}", 100.0 + number, "D minor", ("piano",), genre, 10.0)
        right = number < round(fit * count)
        tempo = Tempo(asked.tempo_bpm if right else 61.0, 0.9)
        heard = Heard(
            10.0, 32000, 1, -14.0 - number / 10, -1.0, 0.01, 0.0, tempo, Key(2, "minor") if right else None,
            {"piano": 0.9}, ("piano",), {genre: 0.8}, repetition=number / count,
        )  # fmt: skip
        sound = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
        pitches = np.zeros(70, np.uint8)
        number_name = f"{number:03d}"
        clips.append(MeasuredClip(number_name, number_name, asked, heard, sound, {"seed": number}, pitches))
        direction = random.normal(size=DIM)
        text.append(direction / np.linalg.norm(direction))
        noise = random.normal(size=DIM)
        mixed = fit * text[-1] + (1 - fit) * noise / np.linalg.norm(noise)
        audio.append(mixed / np.linalg.norm(mixed))
        share = np.full((1, len(GENRES)), 0.1)
        share[0, (number if right else number + 1) % len(GENRES)] = 0.8
        labels.append(share.astype(np.float32))
    return Measurements(
        name,
        tuple(clips),
        {"mel": Embeddings(identity(weights=weights), tuple(v.astype(np.float32) for v in vectors))},
        {"mel": Labels(identity(weights=weights), GENRES, tuple(labels))},
        {"mel": Joint(identity(weights=weights), np.float32(audio), np.float32(text))},
        (Refused("x.wav", "silent"),),
        {"loudness_lufs": -14.0},
    )


def tone(hertz: float, seconds: float = 2.0, seed: int = 0, rate: int = 16000) -> Audio:
    """A tone in a little noise."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=time.size) * 0.01
    return Audio(np.float32(0.2 * np.sin(2 * np.pi * hertz * time) + noise)[None], rate)
