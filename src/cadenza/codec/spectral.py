"""The encoder that reads two log spectra, and the blocks that it shares with `spectral_decoder`.

In: audio `[B, C, N]` (C = 1); out: latent `[B, D, T]`, `T = ceil(N / hop)`. All convolutions run at the frame rate and
a few times above it instead of at the sample rate, which is what makes it cheap on a CPU. Blocks after ConvNeXt (Liu et
al. 2022, section 2.6), with a bounded look to the right so that they stream exactly.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.nn.conv import Conv1d, ConvState
from cadenza.nn.linear import Linear
from cadenza.nn.packing import join_time
from cadenza.nn.spectral import LogBands


class SpectralConfig(Config):
    """Shape of one half of the codec; encoder and decoder are configured apart."""

    kind: Literal["spectral"] = "spectral"
    hop_length: int = Field(640, ge=1, le=65536, description="samples per latent frame")
    dim: int = Field(256, ge=1, le=65536, description="width of the blocks at the frame rate")
    num_layers: int = Field(4, ge=0, le=1024, description="blocks at the frame rate")
    fast_dim: int = Field(128, ge=1, le=65536, description="width of the blocks at the fast rate")
    fast_layers: int = Field(4, ge=0, le=1024, description="blocks at the fast rate")
    fast_factor: int = Field(
        4, description="fast frames per latent frame; the transform's hop is hop_length / fast_factor"
    )
    window_factor: int = Field(6, description="size of the decoder's transform in fast hops")
    num_mels: int = Field(80, description="mel bands of the encoder's input at the fast rate")
    num_tones: int = Field(172, description="bands of the encoder's input at the frame rate, equally spaced in pitch")
    tones_per_octave: int = Field(24, description="spacing of those bands; the lowest is at 55 Hz")
    tone_window: int = Field(4096, description="transform of those bands, samples: resolves semitones above 130 Hz")
    expansion: int = Field(3, description="hidden width of a block over its width")
    kernel_size: int = Field(7, description="depthwise convolution, frames")
    right_context: int = Field(1, description="frames to the right that one block sees")
    phase_iterations: int = Field(
        2, description="Griffin-Lim iterations of the decoder; each looks window_factor - 1 fast frames ahead"
    )
    low_bins: int = Field(0, ge=0, description="bins that a second, long transform writes; 0: the short one writes all")
    low_window_factor: int = Field(5, ge=2, description="size of the long transform in latent frames, its hops")
    low_dim: int = Field(192, ge=1, le=65536, description="width of the blocks before the long transform")
    low_layers: int = Field(1, ge=0, le=1024, description="blocks before the long transform")
    low_iterations: int = Field(2, ge=0, description="Griffin-Lim iterations of the long transform")
    knee: float | None = Field(
        None, gt=0, lt=1, description="level of samples above which the decoder rounds peaks off; None: it never does"
    )
    loudest: float | None = Field(
        None, gt=0, description="level a decoded frame is held to, 1 being a full-scale tone's; None: any is taken"
    )

    @property
    def fast_hop(self) -> int:
        return self.hop_length // self.fast_factor

    @property
    def n_fft(self) -> int:
        return self.fast_hop * self.window_factor

    @property
    def low_n_fft(self) -> int:
        return self.hop_length * self.low_window_factor


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
        self.expand = Linear(dim, dim * config.expansion, bias=True)
        self.project = Linear(dim * config.expansion, dim, bias=True)
        self.scale = nn.Parameter(torch.full((dim,), 0.25))

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        return x + self._mix(self.depthwise(x))

    def _mix(self, y: Tensor) -> Tensor:
        y = self.project(F.gelu(self.expand(self.norm(y.transpose(1, 2)))))
        return (y * self.scale).transpose(1, 2)

    def stream(self, x: Tensor, state: "SpectralBlockState", last: bool) -> Tensor:
        y = self.depthwise.stream(x, state.conv, last)
        skip = x if state.skip is None else join_time(state.skip, x)
        state.skip = skip[..., y.shape[-1] :].clone()
        skip = skip[..., : y.shape[-1]]
        return skip + self._mix(y)


class SpectralBlockState:
    """The depthwise convolution's memory and the skip path that waits for it."""

    def __init__(self) -> None:
        self.conv = ConvState()
        self.skip: Tensor | None = None


class SpectralEncoder(nn.Module):
    """Audio `[B, 1, N]` -> latent `[B, D, ceil(N / hop)]`.

    Two views: mel bands of short windows at the fast rate, folded into latent frames, tell when; bands of a long
    window, equally spaced in pitch, tell which note. With mel bands alone the decoder could not place harmonics
    (docs/log.md).
    """

    def __init__(self, config: SpectralConfig, channels: int, latent_dim: int) -> None:
        super().__init__()
        assert channels == 1, "the spectral codec is mono; wrap it in StereoCodec for two channels"
        self.config, self.latent_dim = config, latent_dim
        self.mel: LogBands | None = None
        self.tones: LogBands | None = None
        self.stem = Linear(config.num_mels, config.fast_dim, bias=True)
        self.fast = nn.ModuleList(ConvNeXtBlock(config, config.fast_dim) for _ in range(config.fast_layers))
        self.fold = Linear(config.fast_dim * config.fast_factor, config.dim, bias=True)
        self.pitch = Linear(config.num_tones, config.dim, bias=True)
        self.blocks = nn.ModuleList(ConvNeXtBlock(config, config.dim) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.head = Linear(config.dim, latent_dim, bias=True)

    def attach_analysis(self, sample_rate: int) -> None:
        """The analysis is a constant of the sample rate, which only the codec knows."""
        config = self.config
        self.mel = LogBands(sample_rate, 4 * config.fast_hop, config.fast_hop, config.num_mels)
        self.tones = LogBands(
            sample_rate, config.tone_window, config.hop_length, config.num_tones, config.tones_per_octave
        )

    def forward(self, audio: Float[Tensor, "B 1 N"]) -> Float[Tensor, "B D T"]:
        assert self.mel is not None
        assert self.tones is not None
        audio = F.pad(audio[:, 0], (0, -audio.shape[-1] % self.config.hop_length))
        # Roughly centred and scaled: log magnitudes lie between log(1e-4) and 0.
        x = self.stem((self.mel(audio).transpose(1, 2) + 6.0) / 3.0).transpose(1, 2)
        for block in self.fast:
            x = block(x)
        factor = self.config.fast_factor
        x = x.transpose(1, 2).reshape(len(x), -1, factor * self.config.fast_dim)
        x = self.fold(x) + self.pitch((self.tones(audio).transpose(1, 2) + 6.0) / 3.0)
        x = x.transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x.transpose(1, 2))).transpose(1, 2)
