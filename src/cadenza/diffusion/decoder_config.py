"""What a diffusion decoder's `config.json` says."""

from typing import Literal

from pydantic import Field

from cadenza.checkpoint import Config
from cadenza.diffusion.band import BandConfig
from cadenza.diffusion.settings import DiffusionSettings


class DiffusionDecoderConfig(Config):
    """What the bands share, and which codec they belong to."""

    format: Literal[1] = Field(1, description="version of the model directory")
    type: Literal["diffusion_decoder"] = Field("diffusion_decoder", description="kind of model")
    name: str = Field("unnamed", description="what the decoder is called")
    licence: str = Field("unknown", description="licence of the weights, and what they may be used for")
    sample_rate: int = Field(32000, ge=1, le=1_000_000, description="Hz, of the codec")
    channels: int = Field(1, ge=1, le=64, description="audio channels of the networks")
    bands: tuple[BandConfig, ...] = Field(..., min_length=1, max_length=64, description="bands, lowest first")
    match_bands: int = Field(32, ge=1, le=256, description="bands whose levels are matched (arXiv 2308.02560)")
    condition_dim: int = Field(128, ge=1, le=65536, description="width of the codec's latent")
    frame_rate: float = Field(50.0, gt=0, description="frames per second of the codec")
    num_codebooks: int = Field(4, ge=1, le=65536, description="codes per frame of the codec")
    codebook_size: int = Field(2048, ge=2, le=65536, description="entries per codebook of the codec")
    level: float = Field(
        0.25, gt=0, description="deviation at which recordings are shown to it (its authors, audiocraft issue 236)"
    )
    settings: DiffusionSettings = Field(DiffusionSettings(), description="used where none are given")
