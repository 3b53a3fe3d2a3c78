"""The training loop of every model family.

In: a configuration, an objective, a batch source. Out: a run folder with a log and snapshots, each playable.

Update `s` is a function of the state after update `s - 1` and of (seed, s): batches are drawn by number and every
random draw comes from a generator seeded by its place. So a resumed run repeats the uninterrupted one, bit for bit on
a CPU. Several processes draw the same batches, hold some rows of each and average their gradients (`distributed`).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from cadenza.data.batches import Batch, BatchSource, FiniteBatchSource, random_for
from cadenza.errors import CadenzaError, UserError
from cadenza.train.config import TrainConfig, check_same_run
from cadenza.train.distributed import (
    agree,
    device_here,
    everyone,
    is_main,
    mean_over_ranks,
    num_ranks,
    rank,
    rows_here,
    together,
)
from cadenza.train.ema import EMA
from cadenza.train.gradients import GradientMean, clip, gradient_norm
from cadenza.train.objective import Objective, Phase, Turn
from cadenza.train.optim import step_size
from cadenza.train.prefetch import Ahead
from cadenza.train.record import SNAPSHOTS, Record
from cadenza.train.samples import Sampler
from cadenza.train.snapshot import Progress, last_snapshot, load_snapshot, prune_snapshots, save_snapshot, stored_config
from cadenza.train.stopping import SIGNALS, Wishes, stop_wishes
from cadenza.train.throughput import Peak, peak
from cadenza.train.window import Window

Metrics = dict[str, float]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
NAMED_ITEMS = 16
"""Items of a batch that went wrong which an error names."""
_NONE = Wishes((False,) * len(SIGNALS), False)


class Trainer:
    """Runs an objective for `config.steps` updates, or until told to stop; `Objective` says who does what."""

    def __init__(
        self,
        config: TrainConfig,
        objective: Objective,
        data: BatchSource,
        folder: Path,
        valid: FiniteBatchSource | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self.config, self.objective, self.data, self.folder, self.valid = config, objective, data, folder, valid
        self.device = device_here(config.device)
        if config.precision == "fp16" and self.device.type == "cpu":
            raise UserError("precision fp16 needs a GPU: use bf16 or fp32 on a CPU")
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.rows = rows_here(config.batch_size)
        self.step = self.cursor = 0
        self.metric: float | None = None
        self.stopped = False
        """Whether something ended the run early, or is about to."""
        self.signal: int | None = None
        """The signal that did."""
        self._wishes: Callable[[], Wishes] = lambda: _NONE
        self._ahead: Ahead | None = None
        self._record = Record(folder, config, sampler)
        self._peak: Peak | None = None
        self._window = Window(config)
        self.ema = EMA({name: objective.modules[name] for name in objective.averaged}, config.ema_decay)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self._base_rates = {
            phase.name: [group["lr"] for group in phase.optimizer.param_groups] for phase in objective.all_phases()
        }
        # Shards are averaged by what shards them.
        averages = len(self.rows) < config.batch_size and config.parallel == "ddp"
        self._means = {p.name: GradientMean(p.parameters()) for p in objective.all_phases()} if averages else {}

    @property
    def snapshots(self) -> Path:
        """The folder of this run's snapshots."""
        return self.folder / SNAPSHOTS

    def resume(self, allow_changes: bool = False) -> bool:
        """Continue from the last snapshot of the run's folder; False if there is none.

        Raises UserError if a setting that decides the outcome has changed, unless changes are allowed.
        """
        with together():
            path = everyone(last_snapshot(self.snapshots))[0]
            if path is None:
                return False
            if not allow_changes:
                check_same_run(self.config, stored_config(path))
            progress = load_snapshot(path, self.objective, self.ema, self.scaler)
        self.step, self.cursor, self.metric = progress.step, progress.cursor, progress.metric
        self._window.load(progress.window)
        return True

    def run(self) -> None:
        """Train to the end. SIGINT, SIGTERM, SIGHUP and `max_minutes` end it early, with a snapshot to resume from."""
        config, window, record = self.config, self._window, self._record
        saved, self.stopped, self.signal = self.step, False, None
        try:
            with together():
                if is_main():
                    record.open(self.step)
            window.restart_clock()
            with stop_wishes(record.say, config.max_minutes) as self._wishes, self._drawing_ahead():
                while self.step < config.steps and not self.stopped:
                    window.add(self.train_step())
                    record.advance(self.step)
                    if self._due(config.log_every):
                        self._report("train", window.close(self._peak_operations) | self._rates())
                    validates, saves = self._due(config.validate_every), self._due(config.snapshot_every)
                    if validates:
                        self._report("valid", self.evaluate())
                        record.draw()
                    if saves:
                        saved, path = self.step, self.save()
                        if self._wishes() == _NONE:
                            record.play(path)
                    if validates or saves:
                        self._heed(self._wishes())  # of that time
                        window.restart_clock()
                if saved != self.step:
                    record.say(f"saved {self.save()} to resume from")
        finally:
            record.close()

    def train_step(self) -> dict[str, Tensor]:
        """One update: every phase over every micro-batch. Returns what the objective logs, averaged over these."""
        config = self.config
        batches = [self._batch(self.cursor + micro) for micro in range(config.accumulation)]
        metrics: dict[str, Tensor] = {}
        factor = config.schedule.factor(self.step, config.steps)
        for number, phase in enumerate(self.objective.phases(self.step)):
            for group, base in zip(phase.optimizer.param_groups, self._base_rates[phase.name], strict=True):
                group["lr"] = base * factor
            phase.optimizer.zero_grad(set_to_none=True)
            losses = []
            for micro, batch in enumerate(batches):
                seed = int(random_for(config.seed, self.step, number, micro).integers(2**62))
                torch.manual_seed(seed + rank())  # dropout layers draw from the global generator
                generator = torch.Generator().manual_seed(seed)
                turn = Turn(phase.name, self.step, micro, len(batches), self.rows, config.seed, generator)
                with self._autocast():
                    loss = self.objective.loss(batch, turn)
                if loss.work is not None:
                    self._window.worked(loss.work)
                with self._averaging(phase, last=micro + 1 == len(batches)):
                    self.scaler.scale(loss.value / len(batches)).backward()
                losses.append(loss.value.detach())
                for name, value in loss.metrics.items():
                    metrics[name] = metrics.get(name, 0.0) + value.detach() / len(batches)
            metrics[f"gradient_norm/{phase.name}"] = self._apply(phase, losses, batches)
        self.scaler.update()
        self.step += 1
        self.cursor += config.accumulation
        if self.step % config.ema_every == 0:
            self.ema.update()
        return _mean_metrics(metrics)

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
        if is_main():
            prune_snapshots(self.snapshots, self.config.keep_snapshots)
        return path

    # ---- parts of a step -----------------------------------------------------------------------------------------

    def _batch(self, index: int) -> Batch:
        """This process's rows of a micro-batch, on its device."""
        start = time.perf_counter()
        batch = (self._ahead or self.data).batch(index)
        self._window.waited(time.perf_counter() - start)
        if len(self.rows) < self.config.batch_size:
            batch = {name: value[self.rows.start : self.rows.stop] for name, value in batch.items()}
        return self._on_device(batch)

    def _averaging(self, phase: Phase, last: bool) -> AbstractContextManager[None]:
        """Around a backward pass: gradients of several processes are averaged when those of an update are complete."""
        mean = self._means.get(phase.name)
        return mean.averaging() if mean is not None and last else nullcontext()

    def _apply(self, phase: Phase, losses: Sequence[Tensor], batches: Sequence[Batch]) -> Tensor:
        """Check, clip and step one phase's optimiser; returns the gradient norm before clipping."""
        self.scaler.unscale_(phase.optimizer)
        norm = gradient_norm(phase.parameters())
        # Under fp16 the scaler skips updates whose gradient overflows itself.
        checked = [*losses, norm] if not self.scaler.is_enabled() else losses
        healthy = torch.isfinite(torch.stack([value.float() for value in checked])).all()
        if self._heed(self._wishes(), is_sick=not bool(healthy)):
            with together():
                raise CadenzaError(self._diagnosis(phase, losses, batches, norm))
        if phase.max_grad_norm:
            clip(phase.parameters(), phase.max_grad_norm, norm)
        self.scaler.step(phase.optimizer)
        return norm

    def _heed(self, wishes: Wishes, is_sick: bool = False) -> bool:
        """Stop if any process is asked to; whether anything is wrong in any."""
        sick, late, *signals = agree(is_sick, wishes.time, *wishes.signals)
        asking = [number for number, asks in zip(SIGNALS, signals, strict=True) if asks]
        self.signal = asking[0] if asking else None
        self.stopped = self.stopped or late or bool(asking)
        return sick

    def _diagnosis(self, phase: Phase, losses: Sequence[Tensor], batches: Sequence[Batch], norm: Tensor) -> str:
        """What is wrong with this step: the batches and items that any process found, or else the gradient."""
        found = [
            (self.cursor + micro, float(loss), [str(name) for name in batch.get("ids", ())])
            for micro, (loss, batch) in enumerate(zip(losses, batches, strict=True))
            if not torch.isfinite(loss)
        ]
        told = sorted((batch for found in everyone(found) for batch in found), key=lambda batch: batch[0])
        if told:
            number, value, _ = told[0]
            names = [name for other, _, names in told for name in names if other == number]
            what = f"the {phase.name} loss of step {self.step} is {value} in batch {number}{_items(names)}"
        else:
            last = self.cursor + self.config.accumulation - 1
            what = f"the {phase.name} gradient of step {self.step} is {float(norm)} (batches {self.cursor} to {last})"
        remedy = "lower the learning rate, clip, or inspect that data"
        return f"{what}: {remedy}; no weight was changed, the last snapshot is whole"

    def _autocast(self) -> torch.autocast:
        kind = AUTOCAST.get(self.config.precision)
        return torch.autocast(self.device.type, kind or torch.bfloat16, enabled=kind is not None)

    def _on_device(self, batch: Batch) -> Batch:
        return {
            name: value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in batch.items()
        }

    def _rates(self) -> Metrics:
        """Of the update that was just made."""
        factor = self.config.schedule.factor(self.step - 1, self.config.steps)
        sizes = {phase.name: step_size(phase.optimizer) for phase in self.objective.all_phases()}
        return {f"learning_rate/{name}": rates[0] * factor * sizes[name] for name, rates in self._base_rates.items()}

    @contextmanager
    def _drawing_ahead(self) -> Iterator[None]:
        if not self.config.prefetch:
            yield
            return
        try:
            with Ahead(self.data, self.config.prefetch, pin=self.device.type == "cuda") as self._ahead:
                yield
        finally:
            self._ahead = None

    def _due(self, every: int) -> bool:
        """Whether something is to be done after this update that is done after every so many, and after the last."""
        return every > 0 and (self.step % every == 0 or self.step == self.config.steps)

    def _report(self, kind: str, values: Metrics) -> None:
        """Log values; the one place where a run's figures leave it."""
        with together():
            self._record.values(kind, self.step, values)

    def _peak_operations(self) -> float:
        """What this device could do, looked up or measured when it is first asked for; the log names the source."""
        if self._peak is None:
            self._peak = peak(self.device, self.config.precision)
            source = self._peak.source
            self._record.say(f"mfu counts {self._peak.operations_per_second:.3g} operations/s as all: {source}")
        return self._peak.operations_per_second

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


def _mean_metrics(metrics: dict[str, Tensor]) -> dict[str, Tensor]:
    """Means over processes; the same tensors where there is one."""
    if num_ranks() == 1:
        return metrics
    means = mean_over_ranks(torch.stack([value.float() for value in metrics.values()]))
    return dict(zip(metrics, means.unbind(), strict=True))


def _items(names: Sequence[str]) -> str:
    """The items of a batch in words, if their names are known."""
    if not names:
        return ""
    more = f" and {len(names) - NAMED_ITEMS} more" if len(names) > NAMED_ITEMS else ""
    return f" (one of {', '.join(names[:NAMED_ITEMS])}{more})"
