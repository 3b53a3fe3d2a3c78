"""One frequency band of a diffusion decoder: a network, its noise schedule, and the levels it was trained at.

In: the codec's latent and unit noise. Out: the audio of the band. Multi-Band Diffusion (San Roman et al. 2023, arXiv
2308.02560, section 3).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from cadenza.checkpoint import Config, load_weights, on_meta, write_weights
from cadenza.codec.base import exactly
from cadenza.diffusion.processor import BandProcessor, BandProcessorConfig
from cadenza.diffusion.sampler import Solver, denoise
from cadenza.diffusion.schedule import NoiseSchedule, NoiseScheduleConfig
from cadenza.diffusion.unet import DiffusionUnet, DiffusionUnetConfig


class BandConfig(Config):
    """Bands of one decoder may differ in everything but their channels and what they listen to."""

    unet: DiffusionUnetConfig = DiffusionUnetConfig()
    schedule: NoiseScheduleConfig = NoiseScheduleConfig()
    processor: BandProcessorConfig | None = Field(None, description="levels of bands; None: audio as it is")
    prediction: Literal["noise", "velocity"] = Field(
        "noise",
        description="what the network says: the noise, as published, or `signal * noise - noise share * audio` "
        "(arXiv 2202.00512), from which the noise follows, and which asks as much of it where there is much noise",
    )
    hears_codec: bool = Field(
        False, description="the second half of the network's channels is the codec's own decode; False: as published"
    )

    @model_validator(mode="after")
    def _check(self) -> "BandConfig":
        if self.hears_codec and self.unet.channels % 2:
            raise ValueError("hears_codec needs twice the channels of the audio in the network")
        if self.prediction == "velocity" and not self.schedule.rescale == self.schedule.noise_scale == 1:
            raise ValueError("prediction = velocity needs rescale and noise_scale of 1")
        return self


class Band(nn.Module):
    """`restore(denoise(noise))`. The network was trained on audio of this band alone, so nothing filters its output."""

    def __init__(self, config: BandConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = DiffusionUnet(config.unet)
        self.processor = None if config.processor is None else BandProcessor(config.processor)
        self.schedule = NoiseSchedule(config.schedule)

    def project(self, audio: Float[Tensor, "B C N"]) -> Float[Tensor, "B C N"]:
        """Audio as the network sees it."""
        return audio if self.processor is None else self.processor.project(audio)

    def restore(self, audio: Float[Tensor, "B C N"]) -> Float[Tensor, "B C N"]:
        """What the network made, as audio."""
        return audio if self.processor is None else self.processor.restore(audio)

    def say(
        self,
        noisy: Float[Tensor, "B C N"],
        step: Int[Tensor, " B"] | int,
        condition: Float[Tensor, "B D T"] | None,
        heard: Float[Tensor, "B C N"] | None,
    ) -> Float[Tensor, "B C N"]:
        """What the network says of noisy audio, beside the codec's decode, projected, if it hears that."""
        if not self.config.hears_codec:
            said: Tensor = self.unet(noisy, step, condition)
            return said
        assert heard is not None, "this band hears the codec's decode"
        return self.unet(torch.cat([noisy, heard], dim=1), step, condition)[:, : noisy.shape[1]]

    def denoise(
        self,
        condition: Float[Tensor, "B D T"],
        noise: Iterator[Float[Tensor, "B C N"]],
        steps: Sequence[int],
        solver: Solver = "ancestral",
        called: Callable[[], None] = lambda: None,
        heard: Float[Tensor, "B C N"] | None = None,
    ) -> Float[Tensor, "B C N"]:
        """The band of the clips whose latents are `condition`; as many samples as the noise has.

        `noise` is read once, and once more between steps where the solver asks for it; `called` is called after each
        call of the network; `heard` is the codec's own decode, for a band that hears it.
        """
        beside = self.project(heard) if self.config.hears_codec and heard is not None else None

        def predict(state: Tensor, step: int) -> Tensor:
            with exactly(state.device):
                said = self.say(state, step, condition, beside)
            called()
            if self.config.prediction == "noise":
                return said
            return self.schedule.noise(step) * state + self.schedule.signal(step) * said

        return self.restore(denoise(predict, self.schedule, next(noise), steps, solver, lambda: next(noise)))


def load_band(config: BandConfig, directory: Path, number: int, device: str | torch.device = "cpu") -> Band:
    """The band of this number in a model directory, in float32. CheckpointError for a file that does not fit."""
    with on_meta():
        band = Band(config)
    load_weights(band, _file(directory, number), device, torch.float32)
    return band.eval()


def save_band(band: Band, directory: Path, number: int, dtype: torch.dtype | None = None) -> None:
    """Write the band's file; the network's tensors as `dtype`, statistics as they are."""
    state = band.state_dict()
    if dtype is not None:
        state |= {name: tensor.to(dtype) for name, tensor in state.items() if name.startswith("unet.")}
    write_weights(_file(directory, number), state)


def _file(directory: Path, number: int) -> Path:
    return directory / f"band_{number}.safetensors"
