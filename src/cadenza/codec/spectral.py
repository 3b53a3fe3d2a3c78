"""A codec half that works on spectra: an encoder that reads two log spectra, a decoder that writes magnitudes.

In: audio `[B, C, N]` (C = 1); out: latent `[B, D, T]`, `T = ceil(N / hop)`; and back. All convolutions run at the frame
rate and a few times above it instead of at the sample rate, which is what makes it cheap on a CPU. That an inverse STFT
can stand at the end is Vocos (Siuzdak 2023); unlike there no phases are predicted, `cadenza.nn.phase` reconstructs
them. Blocks after ConvNeXt (Liu et al. 2022, section 2.6), with a bounded look to the right so that it streams exactly.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.nn.conv import Conv1d, ConvState
from cadenza.nn.linear import Linear
from cadenza.nn.packing import join_time
from cadenza.nn.phase import PhaseReconstruction, PhaseState
from cadenza.nn.spectral import InverseState, InverseSTFT, LogBands

MAGNITUDE_FLOOR = 0.05
"""Magnitudes below this (a tone at -80 dB of full scale) count as silence in training."""


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


class SpectralDecoder(nn.Module):
    """Latent `[B, D, T]` -> audio `[B, 1, T * hop]`: magnitudes of an STFT at the fast rate, phases reconstructed.

    A GAN vocoder learns phases in hundreds of thousands of steps; tracking peaks needs none, and keeps notes steady.
    """

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
        self.unfold = Linear(config.dim, config.fast_dim * config.fast_factor, bias=True)
        self.fast = nn.ModuleList(ConvNeXtBlock(config, config.fast_dim) for _ in range(config.fast_layers))
        self.norm = nn.LayerNorm(config.fast_dim)
        self.head = Linear(config.fast_dim, config.n_fft // 2 + 1, bias=True)
        self.inverse = InverseSTFT(config.n_fft, config.fast_hop)
        self.phases = PhaseReconstruction(config.n_fft, config.fast_hop, config.phase_iterations)

    def forward(self, latent: Float[Tensor, "B D T"]) -> Float[Tensor, "B 1 N"]:
        return self.stream(latent, self.new_state(), last=True)

    def train_pass(
        self, audio: Float[Tensor, "B 1 N"], latent: Float[Tensor, "B D T"]
    ) -> tuple[Float[Tensor, "B 1 N"], Float[Tensor, ""]]:
        """The predicted magnitudes with the original's phases, and the distance of magnitudes; `N = T * hop`.

        The original's phases tell the pitch, so losses on that audio alone teach envelopes and nothing about notes
        (measured: 8 dB SI-SDR, and keys lost). The distance compares magnitudes themselves, averaged over
        `w (|d log(floor + m)| + 0.3 |d sqrt(m)|)`; `w` falls as `1 / (f + 300 Hz)`, about as the ear's bands widen.
        """
        magnitude = self._magnitudes(latent, self._new_memory(), last=True)
        original = self.inverse.analyse(audio[:, 0].float())
        target = original.abs()
        position = torch.linspace(0, 1, target.shape[1], device=target.device)[:, None]
        weight = 1 / (position + 0.02)
        logs = (torch.log(magnitude + MAGNITUDE_FLOOR) - torch.log(target + MAGNITUDE_FLOOR)).abs()
        roots = (magnitude.clamp_min(1e-6).sqrt() - target.sqrt()).abs()
        distance = ((logs + 0.3 * roots) * weight).mean() / weight.mean()
        heard = self.inverse(magnitude * original / target.clamp_min(1e-8))
        return heard[:, None], distance

    def pack(self) -> None:
        """Prepare for decoding on a CPU."""
        for part in self.modules():
            if isinstance(part, Conv1d | Linear):
                part.pack()

    def new_state(self) -> list[Any]:
        return [*self._new_memory(), PhaseState(), InverseState()]

    def stream(self, latent: Float[Tensor, "B D t"], state: list[Any], last: bool) -> Float[Tensor, "B 1 n"]:
        *memory, phase_state, inverse_state = state
        magnitude = self._magnitudes(latent, memory, last)
        spectrum = self.phases.stream(magnitude, self.inverse, phase_state, last)
        return self.inverse.stream(spectrum, inverse_state, last)[:, None]

    def _new_memory(self) -> list[Any]:
        return [ConvState(), *(SpectralBlockState() for _ in range(len(self.blocks) + len(self.fast)))]

    def _magnitudes(self, latent: Tensor, state: list[Any], last: bool) -> Tensor:
        """Magnitudes `[B, F, t]` at the fast rate, of the frames that are certain by now."""
        memory = iter(state)
        x = self.stem.stream(latent, next(memory), last)
        for block in self.blocks:
            x = block.stream(x, next(memory), last)  # type: ignore[operator]
        x = self.unfold(x.transpose(1, 2))
        x = x.reshape(len(x), -1, self.config.fast_dim).transpose(1, 2)
        for block in self.fast:
            x = block.stream(x, next(memory), last)  # type: ignore[operator]
        # The clip keeps an untrained head from overflowing; a full-scale tone's bin is exp(6.2).
        return self.head(self.norm(x.transpose(1, 2))).transpose(1, 2).float().clamp_max(7.0).exp()

    @property
    def lookahead_frames(self) -> float:
        """Latent frames to the right that reach a sample."""
        slow = self.stem.right + len(self.blocks) * self.config.right_context
        fast = len(self.fast) * self.config.right_context + self.phases.reach + (self.config.window_factor - 1) / 2
        return slow + fast / self.config.fast_factor
