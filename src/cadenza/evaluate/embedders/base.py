"""What the evaluator asks of a network that hears: vectors, probabilities of labels, or one space with text.

In: `Audio` of any rate, level and number of channels. Out: arrays, one row per window of the clip. Every network says
exactly which it is (`Identity`): a figure without its embedder, weights and window rule cannot be compared with another
(MusicGen-medium scores 0.129 or 0.312 under two checkpoints of CLAP).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from cadenza.audio import Audio
from cadenza.errors import UserError

Setting = str | int | float | bool


@dataclass(frozen=True)
class Identity:
    """Which network it is, so exactly that two equal identities give equal vectors for equal sound.

    Args:
        name: what the registry calls it: "vggish".
        weights: SHA-256 of its weights, hexadecimal.
        settings: sample rate, window rule, layer and whatever else changes what comes out.
        source: the paper, and the public origin of the weights; where a copy came from changes nothing.
    """

    name: str
    weights: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    def __hash__(self) -> int:
        return hash((self.name, self.weights))

    @property
    def digest(self) -> str:
        """SHA-256 over name, weights and settings: the key under which results are cached."""
        known = {"name": self.name, "weights": self.weights, "settings": dict(self.settings)}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """As it stands in reports and measurements: JSON, settings in alphabetical order."""
        settings = dict(sorted(self.settings.items()))
        return {"name": self.name, "weights": self.weights, "settings": settings, "source": self.source}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Identity":
        """The inverse of `record`. Raises UserError for anything else."""
        try:
            return cls(str(record["name"]), str(record["weights"]), dict(record["settings"]), str(record["source"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{record!r:.80} does not say which embedder it is ({error}): measure again") from error


@runtime_checkable
class Embedder(Protocol):
    """Hears a clip in windows: one vector for each."""

    @property
    def identity(self) -> Identity: ...

    @property
    def dim(self) -> int:
        """D, the length of a vector."""

    @property
    def least_seconds(self) -> float:
        """The shortest clip that it can hear."""

    def embed(self, audio: Audio) -> Float32[np.ndarray, "W D"]:
        """At least one window. Mixes down and resamples by itself; UserError for a clip that is too short."""


@runtime_checkable
class Labeller(Protocol):
    """Tells what sounds: a probability per label, softmax or sigmoid as its paper says."""

    @property
    def identity(self) -> Identity: ...

    @property
    def labels(self) -> tuple[str, ...]:
        """L names, in the order of the columns."""

    @property
    def least_seconds(self) -> float:
        """The shortest clip that it can hear."""

    def probabilities(self, audio: Audio) -> Float32[np.ndarray, "P L"]:
        """One row per piece (window) of the clip, at least one. UserError for a clip that is too short."""


@runtime_checkable
class JointEmbedder(Protocol):
    """Sound and sentences in one space: vectors of unit length, whose product is their cosine."""

    @property
    def identity(self) -> Identity: ...

    @property
    def dim(self) -> int:
        """D, the length of a vector."""

    @property
    def least_seconds(self) -> float:
        """The shortest clip that it can hear."""

    def embed_audio(self, audio: Audio) -> Float32[np.ndarray, "D"]:
        """One vector for the whole clip. UserError for a clip that is too short."""

    def embed_text(self, texts: Sequence[str]) -> Float32[np.ndarray, "N D"]:
        """One vector per sentence."""


def mono_wave(audio: Audio, sample_rate: int, least_seconds: float, name: str) -> Float32[np.ndarray, "N"]:
    """The mean of all channels at another rate. UserError for a clip shorter than `least_seconds`; silence is heard."""
    if audio.num_samples == 0 or audio.duration_seconds < least_seconds:
        raise UserError(
            f"the clip lasts {audio.duration_seconds:.3g} s: {name} hears {least_seconds:g} s or more, leave it out"
        )
    return audio.with_channels(1).resample(sample_rate).samples[0]


def consecutive(wave: Float32[np.ndarray, "N"], window: int, least: int) -> list[Float32[np.ndarray, "n"]]:
    """A wave in pieces of `window` samples. What is left at the end is a piece of its own if it has `least` samples."""
    pieces = [wave[start : start + window] for start in range(0, len(wave), window)]
    return [piece for piece in pieces if len(piece) >= least]
