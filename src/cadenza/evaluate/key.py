"""Which key the music is in: audio to tonic and mode, and how near that is to the key asked for.

The energy of the twelve pitch classes (chroma) is correlated with the profile of each of the 24 keys (Krumhansl 1990).
The profiles are those of Albrecht & Shanahan (2013), counted in scores; with the ratings of Krumhansl & Kessler's
listeners (1982), also here, 53 instead of 64 % of composed clips were named exactly. What is left is mostly what eleven
seconds do not tell: from two clips of a piece 67 instead of 59 % are right. Profiles fitted to composed music, the
bass, or how a clip begins and ends gain nothing that holds on other pieces. Errors are weighted as in the MIREX audio
key detection task: a fifth away is half right, the relative key 0.3, the parallel key 0.2.
"""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.spectra import mono, power_spectrum, semitone_peaks

Mode = Literal["major", "minor"]

PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MIREX_WEIGHTS = {"same": 1.0, "fifth": 0.5, "relative": 0.3, "parallel": 0.2, "other": 0.0}

Profiles = dict[Mode, tuple[float, ...]]
"""How much each tone belongs to a key, from the tonic upwards in semitones."""

ALBRECHT_SHANAHAN: Profiles = {
    "major": (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    "minor": (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
}
KRUMHANSL_KESSLER: Profiles = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}

_SIZE = 8192  # samples; 2.7 Hz a bin, less than a semitone from 50 Hz up
_HOP = 4096
_LOW_HZ, _HIGH_HZ = 40.0, 1000.0  # fundamentals; above, overtones of other pitch classes prevail
_WEAKEST = 0.02  # of the strongest amplitude of a frame


@dataclass(frozen=True)
class Key:
    """`tonic` 0 (C) to 11 (B) and mode; `strength` is the correlation with the profile, -1 to 1."""

    tonic: int
    mode: Mode
    strength: float = 1.0

    @property
    def name(self) -> str:
        return f"{PITCH_CLASSES[self.tonic]} {self.mode}"


def estimate_key(audio: Audio, profiles: Profiles = ALBRECHT_SHANAHAN) -> Key | None:
    """The key that fits the whole clip best; None where nothing has a pitch (silence)."""
    energy = chroma(mono(audio))
    if not energy.sum() > 0 or float(energy.std()) < 1e-9:
        return None
    ratings: list[tuple[float, int, Mode]] = [
        (float(np.corrcoef(energy, np.roll(profile, tonic))[0, 1]), tonic, mode)
        for mode, profile in profiles.items()
        for tonic in range(12)
    ]
    strength, tonic, mode = max(ratings)
    return Key(tonic, mode, strength)


def chroma(samples: Float32[np.ndarray, "N"]) -> Float64[np.ndarray, "12"]:
    """Share of each pitch class, C first, in the music at 22,050 Hz: spectral peaks only, so that drums count little.

    Every frame has the same weight whatever its level (silent ones none); peaks count by the root of their amplitude.
    """
    power = power_spectrum(samples, _SIZE, _HOP)
    frames_db = 10 * np.log10(power.sum(axis=0) + 1e-12)
    amplitude = np.sqrt(power[:, frames_db > max(float(frames_db.max()) - 50.0, -100.0)])
    pitches, frames, weights = semitone_peaks(amplitude, _LOW_HZ, _HIGH_HZ, _WEAKEST)
    by_frame = np.zeros((12, amplitude.shape[1]))
    np.add.at(by_frame, (pitches % 12, frames), weights)
    by_frame = by_frame[:, by_frame.sum(axis=0) > 0]
    if not by_frame.size:
        return np.zeros(12)
    return np.asarray((by_frame / by_frame.sum(axis=0)).mean(axis=1), dtype=np.float64)


def parse_key(text: str) -> Key:
    """A key from words such as "C minor", "f# major", "E-flat minor", "Bb". Without a mode it is major."""
    found = re.fullmatch(r"\s*([A-Ga-g])\s*-?\s*(#|b|♯|♭|sharp|flat)?\s*(major|minor)?\s*", text)
    if not found:
        raise UserError(f"key {text!r}: write it like 'C minor', 'F# major' or 'E-flat minor'")
    letter, sign, mode = found.groups()
    tonic = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[letter.upper()]
    tonic += {"#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1, None: 0}[sign]
    return Key(tonic % 12, "minor" if mode == "minor" else "major")


def relate_keys(asked: Key, measured: Key | None) -> str:
    """One of the relations in `MIREX_WEIGHTS`: the fifth may lie above or below, in the same mode."""
    if measured is None:
        return "other"
    interval = (measured.tonic - asked.tonic) % 12
    if measured.mode == asked.mode:
        return {0: "same", 7: "fifth", 5: "fifth"}.get(interval, "other")
    if interval == 0:
        return "parallel"
    return "relative" if interval == (9 if asked.mode == "major" else 3) else "other"


def mirex_score(asked: Key, measured: Key | None) -> float:
    """1 for the same key, 0.5 a fifth away, 0.3 relative, 0.2 parallel, 0 otherwise."""
    return MIREX_WEIGHTS[relate_keys(asked, measured)]
