"""Which instruments play: audio to a probability per instrument.

A small convolutional network hears the level in mel bands and is trained on composed pieces, whose instruments are
known (`benchmarks/instrument_classifier`). It names what it was taught: its vocabulary, its thresholds and its training
travel in its directory, its errors in the metrics beside it. Any audio can be scored; nothing of a generator is used.
"""

from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Float32
from pydantic import Field, model_validator
from torch import Tensor, nn

from cadenza.audio import Audio
from cadenza.checkpoint import Config, Pretrained
from cadenza.errors import UserError
from cadenza.evaluate.spectra import mel_decibels, mono

_FLOOR_DB = -80.0
_MIN_FRAMES = 32  # the network's receptive field; shorter clips are padded with silence


class InstrumentClassifierConfig(Config):
    """What the network hears, its widths, and the instruments it knows."""

    instruments: tuple[str, ...] = Field(description="names in the order of the outputs")
    thresholds: tuple[float, ...] = Field(description="probability from which an instrument counts as heard (best F1)")
    sample_rate: int = Field(22050, description="hertz")
    window_size: int = Field(2048, description="samples")
    hop_length: int = Field(512, description="samples between frames, 23 ms at 22,050 Hz")
    bands: int = Field(80, description="mel bands, a multiple of 8")
    widths: tuple[int, int, int, int] = Field((16, 24, 40, 64), description="channels of the four convolutions")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.thresholds) != len(self.instruments):
            raise ValueError(f"{len(self.thresholds)} thresholds for {len(self.instruments)} instruments")
        if self.bands % 8:
            raise ValueError(f"bands={self.bands} is no multiple of 8")
        return self


class InstrumentClassifier(nn.Module, Pretrained):
    """Three convolutions halve bands and frames, a fourth spans all bands; mean and maximum over time are classified.

    [B, bands, T] decibels in, [B, instruments] logits out; each instrument is a question of its own (no softmax).
    """

    config_class = InstrumentClassifierConfig

    def __init__(self, config: InstrumentClassifierConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third, last = config.widths
        self.layers = nn.Sequential(
            *_block(1, first, (3, 3), 2),
            *_block(first, second, (3, 3), 2),
            *_block(second, third, (3, 3), 2),
            *_block(third, last, (config.bands // 8, 3), 1, padding=(0, 1)),
        )
        self.head = nn.Linear(2 * last, len(config.instruments))

    def forward(self, levels_db: Float[Tensor, "B F T"]) -> Float[Tensor, "B I"]:
        hidden = self.layers((levels_db[:, None] - _FLOOR_DB / 2) / 20.0)[:, :, 0]
        return self.head(torch.cat([hidden.mean(dim=-1), hidden.amax(dim=-1)], dim=-1))

    def features(self, audio: Audio) -> Float32[np.ndarray, "F T"]:
        """The decibels per mel band that the network hears; level and sample rate of the clip do not matter."""
        config = self.config
        levels = mel_decibels(
            mono(audio, config.sample_rate), config.sample_rate, config.window_size, config.hop_length, config.bands
        )
        missing = max(0, _MIN_FRAMES - levels.shape[1])
        return np.pad(levels, ((0, 0), (0, missing)), constant_values=_FLOOR_DB)

    @torch.inference_mode()
    def probabilities(self, audio: Audio) -> dict[str, float]:
        """Probability of each instrument, most probable first."""
        if self.training:
            raise UserError("the classifier is in training mode: call eval() first")
        values = self(torch.from_numpy(self.features(audio))[None]).sigmoid()[0].tolist()
        found = zip(self.config.instruments, values, strict=True)
        return dict(sorted(found, key=lambda item: -item[1]))

    def heard(self, probabilities: dict[str, float]) -> list[str]:
        """The instruments above their thresholds, most probable first."""
        thresholds = dict(zip(self.config.instruments, self.config.thresholds, strict=True))
        return [name for name, value in probabilities.items() if value >= thresholds[name]]


def _block(
    inputs: int, outputs: int, kernel: tuple[int, int], stride: int, padding: tuple[int, int] = (1, 1)
) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
