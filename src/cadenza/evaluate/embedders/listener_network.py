"""The listener's networks: levels in mel bands to vectors, and words to vectors of the same space.

In: the power of a clip in 96 mel bands, 50 frames a second, cut into windows of 1.28 s that are heard each for itself,
as in VGGish (Hershey et al. 2017). Out: what every window holds, from which `Listener` reads everything else. Nothing
here is made insensitive to damage: noise, missing highs and gaps are meant to show in the vectors.
"""

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.evaluate.spectra import mel_bank, power_spectrum

FLOOR_DB, CEILING_DB = -80.0, 22.0
"""Levels are cut here, in decibels relative to the clip's mean power."""
_SILENCE = 1e-12  # mean power below which a clip is silent: -120 dB relative to full scale


class ListenerConfig(Config):
    """What the network hears, its widths, and the names that it knows."""

    instruments: tuple[str, ...] = Field(description="names in the order of the outputs")
    thresholds: tuple[float, ...] = Field(description="probability from which an instrument counts as heard")
    genres: tuple[str, ...] = Field(description="names in the order of the outputs")
    sample_rate: int = Field(32000, gt=0, description="hertz")
    window_size: int = Field(2048, gt=0, description="samples under the Hann window of a frame")
    hop_length: int = Field(640, gt=0, description="samples between frames, 20 ms at 32 kHz")
    bands: int = Field(96, gt=0, description="mel bands, a multiple of 16")
    window_frames: int = Field(64, gt=0, description="frames that are heard at once, a multiple of 8: 1.28 s")
    widths: tuple[int, int, int, int] = Field((24, 48, 96, 160), description="channels of the convolutions")
    hidden_dim: int = Field(320, gt=0, description="channels behind them; a window is the mean and maximum of these")
    dim: int = Field(128, gt=0, description="D, of a window's embedding and of the space joint with text")
    text_buckets: int = Field(4096, gt=0, description="vectors that words and pairs of words are hashed to")
    tempo_width: int = Field(64, gt=0, description="channels of the network that tells the tempo")
    key_width: int = Field(48, gt=0, description="channels of the network that tells the key")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.thresholds) != len(self.instruments):
            raise ValueError(f"{len(self.thresholds)} thresholds for {len(self.instruments)} instruments")
        if self.bands % 16 or self.window_frames % 8:
            raise ValueError(f"bands={self.bands}, window_frames={self.window_frames}: give multiples of 16 and 8")
        return self

    @property
    def window_seconds(self) -> float:
        return self.window_frames * self.hop_length / self.sample_rate


def band_levels(samples: Float32[np.ndarray, "N"], config: ListenerConfig) -> Float32[np.ndarray, "F T"]:
    """Decibels per mel band and frame, relative to the mean power of the clip: its level drops out, nothing else.

    Silence is at the floor everywhere; so is what follows a clip that is shorter than a window.
    """
    bank = mel_bank(config.sample_rate, config.window_size, config.bands)
    power = bank @ power_spectrum(samples, config.window_size, config.hop_length)
    missing = max(0, config.window_frames - power.shape[1])
    mean = float(power.sum(axis=0).mean())
    if mean < _SILENCE:
        return np.full((config.bands, power.shape[1] + missing), FLOOR_DB, dtype=np.float32)
    levels = 10.0 * np.log10(np.maximum(power / mean, 1e-12))
    clipped = np.clip(levels, FLOOR_DB, CEILING_DB).astype(np.float32)
    return np.pad(clipped, ((0, 0), (0, missing)), constant_values=FLOOR_DB)


def cut_windows(levels: Float32[np.ndarray, "F T"], frames: int) -> Float32[np.ndarray, "W F frames"]:
    """As few windows as hold every frame, evenly spread: neighbours overlap where they must."""
    length = levels.shape[1]
    starts = np.linspace(0, length - frames, -(-length // frames)).round().astype(int)
    return np.stack([levels[:, start : start + frames] for start in starts])


class WindowNetwork(nn.Module):
    """Windows to what they hold: [W, bands, frames] decibels in, [W, 2 hidden] out (mean and maximum over time).

    Four stages of convolutions halve bands and frames (the last the bands alone); a linear map then reads all bands of
    a frame together, so that high and low stay apart.
    """

    def __init__(self, config: ListenerConfig) -> None:
        super().__init__()
        first, second, third, last = config.widths
        self.layers = nn.Sequential(
            _Convolution(1, first, 2),
            _Convolution(first, second, 2),
            _Convolution(second, second),
            _Convolution(second, third, 2),
            _Convolution(third, third),
            _Convolution(third, last, (2, 1)),
            _Convolution(last, last),
        )
        self.over_bands = nn.Conv2d(last, config.hidden_dim, (config.bands // 16, 1), bias=False)
        self.norm = nn.BatchNorm2d(config.hidden_dim)

    def forward(self, levels_db: Float[Tensor, "W F T"]) -> Float[Tensor, "W H"]:
        hidden = ((levels_db[:, None] + 35.0) / 20.0).contiguous(memory_format=torch.channels_last)
        hidden = F.relu(self.norm(self.over_bands(self.layers(hidden))))[:, :, 0]
        return torch.cat([hidden.mean(dim=-1), hidden.amax(dim=-1)], dim=-1)


class _Convolution(nn.Module):
    """3 x 3, normalised, rectified; added to its input where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int | tuple[int, int] = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.keeps_shape = inputs == outputs and stride == 1

    def forward(self, hidden: Tensor) -> Tensor:
        changed = F.relu(self.norm(self.convolution(hidden)))
        return hidden + changed if self.keeps_shape else changed


def pool(windows: Float[Tensor, "B W H"]) -> Float[Tensor, "B H"]:
    """Windows to clips: the mean of the means, the maximum of the maxima."""
    means, maxima = windows.chunk(2, dim=-1)
    return torch.cat([means.mean(dim=1), maxima.amax(dim=1)], dim=-1)


class TextNetwork(nn.Module):
    """Sentences to vectors: the sum of what their words and neighbouring pairs say, through two layers.

    Words are found by hashing, so every word has a place and no vocabulary is needed; case and punctuation drop out.
    """

    def __init__(self, buckets: int, dim: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.words = nn.EmbeddingBag(buckets, dim, mode="mean")
        self.norm = nn.LayerNorm(dim)
        self.hidden = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(2 * dim, dim)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "B D"]:
        rows = [hash_words(text, self.buckets) for text in texts]
        device = self.output.weight.device
        places = torch.from_numpy(np.concatenate(rows)).to(device)
        starts = torch.from_numpy(np.cumsum([0] + [len(row) for row in rows[:-1]])).to(device)
        return self.output(F.gelu(self.hidden(self.norm(self.words(places, starts)))))


def hash_words(text: str, buckets: int) -> Int[np.ndarray, "L"]:
    """The places of the words and of the pairs of neighbours, at least one (of a text without words)."""
    words = re.findall(r"[^\W_]+#?", text.lower()) or [""]
    pieces = words + [f"{first} {second}" for first, second in pairwise(words)]
    return np.array([zlib.crc32(piece.encode()) % buckets for piece in pieces], dtype=np.int64)
