"""Discriminators on complex spectrograms at several resolutions, and on the magnitudes of a spectral decoder.

In: audio `[B, C, N]`, or log magnitudes `[B, F, T]` per transform. Out: for each, logits and the feature maps before
them. Défossez et al. 2022 (EnCodec), section 3.4 and figure 2; Zeghidour et al. 2021 (SoundStream), section III-D; that
patches are judged one by one is Isola et al. 2017 ("Image-to-Image Translation", section 3.2.2).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from cadenza.checkpoint import Config


class DiscriminatorConfig(Config):
    """The defaults are those of the official codecs: 472,330 parameters. Cost grows with the square of `filters`."""

    channels: int = Field(1, description="audio channels")
    windows: tuple[int, ...] = Field((1024, 2048, 512, 256, 128), description="samples, one sub-discriminator each")
    filters: int = Field(32, description="channels of every hidden layer")
    dilations: tuple[int, ...] = Field((1, 2, 4), description="in time, of the strided layers")
    frequency_stride: int = Field(1, description="of the first layer; 1 as published, 2 halves the cost")
    slope: float = Field(0.3, description="of the leaky ReLU")


class Judgement(NamedTuple):
    """Per sub-discriminator: logits `[B, 1, T, F]`, and the feature maps of its hidden layers."""

    logits: list[Tensor]
    features: list[list[Tensor]]


class SpectrogramDiscriminator(nn.Module):
    """One resolution: convolutions over (time, frequency) of a complex spectrogram, hop a quarter of the window.

    The first convolution has no weight norm, as in the official code, where it was left out by oversight.
    """

    window: Tensor

    def __init__(self, config: DiscriminatorConfig, n_fft: int) -> None:
        super().__init__()
        self.n_fft, self.slope = n_fft, config.slope
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        width = config.filters
        layers: list[nn.Module] = [
            nn.Conv2d(2 * config.channels, width, (3, 9), stride=(1, config.frequency_stride), padding=(1, 4))
        ]
        for d in config.dilations:
            strided = nn.Conv2d(width, width, (3, 9), stride=(1, 2), dilation=(d, 1), padding=(d, 4))
            layers.append(weight_norm(strided))
        layers.append(weight_norm(nn.Conv2d(width, width, (3, 3), padding=(1, 1))))
        self.layers = nn.ModuleList(layers)
        self.head = weight_norm(nn.Conv2d(width, 1, (3, 3), padding=(1, 1)))

    def spectrogram(self, audio: Float[Tensor, "B C N"]) -> Float[Tensor, "B P T F"]:
        """Real parts of all channels, then imaginary parts: `P = 2 C` planes."""
        frames = audio.unfold(-1, self.n_fft, self.n_fft // 4) * self.window
        spectrum = torch.fft.rfft(frames)
        return torch.cat([spectrum.real, spectrum.imag], dim=1)

    def forward(self, audio: Float[Tensor, "B C N"]) -> tuple[Tensor, list[Tensor]]:
        with torch.autocast(audio.device.type, enabled=False):
            x = self.spectrogram(audio.float())
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), self.slope)
            features.append(x)
        return self.head(x), features


class Discriminator(nn.Module):
    """One `SpectrogramDiscriminator` per window."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.parts = nn.ModuleList(SpectrogramDiscriminator(config, n_fft) for n_fft in config.windows)
        # Measured on a CPU with bf16: half to a third of the time of the default layout.
        for parameter in self.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def forward(self, audio: Float[Tensor, "B C N"]) -> Judgement:
        judged = [part(audio) for part in self.parts]
        return Judgement([logits for logits, _ in judged], [features for _, features in judged])


class SpectraDiscriminatorConfig(Config):
    """Of what a spectral decoder writes, before phases are reconstructed: through those nothing can be learnt."""

    filters: tuple[int, ...] = Field((16, 32, 48, 48), description="channels of the hidden layers")
    slope: float = Field(0.2, description="of the leaky ReLU")


class MagnitudeDiscriminator(nn.Module):
    """One transform: a verdict per patch of about 60 bins and 20 frames, told how high on the scale it lies."""

    def __init__(self, config: SpectraDiscriminatorConfig) -> None:
        super().__init__()
        self.slope = config.slope
        layers: list[nn.Module] = []
        width = 2
        for i, filters in enumerate(config.filters):
            # Frequency is halved by every layer, time by every second one.
            layers.append(
                weight_norm(nn.Conv2d(width, filters, (5, 3), stride=(2, 1 + i % 2), padding=(2, 1), bias=True))
            )
            width = filters
        self.layers = nn.ModuleList(layers)
        self.head = weight_norm(nn.Conv2d(width, 1, (3, 3), padding=(1, 1)))

    def forward(self, logs: Float[Tensor, "B F T"]) -> tuple[Tensor, list[Tensor]]:
        height = torch.linspace(-1, 1, logs.shape[1], device=logs.device)[:, None].expand_as(logs)
        x = torch.stack([logs / 3, height], dim=1).contiguous(memory_format=torch.channels_last)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), self.slope)
            features.append(x)
        return self.head(x), features


class SpectraDiscriminator(nn.Module):
    """One `MagnitudeDiscriminator` per transform."""

    def __init__(self, config: SpectraDiscriminatorConfig, num_transforms: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(MagnitudeDiscriminator(config) for _ in range(num_transforms))
        for parameter in self.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def forward(self, spectra: Sequence[Float[Tensor, "B _ _"]]) -> Judgement:
        judged = [part(logs) for part, logs in zip(self.parts, spectra, strict=True)]
        return Judgement([logits for logits, _ in judged], [features for _, features in judged])
