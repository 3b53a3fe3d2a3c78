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

from cadenza.checkpoint import write_json
from cadenza.data.batches import Batch, BatchSource, FiniteBatchSource, random_for
from cadenza.errors import CadenzaError, UserError
from cadenza.files import refusal
from cadenza.train.config import TrainConfig, check_same_run
from cadenza.train.curves import draw_curves
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
from cadenza.train.log import RunLog
from cadenza.train.objective import Objective, Phase, Turn
from cadenza.train.optim import step_size
from cadenza.train.prefetch import Ahead
from cadenza.train.samples import Sampler, write_samples
from cadenza.train.snapshot import (
    Progress,
    last_snapshot,
    load_snapshot,
    point,
    prune_snapshots,
    remove_leftovers,
    save_snapshot,
    stored_config,
)
from cadenza.train.stopping import stop_wishes
from cadenza.train.throughput import Peak, peak
from cadenza.train.window import Window

Metrics = dict[str, float]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
NAMED_ITEMS = 16
"""Items of a batch that went wrong which an error names."""


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
        """`sampler` plays something at every snapshot."""
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
        self._wants_stop: Callable[[], bool] = lambda: False
        self._log: RunLog | None = None
        self._ahead: Ahead | None = None
        self._sampler = sampler
        self._draws_curves = config.curves
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
        return self.folder / "snapshots"

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
        """Train to the end. SIGINT, SIGTERM and `max_minutes` end it early, with a snapshot to resume from."""
        config, window = self.config, self._window
        with together():
            if is_main():
                self._open_folder()
        window.restart_clock()
        saved, self.stopped = self.step, False
        try:
            with stop_wishes(self._say, config.max_minutes) as self._wants_stop, self._drawing_ahead():
                while self.step < config.steps and not self.stopped:
                    window.add(self.train_step())
                    if self._log is not None:
                        self._log.advance(self.step)
                    if self.step % config.log_every == 0 or self.step == config.steps:
                        self._report("train", window.close(self._peak_operations) | self._rates())
                    if config.validate_every and (self.step % config.validate_every == 0 or self.step == config.steps):
                        self._report("valid", self.evaluate())
                        self._draw_curves()
                        window.restart_clock()
                    if self.step % config.snapshot_every == 0 or self.step == config.steps:
                        self._sample(self.save())
                        saved = self.step
                        window.restart_clock()
                if saved != self.step:
                    self._say(f"saved {self.save()} to resume from")
        finally:
            if self._log is not None:
                self._log.close()

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
        sick, self.stopped = agree(not bool(healthy), self._wants_stop())
        if sick:
            with together():
                raise CadenzaError(self._diagnosis(phase, losses, batches, norm))
        if phase.max_grad_norm:
            clip(phase.parameters(), phase.max_grad_norm, norm)
        self.scaler.step(phase.optimizer)
        return norm

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
        factor = self.config.schedule.factor(self.step, self.config.steps)
        sizes = {phase.name: step_size(phase.optimizer) for phase in self.objective.all_phases()}
        return {f"learning_rate/{name}": rates[0] * factor * sizes[name] for name, rates in self._base_rates.items()}

    @contextmanager
    def _drawing_ahead(self) -> Iterator[None]:
        if not self.config.prefetch:
            yield
            return
        with Ahead(self.data, self.config.prefetch, pin=self.device.type == "cuda") as self._ahead:
            yield
        self._ahead = None

    # ---- what is said and written --------------------------------------------------------------------------------

    def _open_folder(self) -> None:
        if self.step == 0 and last_snapshot(self.snapshots) is not None:
            raise UserError(f"{self.folder} holds a run already: resume it or choose another folder")
        for folder in (self.folder, self.snapshots, self.folder / "samples"):
            remove_leftovers(folder)
        point(self.snapshots)  # a run may have been killed between a snapshot and its pointers
        write_json(self.folder / "config.json", self.config.model_dump(mode="json"))
        self._log = RunLog(self.folder, self.config.steps, self.step, self.config.tensorboard)

    def _report(self, kind: str, values: Metrics) -> None:
        """Log values; the one place where a run's figures leave it."""
        if self._log is not None and values:
            try:
                self._log.metrics(kind, self.step, values)
            except OSError as error:
                raise refusal(self.folder, error) from error

    def _say(self, line: str) -> None:
        if self._log is not None:
            self._log.say(line)

    def _peak_operations(self) -> float:
        """What this device could do, looked up or measured when it is first asked for; the log names the source."""
        if self._peak is None:
            self._peak = peak(self.device, self.config.precision)
            self._say(f"mfu counts {self._peak.operations_per_second:.3g} operations/s as all: {self._peak.source}")
        return self._peak.operations_per_second

    def _draw_curves(self) -> None:
        """What cannot be drawn stops no run, and is said once."""
        if self._log is None or not self._draws_curves:
            return
        try:
            draw_curves(self.folder)
        except CadenzaError as error:
            self._draws_curves = False
            self._say(f"no curves: {error}")

    def _sample(self, snapshot: Path) -> None:
        """Neither does what cannot be played."""
        if self._log is None or self._sampler is None:
            return
        try:
            write_samples(self._sampler, snapshot / "model", self.folder / "samples")
        except (CadenzaError, torch.OutOfMemoryError) as error:
            self._say(f"no samples of {snapshot.name}: {error}")

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
