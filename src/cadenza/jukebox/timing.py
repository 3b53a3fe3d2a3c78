"""Where in its piece each position of a window lies: three learned tables, added to the input of the top prior.

In: the length of the piece, the window's offset in it and its length, all in samples. Out: `[B, T, D]`. Dhariwal et al.
(2020), arXiv 2005.00341, section 4.3. Rows are calculated in float32 and cut off, as the published models were trained.
"""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.errors import UserError


class TimingConfig(Config):
    """Defaults: the 5b model."""

    num_bins: int = Field(128, ge=1, le=65536, description="rows of each table")
    min_seconds: float = Field(60.0, ge=0, description="shortest piece that has a row, s")
    max_seconds: float = Field(600.0, gt=0, description="pieces are shorter than this, s")


class TimeRows(nn.Module):
    """The table of one kind of time: `row = floor(num_bins * (p - low) / (high - low))`."""

    def __init__(self, num_bins: int, low: float, high: float, dim: int) -> None:
        super().__init__()
        self.low, self.high, self.num_bins = low, high, num_bins
        self.table = nn.Embedding(num_bins, dim)

    def rows(self, points: Float[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        return (self.num_bins * ((points - self.low) / (self.high - self.low))).floor().long()

    def forward(self, points: Float[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        return self.table(self.rows(points)).float()


class Timing(nn.Module):
    """`total_length + absolute + relative`: of the piece, of the position in samples, of its share of the piece."""

    def __init__(self, config: TimingConfig, sample_rate: int, context_length: int, dim: int) -> None:
        super().__init__()
        if config.min_seconds >= config.max_seconds:
            raise UserError(f"pieces from {config.min_seconds} s and below {config.max_seconds} s: no length is both")
        self.config, self.sample_rate, self.context_length = config, sample_rate, context_length
        shortest, longest = config.min_seconds * sample_rate, config.max_seconds * sample_rate
        self.total_length = TimeRows(config.num_bins, shortest, longest, dim)
        self.absolute = TimeRows(config.num_bins, 0.0, longest, dim)
        self.relative = TimeRows(config.num_bins, 0.0, 1.0, dim)

    def points(self, times: Int[Tensor, "B 2"], window: int) -> tuple[Tensor, Tensor, Tensor]:
        """What the three tables are asked: `[B, 1]`, `[B, T]` and `[B, T]`.

        A window that runs past the end of its piece has its relative times squeezed into it, not cut.

        Args:
            times: length of the piece, and where in it the window begins, samples.
            window: length of a window, samples.
        """
        total, start = times.float().unbind(1)
        total, start = total[:, None], start[:, None]
        end = start + window
        share = torch.arange(self.context_length, device=times.device).float()[None] / self.context_length
        first, last = start / total, (end / total).clamp(max=1.0)
        return total, start + (end - start) * share, first + (last - first) * share

    def check(self, times: Int[Tensor, "B 2"], window: int) -> None:
        """Raise UserError for a piece or a window that the tables have no row for."""
        config, rate = self.config, self.sample_rate
        for total, start in times.tolist():
            length = torch.tensor(float(total))
            if not self.total_length.low <= length < self.total_length.high:
                raise UserError(
                    f"a piece of {total / rate:.2f} s: this model knows pieces from {config.min_seconds:g} s and below "
                    f"{config.max_seconds:g} s, choose another total length"
                )
            if not (0 <= start < total and torch.tensor(float(start)) + window <= self.absolute.high):
                raise UserError(
                    f"a window from {start / rate:.2f} s to {(start + window) / rate:.2f} s of a piece of "
                    f"{total / rate:.2f} s: it must begin inside the piece and end by {config.max_seconds:g} s, "
                    "lower the offset"
                )
        _, _, relative = self.points(times, window)
        if int(self.relative.rows(relative).amax()) >= config.num_bins:
            raise UserError("a window begins with the last sample of its piece: lower the offset")

    def forward(self, times: Int[Tensor, "B 2"], window: int) -> Float[Tensor, "B T D"]:
        self.check(times, window)
        total, absolute, relative = self.points(times, window)
        return self.total_length(total) + self.absolute(absolute) + self.relative(relative)
