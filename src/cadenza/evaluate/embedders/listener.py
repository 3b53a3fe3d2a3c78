"""The evaluator's own ear ("mel"): what a clip sounds like, who plays, which genre, and which words fit.

In: `Audio` of any rate, level and number of channels. Out: an embedding per window of 1.28 s (for Fréchet and kernel
distances), probabilities of instruments and genres, a vector in a space shared with sentences, and, from networks of
their own, tempo and key. It was trained on composed music that no generator here has heard (`recipes/evaluator.py`),
ships with the package and needs no network; how far it can be believed stands in the card beside its weights. No
paper's figure is measured with it.

Silence is heard as silence (level at the floor in every band), a clip shorter than a window as one followed by silence.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self
from weakref import ref

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from cadenza.audio import Audio
from cadenza.checkpoint import WEIGHTS_FILE, Pretrained, file_hash
from cadenza.errors import UserError
from cadenza.evaluate.embedders.base import Identity, Setting, mono_wave
from cadenza.evaluate.embedders.listener_key import KeyNetwork, pitch_peaks
from cadenza.evaluate.embedders.listener_network import (
    ListenerConfig,
    TextNetwork,
    WindowNetwork,
    band_levels,
    cut_windows,
    pool,
)
from cadenza.evaluate.embedders.listener_tempo import TempoNetwork, most_probable_tempo, onset_bands, tempo_curves
from cadenza.evaluate.key import Key
from cadenza.evaluate.spectra import mono
from cadenza.evaluate.tempo import Tempo

ASSETS = Path(__file__).parents[2] / "assets" / "evaluator"
LEAST_SECONDS = 0.25
_AT_ONCE = 64  # windows that go through the network together: bounds the memory that a long clip takes


@dataclass(frozen=True)
class Impression:
    """All that one hearing of a clip tells: `windows` [W, D], `instruments` and `genres` in the order of the names,
    `joint` [D] of unit length."""

    windows: np.ndarray
    instruments: np.ndarray
    genres: np.ndarray
    joint: np.ndarray


class Listener(nn.Module, Pretrained):
    """An `Embedder`, a `Labeller` over genres and a `JointEmbedder` in one; it also names the instruments.

    Windows are heard one by one; the verdict on a clip comes from the mean and the maximum over its windows. An
    instrument is a question of its own (sigmoid), a genre one of all (softmax).
    """

    config_class = ListenerConfig

    def __init__(self, config: ListenerConfig) -> None:
        super().__init__()
        self.config = config
        width = 2 * config.hidden_dim
        self.network = WindowNetwork(config)
        self.embedding = nn.Linear(width, config.dim)
        self.instruments = nn.Linear(width, len(config.instruments))
        self.genres = nn.Linear(width, len(config.genres))
        self.joint = nn.Linear(width, config.dim)
        self.text = TextNetwork(config.text_buckets, config.dim)
        self.tempos = TempoNetwork(config.tempo_width)
        self.keys = KeyNetwork(config.key_width)
        self._weights_hash: str | None = None
        self._last: tuple[ref[np.ndarray], int, Impression] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For another process: without what was heard last."""
        return {**self.__dict__, "_last": None}

    @classmethod
    def open(cls, directory: str | Path) -> Self:
        """The listener of a model directory, computing in float32."""
        listener = cls.from_pretrained(directory, dtype=torch.float32)
        listener._weights_hash = file_hash(Path(directory) / WEIGHTS_FILE)
        return listener

    @classmethod
    def embedded(cls) -> "Listener":
        """The one that ships with the package; read once."""
        return _embedded()

    @property
    def identity(self) -> Identity:
        """The hash is that of the file of weights; of a listener that came from no file, of the weights themselves."""
        config = self.config
        settings: dict[str, Setting] = {
            "sample_rate": config.sample_rate,
            "window_seconds": config.window_seconds,
            "window_rule": "as few as hold every frame, evenly spread",
            "level": "relative to the clip's mean power",
        }
        return Identity("mel", self._weights_hash or self._hash_of_weights(), settings, "ships with Cadenza")

    @property
    def dim(self) -> int:
        return self.config.dim

    @property
    def least_seconds(self) -> float:
        return LEAST_SECONDS

    @property
    def labels(self) -> tuple[str, ...]:
        """The genres."""
        return self.config.genres

    def hear(self, audio: Audio) -> Impression:
        """Everything at once; asked again for the same `audio`, it is not computed again.

        Raises UserError for a clip shorter than `least_seconds`, and in training mode.
        """
        if self._last is not None and self._last[0]() is audio.samples and self._last[1] == audio.sample_rate:
            return self._last[2]
        impression = self._hear(audio)
        self._last = ref(audio.samples), audio.sample_rate, impression
        return impression

    def embed(self, audio: Audio) -> Float32[np.ndarray, "W D"]:
        """One vector per window of 1.28 s. They tell damage (noise, missing highs, gaps) as well as music."""
        return self.hear(audio).windows

    def probabilities(self, audio: Audio) -> Float32[np.ndarray, "P L"]:
        """One row: the probability of each genre for the whole clip, which sum to 1."""
        return self.hear(audio).genres[None]

    def genre_probabilities(self, audio: Audio) -> dict[str, float]:
        """Genre to probability, most probable first."""
        return _ranked(self.config.genres, self.hear(audio).genres)

    def instrument_probabilities(self, audio: Audio) -> dict[str, float]:
        """Instrument to probability, most probable first; they do not sum to 1."""
        return _ranked(self.config.instruments, self.hear(audio).instruments)

    def heard(self, probabilities: dict[str, float]) -> list[str]:
        """The instruments above their thresholds, most probable first."""
        thresholds = dict(zip(self.config.instruments, self.config.thresholds, strict=True))
        return [name for name, value in probabilities.items() if value >= thresholds[name]]

    @torch.inference_mode()
    def tempo(self, audio: Audio) -> Tempo:
        """The felt tempo and how probable it is: like `estimate_tempo`, but which beat is felt was learnt."""
        self._check_mode()
        onsets = onset_bands(mono(audio))
        if onsets.shape[1] < 4 or float(onsets.std()) < 1e-6:
            return Tempo(None, 0.0)
        curves = torch.from_numpy(tempo_curves(onsets))[None].to(self._device)
        bpm, probability = most_probable_tempo(self.tempos(curves)[0].softmax(dim=-1).cpu().numpy())
        return Tempo(bpm, probability)

    @torch.inference_mode()
    def key(self, audio: Audio) -> Key | None:
        """The key and how probable it is (`strength`); None where nothing has a pitch, like `estimate_key`."""
        self._check_mode()
        peaks = pitch_peaks(mono(audio))
        if not peaks.any():
            return None
        probabilities = self.keys(torch.from_numpy(peaks)[None].to(self._device))[0].flatten().softmax(dim=0)
        best = int(probabilities.argmax())
        return Key(best % 12, "minor" if best >= 12 else "major", float(probabilities[best]))

    def embed_audio(self, audio: Audio) -> Float32[np.ndarray, "D"]:
        """The clip as a vector of unit length in the space of `embed_text`."""
        return self.hear(audio).joint

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Float32[np.ndarray, "N D"]:
        """Sentences as vectors of unit length. Raises UserError for none."""
        if not texts:
            raise UserError("no texts to embed: give at least one")
        self._check_mode()
        return F.normalize(self.text(texts), dim=-1).cpu().numpy()

    def levels(self, audio: Audio) -> Float32[np.ndarray, "F T"]:
        """The decibels per mel band that the network hears. UserError for a clip shorter than `least_seconds`."""
        return band_levels(mono_wave(audio, self.config.sample_rate, LEAST_SECONDS, "mel"), self.config)

    def forward(self, windows_db: Float[Tensor, "B W F T"]) -> Float[Tensor, "B W H"]:
        """What each window of each clip holds: input of `pool` and of the linear maps of this class."""
        return self.network(windows_db.flatten(0, 1)).unflatten(0, windows_db.shape[:2])

    @torch.inference_mode()
    def _hear(self, audio: Audio) -> Impression:
        self._check_mode()
        windows = torch.from_numpy(cut_windows(self.levels(audio), self.config.window_frames)).to(self._device)
        held = torch.cat([self.network(part) for part in windows.split(_AT_ONCE)])
        clip = pool(held[None])
        return Impression(
            self.embedding(held).cpu().numpy(),
            self.instruments(clip)[0].sigmoid().cpu().numpy(),
            self.genres(clip)[0].softmax(dim=-1).cpu().numpy(),
            F.normalize(self.joint(clip)[0], dim=-1).cpu().numpy(),
        )

    @property
    def _device(self) -> torch.device:
        return self.embedding.weight.device

    def _check_mode(self) -> None:
        if self.training:
            raise UserError("the listener is in training mode: call eval() first")

    def _hash_of_weights(self) -> str:
        total = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            total.update(name.encode() + tensor.cpu().numpy().tobytes())
        return total.hexdigest()


@cache
def _embedded() -> Listener:
    return Listener.open(ASSETS)


def _ranked(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return dict(sorted(zip(names, values.tolist(), strict=True), key=lambda item: -item[1]))
