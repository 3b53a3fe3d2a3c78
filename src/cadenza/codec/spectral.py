"""A codec half that works on spectra: log-mel encoder and inverse-STFT decoder over ConvNeXt blocks.

In: audio `[B, C, N]` (C = 1); out: latent `[B, D, T]`, `T = ceil(N / hop)`; and back. All convolutions run at the frame rate and a
few times above it instead of at the sample rate, which is what makes it cheap on a CPU. Decoder head after Vocos (Siuzdak 2023),
blocks after ConvNeXt (Liu et al. 2022, section 2.6), with a bounded look to the right so that it streams exactly.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.nn.conv import Conv1d, ConvState
from cadenza.nn.spectral import InverseState, InverseSTFT, LogMel


class SpectralConfig(Config):
    """Shape of one half of the codec; encoder and decoder are configured apart."""

    kind: Literal["spectral"] = "spectral"
    hop_length: int = Field(640, description="samples per latent frame")
    dim: int = Field(256, description="width of the blocks at the frame rate")
    num_layers: int = Field(4, description="blocks at the frame rate")
    fast_dim: int = Field(128, description="width of the blocks at the fast rate")
    fast_layers: int = Field(4, description="blocks at the fast rate")
    fast_factor: int = Field(
        4, description="fast frames per latent frame; the transform's hop is hop_length / fast_factor"
    )
    window_factor: int = Field(4, description="transform size in fast hops")
    num_mels: int = Field(96, description="mel bands of the encoder's input")
    expansion: int = Field(3, description="hidden width of a block over its width")
    kernel_size: int = Field(7, description="depthwise convolution, frames")
    right_context: int = Field(1, description="frames to the right that one block sees")

    @property
    def fast_hop(self) -> int:
        return self.hop_length // self.fast_factor

    @property
    def n_fft(self) -> int:
        return self.fast_hop * self.window_factor


class ConvNeXtBlock(nn.Module):
    """`x + scale * W2 gelu(W1 norm(depthwise(x)))`, the norm over channels of each frame."""

    def __init__(self, config: SpectralConfig, dim: int) -> None:
        super().__init__()
        self.depthwise = Conv1d(
            dim,
            dim,
            config.kernel_size,
            groups=dim,
            norm="none",
            pad_mode="constant",
            right_context=config.right_context,
        )
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, dim * config.expansion)
        self.project = nn.Linear(dim * config.expansion, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.25))

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        return x + self._mix(self.depthwise(x))

    def _mix(self, y: Tensor) -> Tensor:
        y = self.project(F.gelu(self.expand(self.norm(y.transpose(1, 2)))))
        return (y * self.scale).transpose(1, 2)

    def stream(self, x: Tensor, state: "SpectralBlockState", last: bool) -> Tensor:
        y = self.depthwise.stream(x, state.conv, last)
        state.skip = x if state.skip is None else torch.cat([state.skip, x], dim=-1)
        skip, state.skip = state.skip.split([y.shape[-1], state.skip.shape[-1] - y.shape[-1]], dim=-1)
        return skip + self._mix(y)


class SpectralBlockState:
    """The depthwise convolution's memory and the skip path that waits for it."""

    def __init__(self) -> None:
        self.conv = ConvState()
        self.skip: Tensor | None = None


class SpectralEncoder(nn.Module):
    """Audio `[B, 1, N]` -> latent `[B, D, ceil(N / hop)]` by log-mel frames at the fast rate, folded into latent frames."""

    def __init__(self, config: SpectralConfig, channels: int, latent_dim: int) -> None:
        super().__init__()
        assert channels == 1, "the spectral codec is mono; wrap it in StereoCodec for two channels"
        self.config, self.latent_dim = config, latent_dim
        self.mel: LogMel | None = None
        self.stem = nn.Linear(config.num_mels, config.fast_dim)
        self.fast = nn.ModuleList(ConvNeXtBlock(config, config.fast_dim) for _ in range(config.fast_layers))
        self.fold = nn.Linear(config.fast_dim * config.fast_factor, config.dim)
        self.blocks = nn.ModuleList(ConvNeXtBlock(config, config.dim) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, latent_dim)

    def attach_mel(self, sample_rate: int) -> None:
        """The analysis is a constant of the sample rate, which only the codec knows."""
        self.mel = LogMel(sample_rate, self.config.n_fft * 2, self.config.fast_hop, self.config.num_mels)

    def forward(self, audio: Float[Tensor, "B 1 N"]) -> Float[Tensor, "B D T"]:
        assert self.mel is not None
        missing = -audio.shape[-1] % self.config.hop_length
        mel = self.mel(F.pad(audio[:, 0], (0, missing)))
        # Roughly centred and scaled: log magnitudes lie between log(1e-4) and 0.
        x = self.stem((mel.transpose(1, 2) + 6.0) / 3.0).transpose(1, 2)
        for block in self.fast:
            x = block(x)
        factor = self.config.fast_factor
        x = x.transpose(1, 2).reshape(len(x), -1, factor * self.config.fast_dim)
        x = self.fold(x).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x.transpose(1, 2))).transpose(1, 2)


class SpectralDecoder(nn.Module):
    """Latent `[B, D, T]` -> audio `[B, 1, T * hop]`: log-magnitude and phase of an inverse STFT at the fast rate."""

    def __init__(self, config: SpectralConfig, channels: int, latent_dim: int) -> None:
        super().__init__()
        assert channels == 1, "the spectral codec is mono; wrap it in StereoCodec for two channels"
        self.config = config
        self.stem = Conv1d(
            latent_dim,
            config.dim,
            config.kernel_size,
            norm="none",
            pad_mode="constant",
            right_context=config.right_context,
        )
        self.blocks = nn.ModuleList(ConvNeXtBlock(config, config.dim) for _ in range(config.num_layers))
        self.unfold = nn.Linear(config.dim, config.fast_dim * config.fast_factor)
        self.fast = nn.ModuleList(ConvNeXtBlock(config, config.fast_dim) for _ in range(config.fast_layers))
        self.norm = nn.LayerNorm(config.fast_dim)
        self.head = nn.Linear(config.fast_dim, config.n_fft + 2)
        self.inverse = InverseSTFT(config.n_fft, config.fast_hop)

    def forward(self, latent: Float[Tensor, "B D T"]) -> Float[Tensor, "B 1 N"]:
        return self.stream(latent, self.new_state(), last=True)

    def new_state(self) -> list[Any]:
        blocks = [SpectralBlockState() for _ in range(len(self.blocks) + len(self.fast))]
        return [ConvState(), *blocks, InverseState()]

    def stream(self, latent: Float[Tensor, "B D t"], state: list[Any], last: bool) -> Float[Tensor, "B 1 n"]:
        memory = iter(state)
        x = self.stem.stream(latent, next(memory), last)
        for block in self.blocks:
            x = block.stream(x, next(memory), last)  # type: ignore[operator]
        x = self.unfold(x.transpose(1, 2))
        x = x.reshape(len(x), -1, self.config.fast_dim).transpose(1, 2)
        for block in self.fast:
            x = block.stream(x, next(memory), last)  # type: ignore[operator]
        log_magnitude, phase = self.head(self.norm(x.transpose(1, 2))).transpose(1, 2).float().chunk(2, dim=1)
        # The clip keeps an untrained head from overflowing; trained heads stay far below it.
        spectrum = torch.polar(log_magnitude.clamp_max(6.0).exp(), phase)
        return self.inverse.stream(spectrum, next(memory), last)[:, None]

    @property
    def lookahead_frames(self) -> float:
        """Latent frames to the right that reach a sample."""
        slow = self.stem.right + len(self.blocks) * self.config.right_context
        fast = len(self.fast) * self.config.right_context + (self.config.window_factor - 1) / 2
        return slow + fast / self.config.fast_factor
