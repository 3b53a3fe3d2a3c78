"""The settings of training a diffusion decoder."""

from typing import Literal

from pydantic import Field, model_validator

from cadenza.checkpoint import Config
from cadenza.diffusion.band import BandConfig
from cadenza.diffusion.settings import DiffusionSettings


class DiffusionObjectiveConfig(Config):
    """Defaults: Multi-Band Diffusion's rate and loss (arXiv 2308.02560)."""

    kind: Literal["diffusion"] = "diffusion"
    name: str = Field("unnamed", description="what the decoder is called")
    licence: str = Field("unknown", description="licence of the weights")
    codec: str | None = Field(
        None, description="codec whose codes are decoded, named as for `load_codec`; None: that of the embedded model"
    )
    num_codebooks: int | None = Field(None, ge=1, description="codebooks that are heard, the first ones; None: all")
    bands: tuple[BandConfig, ...] = Field(
        min_length=1, description="network, schedule and levels of each frequency band; `condition_dim` is filled in"
    )
    train_bands: tuple[int, ...] | None = Field(
        None, description="numbers of the bands that learn, the others stay as they begin; None: all"
    )
    start_from: str | None = Field(None, description="decoder directory to go on from, of the same bands")
    conditioned: bool = Field(True, description="False: networks hear no codes, to learn what those are worth")
    segment_seconds: float = Field(1.0, gt=0, description="length of a training segment, seconds")
    valid_seconds: float = Field(2.0, gt=0, description="length of a validation segment, seconds")
    level: float | None = Field(
        None, gt=0, description="segments are brought to this standard deviation; None: they stay as they are"
    )
    distance: Literal["mse", "l1"] = Field("mse", description="between the noise and what the network takes for it")
    norm_power: float = Field(
        0.0, ge=0, description="each item's distance is divided by MSE(noisy, noise) to this power; 0: it counts as is"
    )
    mel_weight: float = Field(
        0.0,
        ge=0,
        description="the mel distance (evaluate.fidelity) of the sound that the network's answer means, among the "
        "other bands' true sound, counts so much beside the distance; 0: as published",
    )
    own_states: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of updates at a step of the decoder's own walk (`settings`), in the state that the networks "
        "themselves brought it to: they learn to mend what they made; 0: all see true sound under noise, as published",
    )
    learning_rate: float = Field(2e-4, gt=0, description="Adam, no decay")
    betas: tuple[float, float] = Field((0.9, 0.999), description="decay of Adam's two moments")
    max_grad_norm: float = Field(0.0, ge=0, description="clip each band's gradient to this norm; 0: off, as published")
    settings: DiffusionSettings = Field(
        DiffusionSettings(), description="how it is decoded unless told otherwise, in validation too"
    )
    valid_decodes: bool = Field(
        False, description="validation judges whole decodes as well, and ranks snapshots by them"
    )

    @model_validator(mode="after")
    def _check(self) -> "DiffusionObjectiveConfig":
        if self.own_states and any(band.prediction != "departure" for band in self.bands):
            raise ValueError("own_states needs bands with prediction = departure: others say what noise is in a state")
        if self.own_states and self.settings.solver == "ancestral":
            raise ValueError("own_states needs a solver that adds no noise: choose ddim or dpm in settings")
        return self
