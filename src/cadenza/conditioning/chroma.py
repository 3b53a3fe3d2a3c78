"""Melody as a condition: a recording's chromagram, reduced to the strongest pitch class of every frame.

In: `Audio` (a hum, a whistle, an instrument, a whole recording), or a chromagram `[T, C]` computed elsewhere. Out: a
`Condition`. The reduction is the information bottleneck of MusicGen (Copet et al. 2023, section 3.2): enough to know
the tune, too little to copy the recording. Before it, drums and bass can be separated out (`stems`).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from cadenza.audio import Audio
from cadenza.checkpoint import Config
from cadenza.conditioning.base import Condition, Conditioner, Features, Opening, given_features, output_projection
from cadenza.conditioning.stems import SeparatorChoice, find_separator
from cadenza.errors import UserError
from cadenza.nn.chroma import Chromagram, strongest


class Melody(NamedTuple):
    """A recording whose melody to follow."""

    audio: Audio
    stems: SeparatorChoice | None = None
    """Whether to leave out drums and bass first; None: as the model was trained."""


class ChromaConfig(Config):
    """Pitch classes over time. The defaults are MusicGen-melody's, as its own loader sets them (trap 7)."""

    kind: Literal["chroma"] = "chroma"
    dim: int = Field(12, ge=1, description="pitch classes, E")
    projection_layers: Literal[1, 2] = Field(1, description="linear layers between the pitch classes and the model")
    sample_rate: int = Field(32000, ge=1, description="of the waveform that is analysed, Hz")
    n_fft: int = Field(16384, ge=2, description="analysis window, samples")
    hop: int = Field(4096, ge=1, description="from frame to frame, samples")
    only_strongest: bool = Field(True, description="keep only which class is strongest; False: all twelve values")
    length: int | None = Field(
        235, ge=1, description="frames of every condition: longer ones are cut, shorter repeated; None: each its own"
    )
    steps_per_second: float | None = Field(
        None,
        gt=0,
        description="give a frame per step of the model, for a condition that is summed; None: frames as they are",
    )
    quiet_db: float | None = Field(
        None,
        gt=0,
        description="frames this far below the loudest have no pitch and are zero; None: every frame has one",
    )
    tuning: Literal["a440", "recording"] = Field(
        "a440", description="which pitches the classes stand for: those of A = 440 Hz, or of the recording's own tuning"
    )
    null: Literal["first_class", "nothing"] = Field(
        "first_class", description="a melody that is missing: silence, which has class 0 (MusicGen), or zero vectors"
    )
    stems: SeparatorChoice = Field("auto", description="separate out drums and bass before the analysis")


class ChromaConditioner(Conditioner):
    """`Linear(one_hot(argmax(chroma(wave))))`, repeated to a fixed length."""

    accepts = "a recording with a melody (Audio)"
    follows_time = True

    def __init__(self, config: ChromaConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.output_projection = output_projection(config.dim, dim, config.projection_layers)
        self._chromagram: Chromagram | None = None

    @property
    def feature_dim(self) -> int:
        return self.config.dim

    @property
    def chromagram(self) -> Chromagram:
        """Made when it is first needed, on the CPU: 30 s take less than moving them."""
        if self._chromagram is None:
            config = self.config
            object.__setattr__(
                self, "_chromagram", Chromagram(config.sample_rate, config.n_fft, config.hop, config.dim)
            )
        assert self._chromagram is not None
        return self._chromagram

    @torch.no_grad()
    def prepare(self, values: Sequence[object]) -> list[Features | None]:
        """The chromagram of each recording, whole: `window` cuts what a model sees of it."""
        return [self.null() if value is None else self._features(value) for value in values]

    def _features(self, value: object) -> Features:
        if isinstance(value, Tensor):
            return given_features(value, self.config.dim, self.accepts)
        if isinstance(value, Audio):
            value = Melody(value)
        if not isinstance(value, Melody) or not isinstance(value.audio, Audio):
            kind = type(value.audio if isinstance(value, Melody) else value).__name__
            raise UserError(f"a {kind} has no melody: give {self.accepts}")
        self._check(value.audio)
        return self.analyse(self.waveform(value))

    def analyse(self, wave: Float[Tensor, "N"]) -> Float[Tensor, "T E"]:
        """The chromagram of a waveform at the condition's sample rate, reduced as configured."""
        tuning = self.chromagram.tuning_of(wave) if self.config.tuning == "recording" else 0.0
        chroma = self.chromagram(wave[None], self.config.quiet_db, tuning)[0]
        return (
            strongest(chroma, keep_silence=self.config.quiet_db is not None) if self.config.only_strongest else chroma
        )

    def _check(self, audio: Audio) -> None:
        seconds, least = audio.duration_seconds, self.config.hop / self.config.sample_rate
        if seconds < least:
            raise UserError(
                f"the melody lasts {seconds:.4f} s ({audio.num_samples} samples): give at least {least:g} s"
            )
        if not audio.with_channels(1).samples.any():
            raise UserError(f"the melody is silent for {seconds:g} s: give a recording that sounds")

    def waveform(self, melody: Melody) -> Float[Tensor, "N"]:
        """What is analysed of a recording: without drums and bass if so configured, mono, at the condition's rate."""
        audio = melody.audio
        separator = find_separator(melody.stems or self.config.stems)
        if separator is not None:
            mono = separator(torch.from_numpy(audio.samples), audio.sample_rate)
            audio = Audio(mono.numpy(), audio.sample_rate)
        return torch.from_numpy(audio.with_channels(1).resample(self.config.sample_rate).samples[0])

    def null(self) -> Features | None:
        if self.config.null == "nothing" or self.config.length is None:
            return None
        return F.one_hot(torch.zeros(self.config.length, dtype=torch.int64), self.config.dim).float()

    def window(
        self, features: Features | None, start_seconds: float, opening: Opening | None = None
    ) -> Features | None:
        """The frames that a model sees which begins `start_seconds` into the piece; a short melody is repeated."""
        if features is None:
            return None
        config, rate = self.config, self.config.sample_rate / self.config.hop
        length = config.length or features.shape[0]
        steps = torch.arange(length, dtype=torch.float64)
        if config.steps_per_second is not None:
            frames = torch.round((start_seconds + steps / config.steps_per_second) * rate)
        else:
            frames = steps + round(start_seconds * rate)
        return features[frames.long() % features.shape[0]]

    def forward(self, features: Sequence[Features | None], min_length: int = 1) -> Condition:
        if self.config.null == "first_class" and self.config.length is None:
            # A missing melody is silence of one analysis window; masked, but it takes its place in a prefix.
            min_length = max(min_length, self.chromagram.num_frames(1))
        return super().forward(features, min_length)
