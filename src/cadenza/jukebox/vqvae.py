"""Jukebox' VQ-VAE: audio to three levels of codes, 8, 32 and 128 samples apart, each decoded on its own.

In: audio `[B, 1, N]`. Out: codes `[B, N // hop]` of each level, level 0 the finest; and back. Dhariwal et al. 2020
(arXiv 2005.00341), section 3 and appendix A.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from cadenza.checkpoint import Config, Pretrained
from cadenza.codec.base import exactly
from cadenza.errors import UserError
from cadenza.jukebox.autoencoder import STRIDE, Decoder, Encoder, StackShape
from cadenza.jukebox.codebook import Codebook, CodebookLearner, CodebookMetrics

PIECE_SAMPLES = 2**18
"""Samples that are encoded or decoded at once, beside what they depend on: 0.6 GB at the released level 0."""


class JukeboxVQVAEConfig(Config):
    """Defaults: the released model (arXiv 2005.00341, and the hyper-parameters published with its code)."""

    kind: Literal["jukebox_vqvae"] = "jukebox_vqvae"
    layout: Literal["separate", "shared"] = Field(
        "separate", description="an autoencoder per level, or one chain for all (the comparison, arXiv 2005.00341)"
    )
    sample_rate: int = Field(44100, ge=1, le=1_000_000, description="Hz; one channel")
    downs: tuple[int, ...] = Field(
        (3, 2, 2), min_length=1, max_length=8, description="halvings of the rate from each level to the next one up"
    )
    widths: tuple[int, ...] = Field((64, 32, 32), description="channels of each level's autoencoder")
    depths: tuple[int, ...] = Field((8, 4, 4), description="residual blocks per halving of each level's autoencoder")
    expansion: float = Field(1.0, gt=0, description="channels within a residual block, over those outside")
    dilation_growth: int = Field(3, ge=1, le=16, description="dilation of block j is growth ** (j % cycle)")
    dilation_cycle: int | None = Field(None, ge=1, description="blocks after which dilations begin anew; None: never")
    reverse_decoder_dilation: bool = Field(True, description="decoders begin with the largest dilation")
    latent_dim: int = Field(64, ge=1, le=4096, description="numbers per latent vector and codebook entry")
    codebook_size: int = Field(2048, ge=2, le=65536, description="entries of each level's codebook")

    @model_validator(mode="after")
    def _check(self) -> "JukeboxVQVAEConfig":
        counts = (len(self.downs), len(self.widths), len(self.depths))
        if len(set(counts)) > 1:
            raise UserError(f"downs, widths and depths have {counts} numbers: give one per level in each")
        if min(*self.downs, *self.widths) < 1 or min(self.depths) < 0 or sum(self.downs) > 16:
            raise UserError("downs (16 in all at most) and widths begin at 1, depths at 0")
        return self

    @property
    def num_levels(self) -> int:
        return len(self.downs)

    @property
    def hop_lengths(self) -> tuple[int, ...]:
        """Samples per code of each level."""
        return tuple(STRIDE ** sum(self.downs[: level + 1]) for level in range(self.num_levels))

    def shape(self, level: int, reverse: bool) -> StackShape:
        """The residual stacks of a level's autoencoder."""
        width = self.widths[level]
        hidden = max(1, int(width * self.expansion + 1e-6))  # a ratio read off tensors may round below
        return StackShape(width, self.depths[level], self.dilation_growth, self.dilation_cycle, reverse, hidden)


class LevelPass(NamedTuple):
    """What a training pass makes at one level."""

    codes: Int[Tensor, "B T"]
    latent: Float[Tensor, "B D T"]
    commitment: Float[Tensor, ""]
    """Mean squared distance of the latent from its codebook entries."""
    metrics: CodebookMetrics | None
    """None where the codebook rests."""


class VQVAEPass(NamedTuple):
    """A training pass: its levels, and the audio made of each (of all together: one, where the layout is shared)."""

    levels: list[LevelPass]
    audio: list[Float[Tensor, "B 1 N"]]


class JukeboxVQVAE(nn.Module, Pretrained):
    """An encoder, a codebook and a decoder per level; the levels know nothing of each other.

    The shared layout has one encoder whose stages follow each other, a codebook after every stage, and one decoder that
    adds a level's entries to what it made of the levels above; its audio comes from all levels, and a level decoded on
    its own does without the others.

    Computes in float32. Audio longer than a piece is coded in pieces that overlap by what their edges depend on (1.04 s
    at the released level 0, 0.06 s and 0.24 s above), so that memory does not grow with the sound: latents and audio
    equal those of the whole but for rounding, and a code can only differ where two entries are as near as that.
    """

    config_class = JukeboxVQVAEConfig

    def __init__(self, config: JukeboxVQVAEConfig) -> None:
        super().__init__()
        self.config = config
        levels = range(config.num_levels)
        # Which levels' shapes the stages of each autoencoder have, the finest first.
        chains = [list(levels)] if self.is_shared else [[level] * (level + 1) for level in levels]
        encoders, decoders = [], []
        for chain in chains:
            downs = config.downs[: len(chain)]
            encoders.append(Encoder([config.shape(level, False) for level in chain], downs, config.latent_dim))
            backwards = config.reverse_decoder_dilation
            decoders.append(Decoder([config.shape(level, backwards) for level in chain], downs, config.latent_dim))
        self.encoders, self.decoders = nn.ModuleList(encoders), nn.ModuleList(decoders)
        self.codebooks = nn.ModuleList(Codebook(config.codebook_size, config.latent_dim) for _ in levels)

    @property
    def is_shared(self) -> bool:
        """Whether one autoencoder serves all levels."""
        return self.config.layout == "shared"

    @property
    def num_levels(self) -> int:
        return self.config.num_levels

    @property
    def hop_lengths(self) -> tuple[int, ...]:
        """Samples per code of each level."""
        return self.config.hop_lengths

    @property
    def codebook_size(self) -> int:
        return self.config.codebook_size

    @property
    def sample_rate(self) -> int:
        """Hz; the audio has one channel."""
        return self.config.sample_rate

    def codebook(self, level: int) -> Codebook:
        """The codebook of a level. UserError for a level that there is not."""
        if not 0 <= level < self.num_levels:
            raise UserError(f"no level {level}: use 0 (the finest) to {self.num_levels - 1}")
        book = self.codebooks[level]
        assert isinstance(book, Codebook)
        return book

    @torch.no_grad()
    def encode(self, audio: Float[Tensor, "B 1 N"], levels: Sequence[int] | None = None) -> list[Int[Tensor, "B _"]]:
        """Codes of the levels asked for (None: all), `N // hop` each.

        Raises UserError for audio that is shorter than a code.
        """
        chosen = range(self.num_levels) if levels is None else levels
        with exactly(audio.device):
            return [self._encode_level(audio, level) for level in chosen]

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "B T"], level: int) -> Float[Tensor, "B 1 N"]:
        """The audio of one level's codes, `T * hop` samples; not clamped to [-1, 1]."""
        book = self.codebook(level)
        decoder, hop = self._decoder(level), self.hop_lengths[level]
        if not codes.shape[1]:
            return book.vectors.new_zeros(len(codes), 1, 0)

        def through(window: Tensor) -> Tensor:
            return decoder([None] * level + [book.lookup(window)])

        with exactly(codes.device):
            return _in_pieces(through, codes, 1, hop, PIECE_SAMPLES // hop, decoder.reach(level + 1))

    @torch.no_grad()
    def latent(self, codes: Int[Tensor, "B T"], level: int) -> Float[Tensor, "B D T"]:
        """The codebook entries that codes stand for."""
        return self.codebook(level).lookup(codes)

    @torch.no_grad()
    def encode_latent(self, audio: Float[Tensor, "B 1 N"], level: int) -> Float[Tensor, "B D T"]:
        """The latent before it is quantised."""
        self.codebook(level)
        hop = self.hop_lengths[level]
        if audio.shape[-1] < hop:
            raise UserError(
                f"audio of {audio.shape[-1]} samples is shorter than a code of level {level}: give {hop} or more"
            )
        encoder = self._encoder(level)
        margin = math.ceil(encoder.reach(level + 1) / hop)

        def through(window: Tensor) -> Tensor:
            return encoder(window)[level]

        with exactly(audio.device):
            return _in_pieces(through, audio, hop, 1, PIECE_SAMPLES // hop, margin)

    def forward_train(
        self,
        audio: Float[Tensor, "B 1 N"],
        learners: Sequence[CodebookLearner] | None = None,
        generator: torch.Generator | None = None,
    ) -> VQVAEPass:
        """Encode, quantise with gradients straight through, decode; the whole at once.

        Args:
            audio: `N` is a multiple of the longest hop, or it is a UserError.
            learners: of the codebooks, one per level; None: codebooks rest.
            generator: for what learners draw (CPU).
        """
        if audio.shape[-1] % self.hop_lengths[-1] or not audio.shape[-1]:
            raise UserError(f"{audio.shape[-1]} samples to train on: use a multiple of {self.hop_lengths[-1]}")
        levels, quantised = [], []
        for level, latent in enumerate(self._latents(audio)):
            with torch.autocast(audio.device.type, enabled=False):  # distances of near neighbours need float32
                latent = latent.float()
                x = latent.transpose(1, 2).flatten(0, 1)
                if learners is None:
                    codes, metrics = self.codebook(level).nearest(x.detach())[0], None
                    chosen = self.codebook(level).vectors[codes]
                else:
                    codes, chosen, metrics = learners[level].learn(x.detach(), generator)
                commitment = (chosen - x).square().mean()
                chosen = chosen.view(len(audio), -1, latent.shape[1]).transpose(1, 2)
                quantised.append(latent + (chosen - latent).detach())
            levels.append(LevelPass(codes.view(len(audio), -1), latent, commitment, metrics))
        if self.is_shared:
            return VQVAEPass(levels, [self._decoder(0)(quantised).float()])
        made = [self._decoder(level)([None] * level + [latent]) for level, latent in enumerate(quantised)]
        return VQVAEPass(levels, [audio.float() for audio in made])

    def _latents(self, audio: Tensor) -> list[Tensor]:
        if self.is_shared:
            return self._encoder(0)(audio)
        return [self._encoder(level)(audio)[-1] for level in range(self.num_levels)]

    def _encode_level(self, audio: Tensor, level: int) -> Tensor:
        latent = self.encode_latent(audio, level)
        return self.codebook(level).nearest(latent.transpose(1, 2).flatten(0, 1))[0].view(len(audio), -1)

    def _encoder(self, level: int) -> Encoder:
        encoder = self.encoders[0 if self.is_shared else level]
        assert isinstance(encoder, Encoder)
        return encoder

    def _decoder(self, level: int) -> Decoder:
        decoder = self.decoders[0 if self.is_shared else level]
        assert isinstance(decoder, Decoder)
        return decoder


def _in_pieces(through: Callable[[Tensor], Tensor], x: Tensor, into: int, out: int, piece: int, margin: int) -> Tensor:
    """`through(x)` over pieces of the last axis, and over few items at once where these are long.

    A frame is `into` values of `x` and `out` values of the result; a piece has `piece` frames and sees `margin` more to
    either side, beyond which nothing reaches it.
    """
    frames, items, result = x.shape[-1] // into, max(1, piece * into // max(1, x.shape[-1])), None
    for row in range(0, len(x), items):
        for start in range(0, frames, piece):
            first = max(0, start - margin)
            made = through(x[row : row + items, ..., first * into : (start + piece + margin) * into])
            made = made[..., (start - first) * out :][..., : piece * out]
            if result is None:
                result = made.new_empty(len(x), made.shape[1], frames * out)
            result[row : row + items, :, start * out : (start + piece) * out] = made
    assert result is not None, "nothing to code"
    return result
