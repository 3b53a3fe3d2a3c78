"""The training loop of every model family.

In: a configuration, an objective, a batch source. Out: a run folder with a log and snapshots, each playable.

Update `s` is a function of the state after update `s - 1` and of (seed, s): batches are drawn by number and every
random draw comes from a generator seeded by its place. So a resumed run repeats the uninterrupted one, bit for bit on
a CPU.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from cadenza.checkpoint import write_json
from cadenza.data.batches import Batch, BatchSource, FiniteBatchSource, random_for
from cadenza.errors import CadenzaError, UserError
from cadenza.train.config import TrainConfig
from cadenza.train.ema import EMA
from cadenza.train.log import RunLog
from cadenza.train.objective import Objective, Phase, Turn
from cadenza.train.snapshot import Progress, last_snapshot, load_snapshot, prune_snapshots, save_snapshot

Metrics = dict[str, float]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Trainer:
    """Runs an objective for `config.steps` updates, or until told to stop; `Objective` says who does what."""

    def __init__(
        self,
        config: TrainConfig,
        objective: Objective,
        data: BatchSource,
        folder: Path,
        valid: FiniteBatchSource | None = None,
    ) -> None:
        self.config, self.objective, self.data, self.folder, self.valid = config, objective, data, folder, valid
        self.device = torch.device(config.device)
        if config.precision == "fp16" and self.device.type == "cpu":
            raise UserError("precision fp16 needs a GPU: use bf16 or fp32 on a CPU")
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.step = self.cursor = 0
        self.metric: float | None = None
        self._window = _Window(config)
        self.ema = EMA({name: objective.modules[name] for name in objective.averaged}, config.ema_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self._base_rates = {
            phase.name: [group["lr"] for group in phase.optimizer.param_groups] for phase in objective.all_phases()
        }

    @property
    def snapshots(self) -> Path:
        """The folder of this run's snapshots."""
        return self.folder / "snapshots"

    def resume(self) -> bool:
        """Continue from the last snapshot of the run's folder; False if there is none."""
        path = last_snapshot(self.snapshots)
        if path is None:
            return False
        progress = load_snapshot(path, self.objective, self.ema, self.scaler)
        self.step, self.cursor, self.metric = progress.step, progress.cursor, progress.metric
        self._window.load(progress.window)
        return True

    def run(self) -> None:
        """Train to the end. SIGINT, SIGTERM and `max_minutes` end it early, with a snapshot to resume from."""
        config = self.config
        if self.step == 0 and last_snapshot(self.snapshots) is not None:
            raise UserError(f"{self.folder} holds a run already: resume it or choose another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "config.json", config.model_dump(mode="json"))
        log = RunLog(self.folder, config.steps, self.step, config.tensorboard)
        window = self._window
        window.restart_clock()
        deadline = math.inf if config.max_minutes is None else time.monotonic() + 60 * config.max_minutes
        saved = self.step
        try:
            with _stop_signals(log.say) as stopped:
                while self.step < config.steps and not stopped() and time.monotonic() < deadline:
                    window.add(self.train_step())
                    log.advance(self.step)
                    if self.step % config.log_every == 0 or self.step == config.steps:
                        log.metrics("train", self.step, window.close() | self._rates())
                    if config.validate_every and (self.step % config.validate_every == 0 or self.step == config.steps):
                        values = self.evaluate()
                        if values:
                            log.metrics("valid", self.step, values)
                        window.restart_clock()
                    if self.step % config.snapshot_every == 0 or self.step == config.steps:
                        self.save()
                        saved = self.step
                        window.restart_clock()
                if saved != self.step:
                    log.say(f"saved {self.save()} to resume from")
        finally:
            log.close()

    def train_step(self) -> dict[str, Tensor]:
        """One update: every phase over every micro-batch. Returns what the objective logs, averaged over these."""
        config = self.config
        batches = [self._on_device(self.data.batch(self.cursor + i)) for i in range(config.accumulation)]
        metrics: dict[str, Tensor] = {}
        factor = config.schedule.factor(self.step, config.steps)
        for number, phase in enumerate(self.objective.phases(self.step)):
            for group, rate in zip(phase.optimizer.param_groups, self._base_rates[phase.name], strict=True):
                group["lr"] = rate * factor
            phase.optimizer.zero_grad(set_to_none=True)
            for micro, batch in enumerate(batches):
                seed = int(random_for(config.seed, self.step, number, micro).integers(2**62))
                torch.manual_seed(seed)  # dropout layers draw from the global generator
                rows, generator = range(config.batch_size), torch.Generator().manual_seed(seed)
                turn = Turn(phase.name, self.step, micro, len(batches), rows, config.seed, generator)
                with self._autocast():
                    loss = self.objective.loss(batch, turn)
                self.scaler.scale(loss.value / len(batches)).backward()
                for name, value in loss.metrics.items():
                    metrics[name] = metrics.get(name, 0.0) + value.detach() / len(batches)
            metrics[f"gradient_norm/{phase.name}"] = self._apply(phase)
        self.scaler.update()
        self.step += 1
        self.cursor += config.accumulation
        if self.step % config.ema_every == 0:
            self.ema.update()
        return metrics

    def evaluate(self) -> Metrics:
        """Validation metrics of the averaged weights; empty without validation data."""
        if self.valid is None:
            return {}
        source = self.valid
        batches = (self._on_device(source.batch(i)) for i in range(len(source)))
        with self.ema.applied(), self._evaluating(), torch.no_grad(), self._autocast():
            values = self.objective.evaluate(batches)
        self.metric = values[self.objective.best_metric]
        return values

    def save(self) -> Path:
        """Write a snapshot and delete those that are no longer kept."""
        progress = Progress(self.step, self.cursor, self.metric, self._window.sums())
        with self._evaluating():
            path = save_snapshot(
                self.snapshots, self.objective, self.ema, self.scaler, progress, self.config.model_dump(mode="json")
            )
        prune_snapshots(self.snapshots, self.config.keep_snapshots)
        return path

    # ---- parts of a step -----------------------------------------------------------------------------------------

    def _apply(self, phase: Phase) -> Tensor:
        """Clip, check and step one phase's optimiser; returns the gradient norm before clipping."""
        self.scaler.unscale_(phase.optimizer)
        gradients = [parameter.grad for parameter in phase.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # Under fp16 the scaler skips overflowing updates itself.
        if not self.scaler.is_enabled() and not bool(torch.isfinite(norm)):
            last = self.cursor + self.config.accumulation - 1
            raise CadenzaError(
                f"the {phase.name} gradient of step {self.step} is {float(norm)} (batches {self.cursor} to {last}): "
                "lower the learning rate, clip, or inspect that data; the last snapshot is whole"
            )
        if phase.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(phase.parameters(), phase.max_grad_norm, norm)
        self.scaler.step(phase.optimizer)
        return norm

    def _autocast(self) -> torch.autocast:
        kind = AUTOCAST.get(self.config.precision)
        return torch.autocast(self.device.type, kind or torch.bfloat16, enabled=kind is not None)

    def _on_device(self, batch: Batch) -> Batch:
        return {
            name: value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in batch.items()
        }

    def _rates(self) -> Metrics:
        factor = self.config.schedule.factor(self.step, self.config.steps)
        return {f"learning_rate/{name}": rates[0] * factor for name, rates in self._base_rates.items()}

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        modules = self.objective.modules.values()
        training = [(part, part.training) for module in modules for part in module.modules()]
        for module in modules:
            module.eval()
        try:
            yield
        finally:
            for part, mode in training:
                part.training = mode


class _Window:
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

    def close(self) -> Metrics:
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        rate = self._timed / max(time.monotonic() - self._since, 1e-9)
        self._sums, self._counts = {}, {}
        self.restart_clock()
        return means | {"steps_per_second": rate, "items_per_second": rate * self._items_per_step}


@contextmanager
def _stop_signals(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """The first SIGINT or SIGTERM asks the loop to stop after this update; the second one acts as usual."""
    asked: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        say("stopping after this update")
        for known, previous in handlers.items():
            signal.signal(known, previous)

    handlers = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            handlers[number] = signal.getsignal(number)
            signal.signal(number, handle)
    except ValueError:
        handlers.clear()  # only the main thread may set handlers
    try:
        yield lambda: bool(asked)
    finally:
        for number, previous in handlers.items():
            signal.signal(number, previous)
