"""Facts about a clip to captions, the way a listener would write them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Facts:
    """What is true of a clip; empty values are unknown or not to be told."""

    genre: str = ""
    instruments: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    tempo_bpm: float | None = None
    key: str = ""
    meter: str = ""


def caption(facts: Facts, rng: np.random.Generator, style: str = "keywords") -> str:
    """One caption in a style."""
    words = [facts.genre, *facts.instruments[:3], *facts.moods[:1]]
    if facts.tempo_bpm is not None and rng.random() < 0.5:
        words.append(f"{facts.tempo_bpm:.0f} bpm")
    return ", ".join(w for w in words if w)


def captions(facts: Facts, rng: np.random.Generator, count: int = 6) -> list[str]:
    """Several captions of one clip in different styles."""
    return [caption(facts, rng) for _ in range(count)]
