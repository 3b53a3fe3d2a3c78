"""CLAP as a condition: a sentence or a sound, as one vector of the space that both share.

In: a sentence, an `Audio`, or vectors `[L, E]` computed elsewhere (their mean counts). Out: a `Condition` one vector
long. Because both arrive at the same place, a model can be trained on sound without captions and be asked in words.
As in MusicGen (Copet et al. 2023): windows of 10 s every second, averaged; unit length; then a residual quantiser, so
that fine differences between a sound and its description do not reach the model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from cadenza.audio import Audio
from cadenza.checkpoint import Config
from cadenza.codec.quantize import ResidualQuantizer
from cadenza.conditioning.base import Condition, Conditioner, Features, given_features, output_projection
from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.errors import UserError


class ClapConfig(Config):
    """The defaults are the paper's, over LAION's CLAP."""

    kind: Literal["clap"] = "clap"
    dim: int = Field(512, ge=1, description="width of the joint space, E")
    projection_layers: Literal[1, 2] = Field(1, description="linear layers between the joint space and the model")
    encoder: str = Field("clap_encoder", pattern=r"^[\w.-]+$", description="folder of the frozen towers")
    max_tokens: int = Field(77, ge=3, description="longest sentence accepted, tokens, both end marks included")
    truncate: bool = Field(False, description="cut longer sentences instead of refusing them")
    window_seconds: float = Field(10, gt=0, description="sound is heard in windows of this length, s")
    stride_seconds: float = Field(1, gt=0, description="from the start of a window to the next, s")
    normalize: bool = Field(True, description="bring vectors to unit length")
    quantize: bool = Field(True, description="pass vectors through a residual quantiser")
    num_codebooks: int = Field(12, ge=1, le=1024, description="codebooks of the quantiser, K")
    codebook_size: int = Field(1024, ge=2, le=1_000_000, description="entries per codebook, V")


class ClapConditioner(Conditioner):
    """`Linear(RVQ(CLAP(value) / |CLAP(value)|))`, zero where nothing is said."""

    accepts = "a sentence or a recording (Audio)"

    def __init__(self, config: ClapConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.output_projection = output_projection(config.dim, dim, config.projection_layers)
        self.quantizer: ResidualQuantizer | None = None
        if config.quantize:
            self.quantizer = ResidualQuantizer(config.num_codebooks, config.codebook_size, config.dim)
        self.encoder: ClapEncoder | None = None
        """No module, and so not in the state dict; it keeps its own precision."""
        self.generator: torch.Generator | None = None
        """Draws, in training, what replaces dead entries of the codebooks; None: PyTorch's own."""

    @property
    def feature_dim(self) -> int:
        return self.config.dim

    # ---- values to vectors -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def prepare(self, values: Sequence[object]) -> list[Features | None]:
        """The vector `[1, E]` of each value, before its length is made one. Distinct sentences are encoded once."""
        said = {value: None for value in values if isinstance(value, str) and value.strip()}
        texts = dict(zip(said, self._encode_texts(list(said)), strict=True)) if said else {}
        features: list[Features | None] = []
        for value in values:
            if value is None or (isinstance(value, str) and not value.strip()):
                features.append(None)
            elif isinstance(value, str):
                features.append(texts[value])
            elif isinstance(value, Tensor):
                features.append(self._given(value))
            elif isinstance(value, Audio):
                features.append(self.windows(value).mean(0, keepdim=True))
            else:
                raise UserError(f"a {type(value).__name__} ({value!r:.40}) is no condition: give {self.accepts}")
        if self.encoder is not None:
            self.encoder.rest()
        return features

    def _encode_texts(self, texts: list[str]) -> list[Features]:
        encoder, limit = self._ready_encoder(), self.config.max_tokens
        if not self.config.truncate:
            for text, ids in zip(texts, encoder.tokenizer(texts), strict=True):
                if len(ids) > limit:
                    raise UserError(f"the text {text[:40]!r}... has {len(ids)} tokens, at most {limit} fit: shorten it")
        return list(encoder.encode_text(texts, limit)[:, None])

    @torch.no_grad()
    def windows(self, audio: Audio) -> Float[Tensor, "W E"]:
        """The vector of every window of a recording. What is left after the last whole stride is not heard, as in the
        reference. UserError for what is too short or silent."""
        encoder, config = self._ready_encoder(), self.config
        front, seconds = encoder.front_end, audio.duration_seconds
        least = front.fft_window_size / front.sampling_rate
        if seconds < least:
            raise UserError(
                f"the recording lasts {seconds:.4f} s ({audio.num_samples} samples): give at least {least:.2g} s"
            )
        mono = audio.with_channels(1)
        if not mono.samples.any():
            raise UserError(f"the recording is silent for {seconds:g} s: give one that sounds, or a sentence")
        wave = torch.from_numpy(mono.resample(front.sampling_rate).samples[0])
        window = min(len(wave), round(config.window_seconds * front.sampling_rate))
        windows = wave.unfold(0, window, max(1, round(config.stride_seconds * front.sampling_rate)))
        return encoder.encode_windows(windows)

    def _given(self, value: Tensor) -> Features:
        mean = given_features(value, self.config.dim, self.accepts).float().mean(0, keepdim=True)
        if not mean.any():
            raise UserError(f"a tensor of zeros points nowhere: give CLAP's vectors, or {self.accepts}")
        return mean

    # ---- vectors to conditions ---------------------------------------------------------------------------------------

    def forward(self, features: Sequence[Features | None], min_length: int = 1) -> Condition:
        """Unit length and codebooks in float32 whatever the model's precision, then the projection."""
        present = [item for item in features if item is not None]
        if present:
            device, _ = self.parameters_like()
            with torch.autocast(device.type, enabled=False):
                vectors = self._reduce(torch.cat([item.to(device, torch.float32) for item in present]))
            pieces = iter(vectors.split([len(item) for item in present]))
            features = [None if item is None else next(pieces) for item in features]
        return super().forward(features, min_length)

    def _reduce(self, vectors: Float[Tensor, "N E"]) -> Float[Tensor, "N E"]:
        if self.config.normalize:
            vectors = F.normalize(vectors, dim=-1)
        if self.quantizer is None:
            return vectors
        self.quantizer.float()  # its distances mean nothing in 16 bits
        if self.training:
            return self.quantizer(vectors[..., None], generator=self.generator).latent[..., 0]
        return self.quantizer.decode(self.quantizer.encode(vectors[..., None]))[..., 0]

    # ---- the frozen towers -------------------------------------------------------------------------------------------

    def attach(self, encoder: ClapEncoder) -> None:
        """Use these towers. Raises UserError if they do not fit."""
        longest = encoder.front_end.max_length_s
        if encoder.dim != self.config.dim:
            raise UserError(f"the CLAP encoder is {encoder.dim} wide, the model expects {self.config.dim}")
        if self.config.window_seconds > longest:
            raise UserError(f"the CLAP encoder hears {longest:g} s at once, not {self.config.window_seconds:g} s")
        self.encoder = encoder

    def load_encoder(self, directory: str | Path, device: str | torch.device = "cpu") -> None:
        """Take the towers from their folder in `directory`, if it is there: without them, vectors still work."""
        folder = Path(directory) / self.config.encoder
        if folder.is_dir():
            self.attach(ClapEncoder.from_pretrained(folder, device))

    def save_encoder(self, directory: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write the towers, if there are any, into their folder in `directory`."""
        if self.encoder is not None:
            self.encoder.save_pretrained(Path(directory) / self.config.encoder, dtype)

    def _ready_encoder(self) -> ClapEncoder:
        if self.encoder is None:
            raise UserError(f"no CLAP encoder: put one into the folder {self.config.encoder!r} beside the weights")
        device, _ = self.parameters_like()
        self.encoder.to(device)
        return self.encoder
