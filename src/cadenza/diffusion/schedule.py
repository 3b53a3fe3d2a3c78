"""The noise schedule of a diffusion decoder: how much signal is left at each step.

In: a configuration. Out: `betas` and `alpha_bar` of every step, noisy audio for training, and the steps that a sampler
visits. At step `s` audio is `sqrt(alpha_bar(s)) x + sqrt(1 - alpha_bar(s)) noise`. "From Discrete Tokens to
High-Fidelity Audio Using Multi-Band Diffusion" (San Roman et al. 2023, arXiv 2308.02560, section 3.2), after Ho et al.
(2020).
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from cadenza.checkpoint import Config
from cadenza.errors import UserError

Spacing = Literal["time", "log_snr"]


class NoiseScheduleConfig(Config):
    """`beta` grows from `beta_start` to `beta_end`; the released decoders use 1e-5, 0.029 and exponent 7.5."""

    num_steps: int = Field(1000, ge=2, le=100_000, description="steps of the diffusion (arXiv 2308.02560)")
    beta_start: float = Field(1e-4, gt=0, lt=1, description="variance that the first step adds (arXiv 2006.11239)")
    beta_end: float = Field(0.02, gt=0, lt=1, description="variance that the last step adds (arXiv 2006.11239)")
    beta_exponent: float = Field(1.0, gt=0, description="beta grows linearly to this power (arXiv 2308.02560)")
    clip: float = Field(5.0, gt=0, description="samplers keep their state within +-clip, in standard deviations")
    rescale: float = Field(1.0, gt=0, description="noisy training audio is divided by this")
    noise_scale: float = Field(1.0, gt=0, description="standard deviation of the noise")


class NoiseSchedule:
    """The tables of a configuration. `betas` and `alpha_bar` are float32, `[num_steps]`, on the CPU."""

    def __init__(self, config: NoiseScheduleConfig) -> None:
        self.config = config
        power = config.beta_exponent
        roots = torch.linspace(config.beta_start ** (1 / power), config.beta_end ** (1 / power), config.num_steps)
        self.betas: Float[Tensor, " S"] = roots**power
        self.alpha_bar: Float[Tensor, " S"] = (1 - self.betas).cumprod(0)
        # 1 - alpha_bar has two digits left in float32 at the first steps; solvers take it from here.
        logarithms = torch.log1p(-self.betas.double()).cumsum(0)
        self._log_alpha_bar: list[float] = logarithms.tolist()
        self._log_snr: Float[Tensor, " S"] = logarithms / 2 - torch.log(-torch.expm1(logarithms)) / 2

    def noisy(
        self, clean: Float[Tensor, "B C N"], steps: Int[Tensor, " B"], noise: Float[Tensor, "B C N"]
    ) -> Float[Tensor, "B C N"]:
        """What audio has become at a step (one per item), given unit noise."""
        kept = self.alpha_bar.to(clean.device)[steps.to(clean.device)][:, None, None]
        return kept.sqrt() / self.config.rescale * clean + (1 - kept).sqrt() * noise * self.config.noise_scale

    def signal(self, step: int) -> float:
        """`sqrt(alpha_bar)`: the share of the signal."""
        return math.exp(self._log_alpha_bar[step] / 2)

    def noise(self, step: int) -> float:
        """`sqrt(1 - alpha_bar)`: the share of the noise, before `noise_scale`."""
        return math.sqrt(-math.expm1(self._log_alpha_bar[step]))

    def log_snr(self, step: int) -> float:
        """`log(signal / noise)`, half the logarithm of the ratio of powers (the lambda of DPM-Solver)."""
        return float(self._log_snr[step])

    def to_steps(self, calls: int, spacing: Spacing = "time") -> tuple[int, ...]:
        """The steps that a sampler of so many network calls visits: `calls + 1`, descending, the last is 0.

        `time`: evenly from the last step on, as the original does (20 calls of 1000 steps: 999, 949, ..., 49, 0).
        `log_snr`: evenly in the logarithm of signal over noise, each step the one nearest to its mark.

        Raises:
            UserError: as many calls as steps or more, or none.
        """
        last = self.config.num_steps - 1
        if not 1 <= calls <= last:
            raise UserError(f"{calls} network calls of a schedule of {last + 1} steps: use 1 to {last}")
        if spacing == "time":
            return (*(last - i * self.config.num_steps // calls for i in range(calls)), 0)
        marks = torch.linspace(self.log_snr(last), self.log_snr(0), calls + 1, dtype=torch.float64)
        steps = [int((self._log_snr - mark).abs().argmin()) for mark in marks]
        # Near both ends marks may share a step: make room, from the last to the first and back.
        for i in range(calls - 1, -1, -1):
            steps[i] = max(steps[i], steps[i + 1] + 1)
        steps[0] = last
        for i in range(1, calls + 1):
            steps[i] = min(steps[i], steps[i - 1] - 1)
        return tuple(steps)
