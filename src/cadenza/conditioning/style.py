"""Style as a condition: a few seconds of a recording, reduced to what other music can share with it.

    recording -> excerpt -> extractor -> transformer -> batch norm -> codebooks -> every 15th frame -> projection
                            (frozen)    |___________ bottleneck, float32 ___________________________|

In: `Audio`; a `Style`, which also says what part of it and how closely to follow; or vectors `[L, E]` computed
elsewhere. Out: a `Condition`, five vectors a second. Rouard et al. (2024), "Audio conditioning for music generation via
discrete bottleneck features" (MusicGen-Style). The codebooks keep the recording itself from getting through: one lets
pass its mood, all six almost its notes.
"""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from cadenza.audio import Audio
from cadenza.checkpoint import Config
from cadenza.codec.base import Codec
from cadenza.codec.quantize import ResidualQuantizer
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.base import Condition, Conditioner, Features, given_features, output_projection
from cadenza.conditioning.mert import Mert
from cadenza.errors import UserError
from cadenza.nn.positional import sinusoidal_positions
from cadenza.nn.transformer import TransformerLayer


class Style(NamedTuple):
    """A recording whose style to follow, from a short excerpt of it."""

    audio: Audio
    seed: int = 0
    """Draws where the excerpt begins."""
    excerpt_seconds: float | None = None
    """Length of the excerpt; None: as the model has it, 3. Trained with 1.5 to 4.5."""
    num_codebooks: int | None = None
    """How closely to follow, 1 (loosely) to 6; None: as the model has it, 3."""
    start_seconds: float | None = None
    """Where the excerpt begins; None: drawn."""


class StyleConfig(Config):
    """The defaults are MusicGen-Style's."""

    kind: Literal["style"] = "style"
    extractor: Literal["mert", "encodec"] = Field("mert", description="what hears: MERT, or the model's own codec")
    extractor_dim: int = Field(768, ge=1, le=65536, description="width of MERT's vectors")
    encoder: str = Field("style_encoder", pattern=r"^[\w.-]+$", description="folder of the frozen MERT")
    codec_codebooks: int = Field(3, ge=1, le=1024, description="codebooks of the codec that are heard (encodec)")
    codec_codebook_size: int = Field(2048, ge=1, description="entries of each (encodec)")
    excerpt_seconds: float = Field(3.0, gt=0, allow_inf_nan=False, description="length of the excerpt, seconds")
    middle: bool = Field(False, description="take the excerpt from the middle instead of drawing its place")
    dim: int = Field(512, ge=2, le=65536, description="width of the transformer, E")
    num_heads: int = Field(8, ge=1, le=1024, description="its attention heads")
    num_layers: int = Field(8, ge=0, le=1024, description="its layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of activations zeroed in training")
    batch_norm: bool = Field(True, description="bring every dimension to mean 0 and variance 1 before the codebooks")
    num_codebooks: int = Field(6, ge=1, le=1024, description="residual codebooks of the bottleneck")
    used_codebooks: int = Field(3, ge=1, le=1024, description="how many of them are used unless told otherwise")
    codebook_size: int = Field(1024, ge=1, description="entries per codebook")
    quantizer_dropout: bool = Field(True, description="draw how many codebooks are used in each step of training")
    downsample: int = Field(15, ge=1, description="of so many frames, one is kept")
    projection_layers: Literal[1, 2] = Field(1, description="linear layers between the bottleneck and the model")


@runtime_checkable
class StyleExtractor(Protocol):
    """A frozen model that hears: `Mert`, or the codec."""

    @property
    def frame_rate(self) -> float:
        """Vectors per second."""

    def extract(self, excerpt: Audio, device: torch.device) -> Float[Tensor, "T F"]:
        """The vectors of an excerpt, on `device`."""


class CodecExtractor(NamedTuple):
    """Hears by the codes of a codec, its first `num_codebooks` streams."""

    codec: Codec
    num_codebooks: int

    @property
    def frame_rate(self) -> float:
        return self.codec.frame_rate

    @torch.no_grad()
    def extract(self, excerpt: Audio, device: torch.device) -> Float[Tensor, "T F"]:
        """Codes, as numbers."""
        wave = excerpt.with_channels(self.codec.channels).resample(self.codec.sample_rate)
        samples = torch.from_numpy(wave.samples[None]).to(next(self.codec.parameters()).device)
        return self.codec.encode(samples).codes[0, : self.num_codebooks].T.to(device, torch.float32)


class StyleBottleneck(nn.Module):
    """What the extractor hears -> `[B, L, E]`, the part that was trained. Its embeddings and sums are float32 (trap 4).

    In training mode the batch norm and the codebooks learn, and gradients pass straight through the codebooks.
    """

    float32_weights = True
    """Loading keeps them so, whatever the model's precision."""

    def __init__(self, config: StyleConfig) -> None:
        super().__init__()
        assert config.used_codebooks <= config.num_codebooks, "more codebooks used than there are"
        self.config = config
        self.embed: nn.Module
        if config.extractor == "mert":
            self.embed = nn.Linear(config.extractor_dim, config.dim)
        else:
            tables = (nn.Embedding(config.codec_codebook_size, config.dim) for _ in range(config.codec_codebooks))
            self.embed = nn.ModuleList(tables)
        self.layers = nn.ModuleList(
            TransformerLayer(config.dim, config.num_heads, 4 * config.dim, dropout=config.dropout, causal=False)
            for _ in range(config.num_layers)
        )
        self.batch_norm = nn.BatchNorm1d(config.dim, affine=False) if config.batch_norm else None
        self.quantizer = ResidualQuantizer(config.num_codebooks, config.codebook_size, config.dim)

    def forward(
        self,
        extracted: Float[Tensor, "B T F"],
        num_codebooks: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "B L E"]:
        """`generator` draws, in training, the number of codebooks and what replaces their dead entries."""
        if isinstance(self.embed, nn.ModuleList):
            x = torch.stack([table(extracted[..., k].long()) for k, table in enumerate(self.embed)]).sum(0)
        else:
            x = self.embed(extracted)
        x = x + sinusoidal_positions(x.shape[1], x.shape[2], device=x.device)
        for layer in self.layers:
            x = layer(x)
        latent = x.transpose(1, 2)
        if self.batch_norm is not None:
            latent = self.batch_norm(latent)
        if self.training:
            if num_codebooks is None and self.config.quantizer_dropout:
                num_codebooks = int(torch.randint(1, self.config.num_codebooks + 1, (), generator=generator))
            latent = self.quantizer(latent, num_codebooks, generator).latent
        else:
            codes = self.quantizer.encode(latent, num_codebooks or self.config.used_codebooks)
            latent = self.quantizer.decode(codes)
        return latent[..., :: self.config.downsample].transpose(1, 2)


class StyleConditioner(Conditioner):
    """`Linear(bottleneck(extractor(excerpt)))`, zero where there is no style.

    Features are what leaves the bottleneck. In training mode they are what the frozen extractor hears, `[T, F]`, and
    `forward` does the rest, with gradient; the excerpts of a batch are then equally long.
    """

    accepts = "a recording (Audio, or a Style with its excerpt)"

    def __init__(self, config: StyleConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.bottleneck = StyleBottleneck(config)
        self.output_projection = output_projection(config.dim, dim, config.projection_layers)
        self.extractor: StyleExtractor | None = None
        """No submodule: it is frozen, stays out of the state dict and keeps its own precision."""
        self.generator: torch.Generator | None = None
        """Draws, in training, the number of codebooks and what replaces their dead entries; None: PyTorch's own."""

    @property
    def feature_dim(self) -> int:
        return self.config.dim

    @property
    def _heard_dim(self) -> int:
        """Width F of what the extractor hears."""
        return self.config.extractor_dim if self.config.extractor == "mert" else self.config.codec_codebooks

    @torch.no_grad()
    def prepare(self, values: Sequence[object]) -> list[Features | None]:
        """The vectors of each recording's excerpt, one recording after the other: none depends on its company."""
        return [None if value is None else self._features(value) for value in values]

    def forward(self, features: Sequence[Features | None], min_length: int = 1) -> Condition:
        heard = [item for item in features if item is not None]
        if self.training and heard:
            assert len({item.shape for item in heard}) == 1, "the excerpts of one training batch are equally long"
            device, _ = self.parameters_like()
            with torch.autocast(device.type, enabled=False):
                rows = iter(self.bottleneck(torch.stack(heard).to(device), generator=self.generator))
            features = [None if item is None else next(rows) for item in features]
        return super().forward(features, min_length)

    def _features(self, value: object) -> Features:
        if isinstance(value, Tensor):
            return given_features(value, self._heard_dim if self.training else self.config.dim, self.accepts)
        style = Style(value) if isinstance(value, Audio) else value
        if not isinstance(style, Style) or not isinstance(style.audio, Audio):
            raise UserError(f"a {type(value).__name__} has no style: give {self.accepts}")
        count = self.config.used_codebooks if style.num_codebooks is None else style.num_codebooks
        if count not in range(1, self.config.num_codebooks + 1):
            raise UserError(f"a style has 1 to {self.config.num_codebooks} codebooks, not {count!r:.40}")
        excerpt = self.excerpt(style)
        if self.extractor is None:
            raise UserError(
                f"no style encoder: put MERT into the folder {self.config.encoder!r} beside the weights"
                if self.config.extractor == "mert"
                else "nothing hears the style: hand the codec over (`ConditionProvider.attach_codec`)"
            )
        device, _ = self.parameters_like()
        extracted = self.extractor.extract(excerpt, device)
        if self.training:
            return extracted
        self.bottleneck.float()
        with torch.autocast(device.type, enabled=False):
            return self.bottleneck(extracted[None], count)[0]

    def excerpt(self, style: Style) -> Audio:
        """The part of the recording that is heard. UserError for lengths and places that cannot be, and silence."""
        audio = style.audio
        seconds = self.config.excerpt_seconds if style.excerpt_seconds is None else style.excerpt_seconds
        least = self.config.downsample / self.extractor.frame_rate if self.extractor is not None else 0.0
        if not (math.isfinite(seconds) and seconds > 0 and seconds >= least):
            raise UserError(f"an excerpt of {seconds:g} s says nothing: give at least {least:g} s, best 1.5 to 4.5")
        size = round(seconds * audio.sample_rate)
        room = audio.num_samples - size
        if room < 0:
            raise UserError(
                f"the style clip lasts {audio.duration_seconds:.2f} s, its excerpt {seconds:g} s: give at least "
                f"{seconds:g} s of audio, or ask for a shorter excerpt"
            )
        start = self._start(style, room)
        part = audio.slice(start / audio.sample_rate, seconds)
        if not part.samples.any():
            raise UserError(
                f"the style clip is silent from {start / audio.sample_rate:g} s for {seconds:g} s: give a recording "
                "that sounds, or another start_seconds"
            )
        return part

    def _start(self, style: Style, room: int) -> int:
        """First sample of the excerpt, 0 to `room`."""
        rate = style.audio.sample_rate
        if style.start_seconds is not None:
            if not (math.isfinite(style.start_seconds) and 0 <= round(style.start_seconds * rate) <= room):
                raise UserError(
                    f"the excerpt cannot begin at {style.start_seconds:g} s: choose 0 to {room / rate:g} s, or give "
                    "more audio"
                )
            return round(style.start_seconds * rate)
        if self.config.middle:
            return room // 2
        if not isinstance(style.seed, int) or style.seed < 0:
            raise UserError(f"seed {style.seed!r:.40}: choose a whole number from 0 on")
        return int(random.Random(style.seed).random() * (room + 1))

    # ---- what hears --------------------------------------------------------------------------------------------------

    def attach(self, extractor: Mert | Codec) -> None:
        """Hear by MERT, or by the model's codec, as the configuration says; the other is not needed. UserError if it
        does not fit.
        """
        config = self.config
        if isinstance(extractor, Mert) and config.extractor == "mert":
            if extractor.config.dim != config.extractor_dim:
                found = extractor.config.dim
                raise UserError(f"the style encoder is {found} wide, the model expects {config.extractor_dim}")
            self.extractor = extractor
        elif isinstance(extractor, Codec) and config.extractor == "encodec":
            mono = extractor.mono if isinstance(extractor, StereoCodec) else extractor
            if mono.num_codebooks < config.codec_codebooks or mono.codebook_size != config.codec_codebook_size:
                raise UserError(
                    f"the codec has {mono.num_codebooks} codebooks of {mono.codebook_size}, the style condition hears "
                    f"{config.codec_codebooks} of {config.codec_codebook_size}"
                )
            self.extractor = CodecExtractor(mono, config.codec_codebooks)

    def load_encoder(self, directory: str | Path) -> None:
        """Take MERT from its folder in `directory`, if it is there: without it, vectors still work."""
        folder = Path(directory) / self.config.encoder
        if self.config.extractor == "mert" and folder.is_dir():
            self.attach(Mert.from_pretrained(folder))

    def save_encoder(self, directory: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write MERT, if there is one, into its folder in `directory`."""
        if isinstance(self.extractor, Mert):
            self.extractor.save_pretrained(Path(directory) / self.config.encoder, dtype)
