"""The level of each frequency band, as the diffusion of one band sees audio: near that of white noise.

In: audio `[B, C, N]`; out: the same with its bands scaled, and back. The statistics come from training data. Multi-Band
Diffusion (San Roman et al. 2023, arXiv 2308.02560, section 3.2).
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.diffusion.bands import BandSplitter


class BandProcessorConfig(Config):
    """Defaults: those of the original's class."""

    sample_rate: int = Field(..., ge=1, le=1_000_000, description="Hz")
    num_bands: int = Field(8, ge=1, le=256, description="bands whose levels are kept apart (arXiv 2308.02560)")
    power: float = Field(
        1.0, ge=0, description="how far levels move towards white noise: 0 leaves them, 1 goes all the way"
    )
    max_items: int = Field(10000, ge=1, description="clips of training data that statistics are taken from")


class BandProcessor(nn.Module):
    """`project(x) = sum_b (band_b(x) - mean_b) (target_b / std_b)^power`, and `restore` the other way.

    `target_b` is the mean square of white noise in the band, a power, although it stands over a standard deviation:
    released weights were trained with that ratio. Bands overlap, so `restore` of `project` is nearly the audio.
    """

    counts: Tensor
    sum_x: Tensor
    sum_x2: Tensor
    sum_target_x2: Tensor

    def __init__(self, config: BandProcessorConfig) -> None:
        super().__init__()
        self.config = config
        self.splitter = BandSplitter(config.sample_rate, config.num_bands)
        self.register_buffer("counts", torch.zeros(1))
        for name in ("sum_x", "sum_x2", "sum_target_x2"):
            self.register_buffer(name, torch.zeros(config.num_bands))

    @property
    def is_complete(self) -> bool:
        """Whether the statistics are settled."""
        return float(self.counts) >= self.config.max_items

    @torch.no_grad()
    def observe(self, audio: Float[Tensor, "B C N"], generator: torch.Generator) -> None:
        """Add clips of training data, and as much white noise, to the statistics, until there are enough."""
        if self.is_complete:
            return
        noise = torch.randn(audio.shape, generator=generator, device=generator.device).to(audio)
        mean, square = self.splitter.moments(audio)
        self.counts += len(audio)
        self.sum_x += mean.mean(2).sum(1).to(self.sum_x)
        self.sum_x2 += square.mean(2).sum(1).to(self.sum_x2)
        self.sum_target_x2 += self.splitter.moments(noise)[1].mean(2).sum(1).to(self.sum_target_x2)

    def project(self, audio: Float[Tensor, "B C N"]) -> Float[Tensor, "B C N"]:
        """Audio as the diffusion sees it."""
        gains = self._gains()
        return self.splitter.weighted(audio, gains) - (self._mean() * gains).sum()

    def restore(self, audio: Float[Tensor, "B C N"]) -> Float[Tensor, "B C N"]:
        """What the diffusion made, as audio."""
        return self.splitter.weighted(audio, 1 / self._gains()) + self._mean().sum()

    def _mean(self) -> Tensor:
        return self.sum_x / self.counts.clamp(min=1)

    def _gains(self) -> Tensor:
        """`(target / std)^power`; 1 while nothing was observed."""
        counts = self.counts.clamp(min=1)
        std = (self.sum_x2 / counts - self._mean() ** 2).clamp(min=0).sqrt()
        ratio = self.sum_target_x2 / counts / std.clamp(min=1e-12)
        return torch.where(self.counts > 0, ratio, 1.0) ** self.config.power
