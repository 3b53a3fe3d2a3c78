"""EnCodec: encoder, residual quantiser, decoder (Défossez et al. 2022, "High Fidelity Neural Audio Compression").

In: audio `[B, C, N]`. Out: codes `[B, K, T]`, and back. The 24 and 32 kHz models code the whole file; the 48 kHz model
normalises loudness and codes overlapping segments of one second, each with its own scale.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config, Pretrained
from cadenza.codec.base import Codec, Codes, exactly
from cadenza.codec.quantize import ResidualQuantizer
from cadenza.codec.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from cadenza.codec.spectral import SpectralConfig, SpectralEncoder
from cadenza.codec.spectral_decoder import Spectra, SpectralDecoder
from cadenza.errors import UserError

Half = Annotated[SEANetConfig | SpectralConfig, Field(discriminator="kind")]


class EnCodecConfig(Config):
    """Defaults: the 32 kHz model of MusicGen."""

    kind: str = Field("encodec", pattern="^encodec$")
    sample_rate: int = Field(32000, ge=1, le=1_000_000, description="Hz")
    channels: int = Field(1, ge=1, le=65536, description="audio channels")
    codebook_size: int = Field(2048, ge=2, le=65536, description="entries per codebook")
    num_codebooks: int = Field(4, ge=1, le=65536, description="residual codebooks held")
    used_codebooks: int | None = Field(
        None, ge=1, le=65536, description="residual codebooks used (a lower bandwidth); None: all"
    )
    latent_dim: int = Field(128, ge=1, le=65536, description="width of the quantised latent")
    encoder: Half = Field(default_factory=SEANetConfig)
    decoder: Half = Field(default_factory=SEANetConfig)
    renormalize: bool = Field(False, description="divide each segment by its RMS and keep it as the scale")
    segment_seconds: float | None = Field(
        None, gt=0, description="code segments of this length apart; None: the whole file"
    )
    segment_overlap: float = Field(0.01, ge=0, lt=1, description="share of a segment that the next one repeats")

    @property
    def hop_length(self) -> int:
        return self.encoder.hop_length


class EncodecTraining(NamedTuple):
    """What a training step needs. `spectrum` is the distance of magnitudes of a spectral decoder, else 0, and `spectra`
    are those magnitudes, per transform."""

    audio: Float[Tensor, "B C N"]
    codes: Int[Tensor, "B K T"]
    commitment: Float[Tensor, ""]
    spectrum: Float[Tensor, ""]
    bandwidth_kbps: float
    codebook_usage: Float[Tensor, ""]
    spectra: Sequence[Spectra] = ()


class EnCodec(Codec, Pretrained):
    """The codec of the MusicGen family; every size and variant is a configuration.

    Args of `encode` and `decode` are fp32; audio in [-1, 1].
    """

    config_class = EnCodecConfig

    def __init__(self, config: EnCodecConfig) -> None:
        super().__init__()
        self.config = config
        if config.decoder.hop_length != config.hop_length:
            raise UserError(
                f"the encoder's hop is {config.hop_length}, the decoder's {config.decoder.hop_length}: make them equal"
            )
        if config.num_codebooks < (config.used_codebooks or 1):
            raise UserError(
                f"used_codebooks = {config.used_codebooks}: the codec has {config.num_codebooks}, use as many or fewer"
            )
        self.encoder: SEANetEncoder | SpectralEncoder
        self.decoder: SEANetDecoder | SpectralDecoder
        if isinstance(config.encoder, SpectralConfig):
            self.encoder = SpectralEncoder(config.encoder, config.channels, config.latent_dim)
            self.encoder.attach_analysis(config.sample_rate)
        else:
            self.encoder = SEANetEncoder(config.encoder, config.channels, config.latent_dim)
        if isinstance(config.decoder, SpectralConfig):
            self.decoder = SpectralDecoder(config.decoder, config.channels, config.latent_dim)
        else:
            self.decoder = SEANetDecoder(config.decoder, config.channels, config.latent_dim)
        self.quantizer = ResidualQuantizer(config.num_codebooks, config.codebook_size, config.latent_dim)

    @property
    def sample_rate(self) -> int:
        return self.config.sample_rate

    @property
    def channels(self) -> int:
        return self.config.channels

    @property
    def hop_length(self) -> int:
        return self.config.hop_length

    @property
    def num_codebooks(self) -> int:
        return self.config.used_codebooks or self.config.num_codebooks

    @property
    def codebook_size(self) -> int:
        return self.config.codebook_size

    @property
    def lookahead_frames(self) -> float:
        return float(self._segment_frames) if self.config.segment_seconds else self.decoder.lookahead_frames

    @property
    def bandwidth_kbps(self) -> float:
        """Bit rate of the codes, scales not counted."""
        return self.kbps_of(self.num_codebooks)

    def kbps_of(self, num_codebooks: int) -> float:
        """Bit rate of the first codebooks."""
        return num_codebooks * math.log2(self.codebook_size) * self.frame_rate / 1000

    @torch.no_grad()
    def encode(self, audio: Float[Tensor, "B C N"]) -> Codes:
        """Codes of the audio. A segmented model joins its segments' codes along time."""
        codes, scales = [], []
        for start in range(0, audio.shape[-1], self._segment_stride or audio.shape[-1]):
            piece = audio[..., start : start + self._segment_samples] if self._segment_samples else audio
            piece, scale = self._normalize(piece)
            with exactly(audio.device):
                codes.append(self.quantizer.encode(self.encoder(piece), self.num_codebooks))
            scales.append(scale)
        joined = torch.cat(codes, dim=-1)
        return Codes(joined, torch.cat(scales, dim=1) if self.config.renormalize else None)

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "B K T"], scale: Float[Tensor, "B G"] | None = None) -> Float[Tensor, "B C N"]:
        with exactly(codes.device):
            if self.config.segment_seconds:
                return self._decode_segments(codes, scale)
            audio = self.decoder(self.quantizer.decode(codes))
        return audio if scale is None else audio * scale[:, None]

    @torch.no_grad()
    def decode_latent(self, codes: Int[Tensor, "B K T"]) -> Float[Tensor, "B D T"]:
        return self.quantizer.decode(codes)

    def pack(self) -> None:
        self.decoder.pack()

    def new_decode_state(self) -> Any:
        return self.decoder.new_state()

    @torch.no_grad()
    def decode_step(self, codes: Int[Tensor, "B K t"], state: Any, last: bool) -> Float[Tensor, "B C n"]:
        """Streamed `decode` of a codec that codes whole files (24 and 32 kHz)."""
        if self.config.segment_seconds:
            raise UserError(
                "a codec of separate segments (48 kHz) cannot decode step by step: use decode for the whole"
            )
        with exactly(codes.device):
            return self.decoder.stream(self.quantizer.decode(codes), state, last)

    def forward_train(
        self,
        audio: Float[Tensor, "B C N"],
        generator: torch.Generator | None = None,
        num_codebooks: int | None = None,
    ) -> EncodecTraining:
        """Encode, quantise with gradients, decode; codebooks learn in train mode. `N` is a multiple of the hop.

        `num_codebooks`: pass through the first ones only (a lower bandwidth); the others do not learn.
        """
        count = num_codebooks or self.num_codebooks
        audio, scale = self._normalize(audio)
        latent = self.encoder(audio)
        with torch.autocast(audio.device.type, enabled=False):  # distances of near neighbours need fp32
            quantized = self.quantizer(latent.float(), count, generator)
        if isinstance(self.decoder, SpectralDecoder):
            decoded, distance, spectra = self.decoder.train_pass(audio, quantized.latent)
        else:
            decoded, distance, spectra = self.decoder(quantized.latent), quantized.commitment.new_zeros(()), []
        decoded = decoded.float()[..., : audio.shape[-1]] * scale[:, None]
        return EncodecTraining(
            decoded, quantized.codes, quantized.commitment, distance, self.kbps_of(count), quantized.usage, spectra
        )

    def _normalize(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        if not self.config.renormalize:
            return audio, audio.new_ones(len(audio), 1)
        scale = 1e-8 + audio.mean(dim=1).pow(2).mean(dim=1, keepdim=True).sqrt()
        return audio / scale[:, None], scale

    @property
    def _segment_samples(self) -> int:
        return int((self.config.segment_seconds or 0) * self.config.sample_rate)

    @property
    def _segment_stride(self) -> int:
        return int(self._segment_samples * (1 - self.config.segment_overlap))

    @property
    def _segment_frames(self) -> int:
        return math.ceil(self._segment_samples / self.config.hop_length)

    def _decode_segments(self, codes: Tensor, scale: Tensor | None) -> Tensor:
        """Linear cross-fade: each segment weighted by a triangle over its length, divided by the summed weights."""
        pieces = codes.split(self._segment_frames, dim=-1)
        total = self._segment_stride * (len(pieces) - 1) + pieces[-1].shape[-1] * self.config.hop_length
        out = torch.zeros(len(codes), self.config.channels, total, device=codes.device)
        weight_sum = torch.zeros(total, device=codes.device)
        ramp = torch.linspace(0, 1, self._segment_samples + 2, device=codes.device)[1:-1]
        triangle = 0.5 - (ramp - 0.5).abs()
        for index, piece in enumerate(pieces):
            audio = self.decoder(self.quantizer.decode(piece))
            if scale is not None:
                audio = audio * scale[:, index : index + 1, None]
            start = index * self._segment_stride
            length = min(audio.shape[-1], total - start, self._segment_samples)
            out[..., start : start + length] += audio[..., :length] * triangle[:length]
            weight_sum[start : start + length] += triangle[:length]
        return out / weight_sum
