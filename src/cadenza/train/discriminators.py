"""Discriminators on complex spectrograms at several resolutions.

In: audio `[B, C, N]`. Out: per resolution, logits and the feature maps before them. Défossez et al. 2022 (EnCodec),
section 3.4 and figure 2; Zeghidour et al. 2021 (SoundStream), section III-D.
"""

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
