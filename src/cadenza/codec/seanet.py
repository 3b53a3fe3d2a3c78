"""SEANet encoder and decoder: strided convolutions, residual blocks and an LSTM.

In: audio `[B, C, N]`; out: latent `[B, D, T]`, `T = ceil(N / hop)`; and back. Tagliasacchi et al. 2020 (SEANet), in the
shape of EnCodec (Défossez et al. 2022, section 3.1 and figure 1). Layers are numbered as in the official files.
"""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.nn.conv import Conv1d, ConvState, ConvTranspose1d, TransposeState
from cadenza.nn.lstm import LSTMState, ResidualLSTM
from cadenza.nn.packing import join_time

CACHED_FRAMES = 25
"""Latent frames that go through the upper layers at once on a CPU: four megabytes of 32 kHz features."""
PIECE_FRAMES = 1500
"""Latent frames whose sound is encoded at once where there are more than twice as many (MusicGen's: 30 s, 1 GB)."""


class SEANetConfig(Config):
    """Shape of one half of the codec; encoder and decoder normally share it."""

    kind: Literal["seanet"] = "seanet"
    num_filters: int = Field(64, ge=1, le=4096, description="channels next to the waveform; doubled at every stride")
    ratios: tuple[int, ...] = Field((8, 5, 4, 4), description="strides in decoder order; their product is the hop")
    num_residual_layers: int = Field(1, ge=0, le=64, description="residual blocks per stride")
    kernel_size: int = Field(7, description="first convolution, samples or frames")
    last_kernel_size: int = Field(7, description="last convolution, samples or frames")
    residual_kernel_size: int = Field(3, description="first convolution of a residual block")
    dilation_base: int = Field(2, description="dilation of residual block j is base ** j")
    compress: int = Field(2, description="a residual block narrows its channels by this factor")
    identity_shortcut: bool = Field(True, description="False: 1x1 convolution on the skip path (24 and 48 kHz models)")
    num_lstm_layers: int = Field(2, ge=0, le=64, description="0: none")
    norm: Literal["weight_norm", "time_group_norm", "none"] = Field("weight_norm", description="of every convolution")
    causal: bool = Field(False, description="pad on the left only")
    pad_mode: Literal["constant", "reflect", "replicate"] = Field(
        "reflect", description="differs between official files"
    )
    trim_right_ratio: float = Field(1.0, description="causal transposed convolutions: share of the trim on the right")

    @property
    def hop_length(self) -> int:
        return math.prod(self.ratios)


class ResidualBlock(nn.Module):
    """`shortcut(x) + conv1(elu(conv3(elu(x))))`."""

    def __init__(self, config: SEANetConfig, dim: int, dilation: int) -> None:
        super().__init__()
        conv = {"norm": config.norm, "causal": config.causal, "pad_mode": config.pad_mode}
        hidden = dim // config.compress
        first = Conv1d(dim, hidden, config.residual_kernel_size, dilation=dilation, **conv)  # type: ignore[arg-type]
        point = Conv1d(hidden, dim, 1, **conv)  # type: ignore[arg-type]
        self.block = nn.ModuleList([nn.ELU(), first, nn.ELU(), point])
        self.shortcut = None if config.identity_shortcut else Conv1d(dim, dim, 1, **conv)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "B D T"]) -> Float[Tensor, "B D T"]:
        y = self.block[3](F.elu(self.block[1](F.elu(x))))
        return y + (x if self.shortcut is None else self.shortcut(x))

    def _conv(self, i: int) -> Conv1d:
        conv = self.block[i]
        assert isinstance(conv, Conv1d)
        return conv

    def stream(self, x: Tensor, state: "BlockState", last: bool) -> Tensor:
        y = F.elu(self._conv(1).stream(F.elu(x), state.conv, last))
        y = self._conv(3).stream(y, state.point, last)
        skip = x if state.skip is None else join_time(state.skip, x)
        state.skip = skip[..., y.shape[-1] :].clone()
        skip = skip[..., : y.shape[-1]]
        return y + (skip if self.shortcut is None else self.shortcut.stream(skip, state.shortcut, last))


class BlockState:
    """State of a streamed residual block: its convolutions, and the skip path waiting for them."""

    def __init__(self) -> None:
        self.conv, self.point, self.shortcut = ConvState(), ConvState(), ConvState()
        self.skip: Tensor | None = None


class SEANetEncoder(nn.Module):
    """Audio `[B, C, N]` -> latent `[B, D, ceil(N / hop)]`."""

    def __init__(self, config: SEANetConfig, channels: int, latent_dim: int) -> None:
        super().__init__()
        conv = {"norm": config.norm, "causal": config.causal, "pad_mode": config.pad_mode}
        width = config.num_filters
        layers: list[nn.Module] = [Conv1d(channels, width, config.kernel_size, **conv)]  # type: ignore[arg-type]
        for ratio in reversed(config.ratios):
            layers += [ResidualBlock(config, width, config.dilation_base**j) for j in range(config.num_residual_layers)]
            layers += [nn.ELU(), Conv1d(width, width * 2, ratio * 2, stride=ratio, **conv)]  # type: ignore[arg-type]
            width *= 2
        if config.num_lstm_layers:
            layers += [ResidualLSTM(width, config.num_lstm_layers)]
        layers += [nn.ELU(), Conv1d(width, latent_dim, config.last_kernel_size, **conv)]  # type: ignore[arg-type]
        self.layers = nn.ModuleList(layers)

        self._hop = config.hop_length
        self._upper = 1 + len(config.ratios) * (config.num_residual_layers + 2)
        """Layers that work on more than one value per latent frame."""
        self._divisible = config.norm != "time_group_norm"

    def forward(self, audio: Float[Tensor, "B C N"]) -> Float[Tensor, "B D T"]:
        """Long recordings piece by piece, but for the layers that see far (the LSTM) and are small: the memory does not
        grow with the sound. The latent differs by rounding; short ones and training take the whole at once.
        """
        whole = torch.is_grad_enabled() or not self._divisible
        if whole or audio.shape[-1] <= 2 * PIECE_FRAMES * self._hop:
            x = self._through(audio, 0, self._upper)
        else:
            x = self._in_pieces(audio)
        return self._through(x, self._upper, len(self.layers))

    def _through(self, x: Tensor, start: int, stop: int) -> Tensor:
        for layer in self.layers[start:stop]:
            x = layer(x)
        return x

    def _in_pieces(self, audio: Tensor) -> Tensor:
        """The upper layers over pieces that reach into their neighbours as far as a latent frame sees."""
        reach, step = 0, 1
        for part in self.layers[: self._upper].modules():
            if isinstance(part, Conv1d):
                reach += max(part.left, part.right) * step
                step *= part.stride
        margin, latents = math.ceil(reach / self._hop), []
        for start in range(0, math.ceil(audio.shape[-1] / self._hop), PIECE_FRAMES):
            first = max(0, start - margin)
            piece = audio[..., first * self._hop : (start + PIECE_FRAMES + margin) * self._hop]
            latents.append(self._through(piece, 0, self._upper)[..., start - first :][..., :PIECE_FRAMES].clone())
        return torch.cat(latents, dim=-1)


class SEANetDecoder(nn.Module):
    """Latent `[B, D, T]` -> audio `[B, C, T * hop]`."""

    def __init__(self, config: SEANetConfig, channels: int, latent_dim: int) -> None:
        super().__init__()
        conv = {"norm": config.norm, "causal": config.causal, "pad_mode": config.pad_mode}
        up: dict[str, Any] = {"norm": config.norm, "causal": config.causal, "trim_right_ratio": config.trim_right_ratio}
        width = config.num_filters * 2 ** len(config.ratios)
        layers: list[nn.Module] = [Conv1d(latent_dim, width, config.kernel_size, **conv)]  # type: ignore[arg-type]
        if config.num_lstm_layers:
            layers += [ResidualLSTM(width, config.num_lstm_layers)]
        for ratio in config.ratios:
            layers += [nn.ELU(), ConvTranspose1d(width, width // 2, ratio * 2, stride=ratio, **up)]
            width //= 2
            layers += [ResidualBlock(config, width, config.dilation_base**j) for j in range(config.num_residual_layers)]
        layers += [nn.ELU(), Conv1d(width, channels, config.last_kernel_size, **conv)]  # type: ignore[arg-type]
        self.layers = nn.ModuleList(layers)

    def pack(self) -> None:
        """Prepare for decoding on a CPU; undone layer by layer when trained, moved or loaded."""
        for part in self.modules():
            if isinstance(part, Conv1d | ConvTranspose1d | ResidualLSTM):
                part.pack()

    def forward(self, latent: Float[Tensor, "B D T"]) -> Float[Tensor, "B C N"]:
        first = self.layers[0]
        if isinstance(first, Conv1d) and first.conv.is_packed:
            return self.stream(latent, self.new_state(), last=True)
        for layer in self.layers:
            latent = layer(latent)
        return latent

    def new_state(self) -> list[Any]:
        """One state per layer; None for layers without memory."""
        kinds: dict[type, Any] = {Conv1d: ConvState, ConvTranspose1d: TransposeState, ResidualBlock: BlockState}
        kinds |= {ResidualLSTM: LSTMState, nn.ELU: lambda: None}
        return [kinds[type(layer)]() for layer in self.layers]

    def stream(self, latent: Float[Tensor, "B D t"], state: list[Any], last: bool) -> Float[Tensor, "B C n"]:
        first = next(i for i, layer in enumerate(self.layers) if isinstance(layer, nn.ELU))
        x = self._stream_layers(latent, 0, first, state, last)
        if not x.is_cpu or x.shape[-1] <= CACHED_FRAMES:
            return self._stream_layers(x, first, len(self.layers), state, last)
        # The LSTM likes long pieces, which read its weights once; what follows likes to stay in the cache.
        *pieces, end = x.split(CACHED_FRAMES, dim=-1)
        audio = [self._stream_layers(piece, first, len(self.layers), state, False) for piece in pieces]
        audio.append(self._stream_layers(end, first, len(self.layers), state, last))
        return torch.cat(audio, dim=-1)

    def _stream_layers(self, x: Tensor, start: int, stop: int, state: list[Any], last: bool) -> Tensor:
        for i in range(start, stop):
            layer, memory = self.layers[i], state[i]
            x = layer(x) if memory is None else layer.stream(x, memory, last)  # type: ignore[operator]
        return x

    @property
    def lookahead_frames(self) -> float:
        """Latent frames to the right that reach a sample: every layer's right context at its own rate."""
        frames, rate = 0.0, 1
        for layer in self.layers:
            if isinstance(layer, ConvTranspose1d):
                rate *= layer.stride
                frames += layer.trim_left / rate
            elif isinstance(layer, Conv1d):
                frames += layer.right / rate
            elif isinstance(layer, ResidualBlock):
                frames += layer._conv(1).right / rate
        return frames
