"""What is logged between two log lines: means of values, and the speed."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from cadenza.nn.ranks import num_ranks
from cadenza.train.config import TrainConfig
from cadenza.train.throughput import Work


class Window:
    """Means of logged values since the last log line, and the speed. Sums stay on the device until the line is due."""

    def __init__(self, config: TrainConfig) -> None:
        self._items_per_step = config.batch_size * config.accumulation
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._timed = 0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leave the time spent elsewhere (validation, snapshots) out of the speed."""
        self._since, self._timed = time.monotonic(), 0
        self._positions, self._operations, self._waited = 0, 0.0, 0.0

    def worked(self, work: Work) -> None:
        """Count what one micro-batch computed in this process."""
        self._positions += work.positions
        self._operations += work.operations

    def waited(self, seconds: float) -> None:
        """Count time in which the step waited for data."""
        self._waited += seconds

    def add(self, metrics: dict[str, Tensor]) -> None:
        self._timed += 1
        for name, value in metrics.items():
            self._sums[name] = self._sums[name].to(value.device) + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def sums(self) -> dict[str, list[float]]:
        """Sum and count of every value since the last line: a snapshot between two lines keeps them."""
        return {name: [float(total), self._counts[name]] for name, total in self._sums.items()}

    def load(self, sums: dict[str, list[float]]) -> None:
        self._sums = {name: torch.tensor(total) for name, (total, _) in sums.items()}
        self._counts = {name: int(count) for name, (_, count) in sums.items()}

    def close(self, peak: Callable[[], float] | None = None) -> dict[str, float]:
        """Means and speed since the last line: `tokens_per_second` are positions of the sequence, those of all
        processes; `mfu` the share of `peak`, operations per second; `data_wait` the share of time without data."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        seconds = max(time.monotonic() - self._since, 1e-9)
        rate = self._timed / seconds
        speed = {"steps_per_second": rate, "items_per_second": rate * self._items_per_step}
        if self._timed:
            speed["data_wait"] = self._waited / seconds
        if self._positions:
            speed["tokens_per_second"] = self._positions * num_ranks() / seconds
        if self._operations and peak is not None:
            speed["mfu"] = self._operations / seconds / peak()
        self._sums, self._counts = {}, {}
        self.restart_clock()
        return means | speed
