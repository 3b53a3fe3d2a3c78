"""A decoder that writes magnitudes: of one short transform, or of a short one and, for low notes, a long one.

In: latent `[B, D, T]`; out: audio `[B, 1, T * hop]`. That an inverse STFT can stand at the end is Vocos (Siuzdak 2023);
unlike there no phases are predicted, `cadenza.nn.phase` reconstructs them.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cadenza.codec.spectral import ConvNeXtBlock, SpectralBlockState, SpectralConfig
from cadenza.nn.conv import Conv1d, ConvState
from cadenza.nn.linear import Linear
from cadenza.nn.phase import Band, BandState

MAGNITUDE_FLOOR = 0.05
"""Magnitudes below this (a tone at -80 dB of full scale in a window of 960 samples) count as silence in training."""
FADE = 0.8
"""Share of the long transform's bins that are its own; over the rest both transforms fade into each other."""


class Spectra(NamedTuple):
    """Log magnitudes of one transform, floor added, in the bins that are heard: what the decoder wrote, and the
    original's."""

    made: Float[Tensor, "B F T"]
    wanted: Float[Tensor, "B F T"]


class SpectralTraining(NamedTuple):
    """`audio` has the original's phases; `distance` is that of magnitudes; `spectra` are those, per transform."""

    audio: Float[Tensor, "B 1 N"]
    distance: Float[Tensor, ""]
    spectra: list[Spectra]


class LowDecoder(nn.Module):
    """The lowest bins of a long transform: `[B, D, T]` at the frame rate -> magnitudes `[B, low_bins, T]`.

    In a window of 30 ms two neighbouring low notes share their bins and differ in how these beat from frame to frame;
    in one of 100 ms they peak in bins of their own, which a network can name.
    """

    def __init__(self, config: SpectralConfig) -> None:
        super().__init__()
        self.stem = Linear(config.dim, config.low_dim, bias=True)
        self.blocks = nn.ModuleList(ConvNeXtBlock(config, config.low_dim) for _ in range(config.low_layers))
        self.norm = nn.LayerNorm(config.low_dim)
        self.head = Linear(config.low_dim, config.low_bins, bias=True)

    def stream(self, x: Float[Tensor, "B D t"], state: list[SpectralBlockState], last: bool) -> Float[Tensor, "B F u"]:
        x = self.stem(x.transpose(1, 2)).transpose(1, 2)
        for block, memory in zip(self.blocks, state, strict=True):
            x = block.stream(x, memory, last)  # type: ignore[operator]
        return _magnitude(self.head(self.norm(x.transpose(1, 2))))


class DecoderState:
    """What a streamed decode remembers: of blocks, of transforms, and the sound of one that waits for the other's."""

    def __init__(self, decoder: "SpectralDecoder") -> None:
        self.stem = ConvState()
        self.blocks = [SpectralBlockState() for _ in decoder.blocks]
        self.fast = [SpectralBlockState() for _ in decoder.fast]
        self.low = [SpectralBlockState() for _ in range(decoder.config.low_layers)]
        self.bands = BandState(), BandState()
        self.waiting: list[Tensor] = []

    def join(self, sounds: list[Tensor]) -> Tensor:
        """The sum of the sounds `[B, n]` of all transforms, as far as all are known."""
        if self.waiting:
            sounds = [torch.cat(pair, dim=1) for pair in zip(self.waiting, sounds, strict=True)]
        ready = min(sound.shape[1] for sound in sounds)
        self.waiting = [sound[:, ready:] for sound in sounds]
        return torch.stack([sound[:, :ready] for sound in sounds]).sum(0)


class SpectralDecoder(nn.Module):
    """Latent `[B, D, T]` -> audio `[B, 1, T * hop]`: magnitudes of an STFT at the fast rate, phases reconstructed.

    A GAN vocoder learns phases in hundreds of thousands of steps; tracking peaks needs none, and keeps notes steady.
    With `low_bins`, a long transform writes the lowest frequencies and the short one those above.
    """

    fade: Tensor

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
        self.low = LowDecoder(config) if config.low_bins else None
        self.band = Band(config.n_fft, config.fast_hop, config.phase_iterations)
        self.low_band = Band(config.low_n_fft, config.hop_length, config.low_iterations)

    def forward(self, latent: Float[Tensor, "B D T"]) -> Float[Tensor, "B 1 N"]:
        return self.stream(latent, self.new_state(), last=True)

    def train_pass(self, audio: Float[Tensor, "B 1 N"], latent: Float[Tensor, "B D T"]) -> SpectralTraining:
        """The predicted magnitudes with the original's phases, and their distance to the original's; `N = T * hop`.

        The original's phases tell the pitch, so losses on that audio alone teach envelopes and nothing about notes
        (measured: 8 dB SI-SDR, and keys lost). The distance compares magnitudes themselves, averaged over
        `w (|d log(floor + m)| + 0.3 |d sqrt(m)|)`; `w` falls as `1 / (f + 300 Hz)`, about as the ear's bands widen.
        With two transforms each is averaged over its own frequencies; both count alike.
        """
        magnitudes = self._magnitudes(latent, self.new_state(), last=True)
        heard, distances, spectra = [], [], []
        for magnitude, band, share in zip(magnitudes, self._bands, self._shares(magnitudes), strict=True):
            original = band.inverse.analyse(audio[:, 0].float())[:, : magnitude.shape[1]]
            phase = original / original.abs().clamp_min(1e-8)
            target = original.abs() * (self.config.n_fft / band.n_fft)  # of a tone as large in both transforms
            logs = Spectra(torch.log(magnitude + MAGNITUDE_FLOOR), torch.log(target + MAGNITUDE_FLOOR))
            roots = (magnitude.clamp_min(1e-6).sqrt() - target.sqrt()).abs()
            position = 2 * torch.arange(magnitude.shape[1], device=target.device) / band.n_fft
            weight = share[:, None].square() / (position[:, None] + 0.02)
            distance = ((logs.made - logs.wanted).abs() + 0.3 * roots) * weight
            distances.append(distance.mean() / weight.mean())
            heard.append(band.inverse(band.widen(self._scaled(magnitude, band) * share[:, None] * phase)))
            audible = share > 0
            spectra.append(Spectra(logs.made[:, audible], logs.wanted[:, audible]))
        return SpectralTraining(torch.stack(heard).sum(0)[:, None], torch.stack(distances).sum(), spectra)

    def pack(self) -> None:
        """Prepare for decoding on a CPU."""
        for part in self.modules():
            if isinstance(part, Conv1d | Linear):
                part.pack()

    def new_state(self) -> DecoderState:
        return DecoderState(self)

    def stream(self, latent: Float[Tensor, "B D t"], state: DecoderState, last: bool) -> Float[Tensor, "B 1 n"]:
        magnitudes = self._magnitudes(latent, state, last)
        sounds = []
        for magnitude, band, share, memory in zip(
            magnitudes, self._bands, self._shares(magnitudes), state.bands, strict=False
        ):
            heard = magnitude * share[:, None]
            if self.config.loudest is not None:
                heard = hold_back(heard, self.config.loudest * full_scale_tone(self.config.n_fft))
            sounds.append(band.stream(self._scaled(heard, band), memory, last))
        sound = state.join(sounds)[:, None]
        return sound if self.config.knee is None else round_peaks(sound, self.config.knee)

    @property
    def num_transforms(self) -> int:
        """One, or two with low bins of their own."""
        return len(self._bands)

    @property
    def last_weights(self) -> list[Tensor]:
        """Of the layers that write magnitudes."""
        return [self.head.weight] if self.low is None else [self.head.weight, self.low.head.weight]

    @property
    def _bands(self) -> "list[Band]":
        return [self.band] if self.low is None else [self.band, self.low_band]

    def _scaled(self, magnitude: Tensor, band: Band) -> Tensor:
        """Networks write a tone as large in both transforms; a longer window sums more of it."""
        return magnitude if band is self.band else magnitude * (band.n_fft / self.config.n_fft)

    def _shares(self, magnitudes: list[Tensor]) -> list[Tensor]:
        """What each transform writes of each of its bins `[F]`: squares sum to one at every frequency."""
        if len(magnitudes) == 1:
            return [magnitudes[0].new_ones(magnitudes[0].shape[1])]
        config, (short, long) = self.config, (magnitude.shape[1] for magnitude in magnitudes)
        end = config.low_bins / config.low_n_fft
        high, low = (
            ((torch.arange(bins, device=magnitudes[0].device) / size / end - FADE) / (1 - FADE)).clamp(0, 1)
            for bins, size in ((short, config.n_fft), (long, config.low_n_fft))
        )
        return [high.sqrt(), (1 - low).sqrt()]

    def _magnitudes(self, latent: Tensor, state: DecoderState, last: bool) -> list[Tensor]:
        """Magnitudes `[B, F, t]` of each transform, of the frames that are certain by now."""
        x = self.stem.stream(latent, state.stem, last)
        for block, memory in zip(self.blocks, state.blocks, strict=True):
            x = block.stream(x, memory, last)  # type: ignore[operator]
        low = [] if self.low is None else [self.low.stream(x, state.low, last)]
        x = self.unfold(x.transpose(1, 2))
        x = x.reshape(len(x), -1, self.config.fast_dim).transpose(1, 2)
        for block, memory in zip(self.fast, state.fast, strict=True):
            x = block.stream(x, memory, last)  # type: ignore[operator]
        return [_magnitude(self.head(self.norm(x.transpose(1, 2)))), *low]

    @property
    def lookahead_frames(self) -> float:
        """Latent frames to the right that reach a sample."""
        config, right = self.config, self.config.right_context
        slow = self.stem.right + len(self.blocks) * right
        fast = len(self.fast) * right + self.band.reach + (config.window_factor - 1) / 2
        ahead = [fast / config.fast_factor]
        if self.low is not None:
            ahead.append(config.low_layers * right + self.low_band.reach + (config.low_window_factor - 1) / 2)
        return slow + max(ahead)


def full_scale_tone(n_fft: int) -> float:
    """Root of the summed squares of a full-scale sine's magnitudes in a Hann window: its middle bin is `n_fft / 4`, the
    two beside it half of that."""
    return n_fft / 4 * math.sqrt(1.5)


def hold_back(magnitude: Float[Tensor, "B F t"], most: float) -> Float[Tensor, "B F t"]:
    """Frames whose magnitudes have a root of summed squares above `most` are made quieter, to that.

    Codes that no music was coded as can name a tone at four times full scale, which rounding peaks off would turn into
    a square wave. Windows overlap, so the gain changes smoothly from frame to frame; it looks at one frame alone, so
    that a stream equals the whole.
    """
    level = torch.linalg.vector_norm(magnitude, dim=1, keepdim=True)
    return magnitude * (most / level.clamp_min(most))


def round_peaks(sound: Float[Tensor, "*B N"], knee: float) -> Float[Tensor, "*B N"]:
    """Samples of at most `knee` stay; those above bend, `k + (1 - k) o / sqrt(1 + o^2)` with `o = (|x| - k) / (1 - k)`.

    Reconstructed phases, and codes that guidance made louder than any in training, reach beyond full scale, where
    16 bits would cut them with a click. The curve comes near 1 so slowly that what is four times too loud is still no
    flat line. It looks at one sample alone, so that a stream equals the whole.
    """
    over = (sound.abs() - knee).clamp_min(0) / (1 - knee)
    return sound.clamp(-knee, knee) + sound.sign() * (1 - knee) * over * (1 + over.square()).rsqrt()


def _magnitude(logs: Float[Tensor, "B T F"]) -> Float[Tensor, "B F T"]:
    # The clip keeps an untrained head from overflowing; a full-scale tone's bin is exp(6.2).
    return logs.transpose(1, 2).float().clamp_max(7.0).exp()
