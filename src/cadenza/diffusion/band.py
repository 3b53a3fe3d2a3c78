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
from cadenza.diffusion.levels import SILENT
from cadenza.diffusion.processor import BandProcessor, BandProcessorConfig
from cadenza.diffusion.sampler import Solver, denoise
from cadenza.diffusion.schedule import NoiseSchedule, NoiseScheduleConfig
from cadenza.diffusion.shaping import shaped
from cadenza.diffusion.unet import DiffusionUnet, DiffusionUnetConfig
from cadenza.diffusion.unet_blocks import DecoderLevel

Levels = Float[Tensor, "n B C"] | None
_WEAKEST_BAND = 1e-2
"""Level of a band that is taken to be there, relative to all of the sound (-40 dB)."""


class BandConfig(Config):
    """Bands of one decoder may differ in everything but their channels and what they listen to."""

    unet: DiffusionUnetConfig = DiffusionUnetConfig()
    schedule: NoiseScheduleConfig = NoiseScheduleConfig()
    processor: BandProcessorConfig | None = Field(None, description="levels of bands; None: audio as it is")
    prediction: Literal["noise", "velocity", "departure"] = Field(
        "noise",
        description="what the network says: the noise, as published, or `signal * noise - noise share * audio` "
        "(arXiv 2202.00512), from which the noise follows, and which asks as much of it where there is much noise, or "
        "what the audio has beyond the codec's decode: a new network then says nothing, and its sound is the codec's",
    )
    hears_codec: bool = Field(
        False, description="the second half of the network's channels is the codec's own decode; False: as published"
    )
    levelled: bool = Field(
        False,
        description="levels of the processor's bands are those of the codec's decode, of each window and channel its "
        "own, not those of all training data",
    )

    @model_validator(mode="after")
    def _check(self) -> "BandConfig":
        if self.hears_codec and self.unet.channels % 2:
            raise ValueError("hears_codec needs twice the channels of the audio in the network")
        if self.prediction != "noise" and not self.schedule.rescale == self.schedule.noise_scale == 1:
            raise ValueError(f"prediction = {self.prediction} needs rescale and noise_scale of 1")
        if self.prediction == "departure" and not self.hears_codec:
            raise ValueError("prediction = departure needs hears_codec")
        if self.levelled and self.processor is None:
            raise ValueError("levelled needs a processor, whose bands are levelled")
        if self.prediction == "departure" and self.processor is not None and not self.levelled:
            raise ValueError("prediction = departure needs levelled where there is a processor")
        return self

    @property
    def needs_codec(self) -> bool:
        """Whether the codec's own decode is to be made before the network is called."""
        return self.hears_codec or self.levelled


class Band(nn.Module):
    """`restore(denoise(noise))`. The network was trained on audio of this band alone, so nothing filters its output."""

    def __init__(self, config: BandConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = DiffusionUnet(config.unet)
        self.processor = None if config.processor is None else BandProcessor(config.processor)
        self.schedule = NoiseSchedule(config.schedule)
        if config.prediction == "departure":
            last = self.unet.decoders[-1]
            assert isinstance(last, DecoderLevel)
            nn.init.zeros_(last.up.weight)

    def levels(self, heard: Float[Tensor, "B C N"] | None) -> Levels:
        """Those of the codec's decode, if the network knows audio relative to them."""
        if not self.config.levelled:
            return None
        assert heard is not None and self.processor is not None, "this band hears the codec's decode"
        splitter = self.processor.splitter
        least = heard.std(-1, correction=0).clamp_min(SILENT) * _WEAKEST_BAND
        return splitter.stds(heard).maximum(least) * splitter.num_bands**0.5  # all together as strong as unit noise

    def project(self, audio: Float[Tensor, "B C N"], levels: Levels = None) -> Float[Tensor, "B C N"]:
        """Audio as the network sees it."""
        if self.processor is None:
            return audio
        return self.processor.project(audio) if levels is None else self.processor.splitter.weighted(audio, 1 / levels)

    def restore(self, audio: Float[Tensor, "B C N"], levels: Levels = None) -> Float[Tensor, "B C N"]:
        """What the network made, as audio."""
        if self.processor is None:
            return audio
        return self.processor.restore(audio) if levels is None else self.processor.splitter.weighted(audio, levels)

    def sound(
        self,
        made: Float[Tensor, "B C N"],
        beside: Float[Tensor, "B C N"] | None = None,
        heard: Float[Tensor, "B C N"] | None = None,
    ) -> Float[Tensor, "B C N"]:
        """`restore`, given the codec's decode, projected (`beside`) and not; where nothing departs from it, it itself,
        for to project and to restore is nearly nothing, but not quite."""
        if self.config.prediction != "departure":
            return self.restore(made, self.levels(heard))
        assert beside is not None and heard is not None, "this band hears the codec's decode"
        return heard + self.restore(made - beside, self.levels(heard))

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
        said = self.unet(torch.cat([noisy, heard], dim=1), step, condition)[:, : noisy.shape[1]]
        return shaped(said, heard) if self.config.prediction == "departure" else said

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
        call of the network; `heard` is the codec's own decode, for a band that needs it.
        """
        beside = None
        if self.config.hears_codec and heard is not None:
            beside = self.project(heard, self.levels(heard))
        return self.sound(self.walk(condition, noise, steps, solver, called, beside), beside, heard)

    def walk(
        self,
        condition: Float[Tensor, "B D T"],
        noise: Iterator[Float[Tensor, "B C N"]],
        steps: Sequence[int],
        solver: Solver,
        called: Callable[[], None] = lambda: None,
        beside: Float[Tensor, "B C N"] | None = None,
    ) -> Float[Tensor, "B C N"]:
        """The state at the last of `steps`, as networks see audio; of a single step, where a walk begins."""

        def predict(state: Tensor, step: int) -> Tensor:
            with exactly(state.device):
                said = self.say(state, step, condition, beside)
            called()
            return self._noise_in(state, step, said, beside)

        start = next(noise)
        if len(steps) == 1:
            return start * self.schedule.config.noise_scale
        return denoise(predict, self.schedule, start, steps, solver, lambda: next(noise))

    def clean(
        self,
        noisy: Float[Tensor, "B C N"],
        steps: Int[Tensor, " B"],
        said: Float[Tensor, "B C N"],
        beside: Float[Tensor, "B C N"] | None,
    ) -> Float[Tensor, "B C N"]:
        """The audio, projected, that the network's answer means; differentiable, a step per item."""
        if self.config.prediction == "departure":
            assert beside is not None, "this band hears the codec's decode"
            return beside + said
        kept = self.schedule.alpha_bar.to(steps.device)[steps][:, None, None]
        if self.config.prediction == "velocity":
            return kept.sqrt() * noisy - (1 - kept).sqrt() * said
        config = self.schedule.config
        return (noisy - (1 - kept).sqrt() * config.noise_scale * said) * config.rescale / kept.sqrt()

    def _noise_in(self, state: Tensor, step: int, said: Tensor, beside: Tensor | None) -> Tensor:
        """What the network's answer means for a sampler: unit noise."""
        if self.config.prediction == "noise":
            return said
        signal, noise = self.schedule.signal(step), self.schedule.noise(step)
        if self.config.prediction == "velocity":
            return noise * state + signal * said
        assert beside is not None, "this band hears the codec's decode"
        return (state - signal * (beside + said)) / noise


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
