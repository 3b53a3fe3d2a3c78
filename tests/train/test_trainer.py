"""The loop: exact resume, accumulation, early ends, and what it refuses."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from cadenza.errors import CadenzaError, CheckpointError, UserError
from cadenza.train.config import TrainConfig
from cadenza.train.log import RunLog
from cadenza.train.objective import Loss, Phase
from cadenza.train.optim import AdamWConfig, MuonConfig
from cadenza.train.run import build
from cadenza.train.snapshot import best_snapshot, last_snapshot
from cadenza.train.trainer import Trainer
from train.tiny import codec_run, lm_run, write_audio

TIMES = ("seconds", "steps_per_second", "items_per_second", "tokens_per_second", "mfu", "data_wait")


def curve(folder: Path) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {f"{n}.{k}": v for n, part in trainer.objective.modules.items() for k, v in part.state_dict().items()}


def make(kind: str, folder: Path, **changes) -> TrainConfig:
    if kind == "codec":
        return codec_run(write_audio(folder / "audio"), **changes)
    return lm_run(folder, **changes)


@pytest.mark.parametrize("kind", ["codec", "lm"])
@pytest.mark.parametrize(("stop_after", "precision"), [(3, "fp32"), (5, "bf16")])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(
    kind: str, stop_after: int, precision: str, tmp_path: Path
):
    """Stopped on a snapshot (3) and, by request, between two log lines (5)."""
    accumulation = 2 if kind == "lm" else 1
    config = make(kind, tmp_path, steps=8, accumulation=accumulation, ema_every=2, precision=precision)
    whole = build(config, tmp_path / "whole")
    whole.run()
    first = build(config, tmp_path / "parts")
    for _ in range(stop_after):
        first._window.add(first.train_step())
        if first.step % config.log_every == 0:
            first._window.close()
        if first.step == 3:
            first.evaluate()
    first.save()
    second = build(config, tmp_path / "parts")
    assert second.resume()
    assert second.step == stop_after
    second.run()
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(second)[name]), name
    for name, tensor in whole.ema.average.items():
        assert torch.equal(tensor, second.ema.average[name]), name
    expected = [row for row in curve(tmp_path / "whole") if row["step"] > stop_after]
    assert curve(tmp_path / "parts") == expected


class Line:
    """Least squares `w x` toward `2 x`, optionally with NaN at a step: the smallest objective."""

    averaged = ("line",)
    best_metric = "loss"

    def __init__(self, nan_at: int = -1, stop_at: int = -1) -> None:
        self.line = nn.Linear(3, 1)
        nn.init.constant_(self.line.weight, 0.1)
        nn.init.zeros_(self.line.bias)
        self.modules = {"line": self.line}
        self.phase = Phase("line", torch.optim.SGD(self.line.parameters(), 0.1), max_grad_norm=1.0)
        self.nan_at, self.stop_at = nan_at, stop_at

    def phases(self, step):
        return (self.phase,)

    def all_phases(self):
        return (self.phase,)

    def loss(self, batch, turn):
        if turn.step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        error = self.line(batch["x"]) - 2 * batch["x"].sum(1, keepdim=True)
        value = error.square().mean() * (float("nan") if turn.step == self.nan_at else 1.0)
        return Loss(value, {"loss": value.detach()})

    def evaluate(self, batches):
        return {"loss": float(self.line.weight.detach().sub(2).square().mean())}

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    def save_playable(self, directory):
        (directory / "w.json").write_text(json.dumps(self.line.weight.tolist()))


class Numbers:
    """Batch `i` holds items `i * size ...` of one fixed sequence."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))

    def batch(self, index):
        rows = range(index * self.size, (index + 1) * self.size)
        return {"x": self.x[rows.start : rows.stop], "ids": [str(row) for row in rows]}

    def __len__(self):
        return 1


def line_run(data: Path, **changes) -> TrainConfig:
    return codec_run(data, **({"steps": 10} | changes))


def test_accumulation_of_n_times_b_equals_one_batch_of_their_product(tmp_path: Path):
    one, many = Line(), Line()
    Trainer(line_run(tmp_path, batch_size=12), one, Numbers(12), tmp_path / "one").run()
    Trainer(line_run(tmp_path, batch_size=3, accumulation=4), many, Numbers(3), tmp_path / "many").run()
    # the sums of float32 gradients are taken in another order
    torch.testing.assert_close(one.line.weight, many.line.weight, rtol=1e-5, atol=1e-6)


def test_a_signal_stops_after_the_update_with_a_snapshot(tmp_path: Path):
    before = signal.getsignal(signal.SIGTERM)
    trainer = Trainer(line_run(tmp_path), Line(stop_at=4), Numbers(2), tmp_path / "run")
    trainer.run()
    assert (trainer.step, trainer.stopped, trainer.signal) == (5, True, signal.SIGTERM)
    assert last_snapshot(tmp_path / "run" / "snapshots").name == "step_00000005"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_while_it_validates_waits_for_no_other_update(tmp_path: Path):
    objective = Line()
    trainer = Trainer(line_run(tmp_path, validate_every=3), objective, Numbers(2), tmp_path / "run", Numbers(2))
    evaluate = objective.evaluate

    def told(batches):
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate(batches)

    objective.evaluate = told
    trainer.run()
    assert (trainer.step, trainer.signal) == (3, signal.SIGINT)
    assert last_snapshot(tmp_path / "run" / "snapshots").name == "step_00000003"


def test_two_runs_do_not_share_a_folder(tmp_path: Path):
    first = Trainer(line_run(tmp_path), Line(), Numbers(2), tmp_path / "run")
    first._record.open(0)
    (tmp_path / "run" / ".config.json.0123456789ab").touch()  # what the first is just writing
    with pytest.raises(UserError, match="run is where another process trains now: wait for it or choose another"):
        Trainer(line_run(tmp_path), Line(), Numbers(2), tmp_path / "run").run()
    assert (tmp_path / "run" / ".config.json.0123456789ab").exists()
    first._record.close()
    Trainer(line_run(tmp_path), Line(), Numbers(2), tmp_path / "run").run()


def test_nan_stops_the_run_and_names_the_batches(tmp_path: Path):
    trainer = Trainer(line_run(tmp_path, accumulation=2), Line(nan_at=3), Numbers(2), tmp_path / "run")
    for _ in range(3):
        trainer.train_step()
        trainer.save()
    before = trainer.objective.line.weight.detach().clone()
    with pytest.raises(
        CadenzaError,
        match=r"loss of step 3 is nan in batch 6 \(one of 12, 13\): lower the learning rate, .*; no weight",
    ):
        trainer.train_step()
    assert torch.equal(trainer.objective.line.weight, before)
    assert last_snapshot(tmp_path / "run" / "snapshots").name == "step_00000003"


def test_the_newest_and_the_best_snapshots_are_kept(tmp_path: Path):
    config = line_run(tmp_path, steps=6, snapshot_every=1, keep_snapshots=2)
    trainer = Trainer(config, Line(), Numbers(2), tmp_path / "run")
    for metric in (5.0, 1.0, 4.0, 3.0, 2.0):
        trainer.step += 1
        trainer.metric = metric
        trainer.save()
    folder = tmp_path / "run" / "snapshots"
    assert [path.name[-1] for path in sorted(folder.glob("step_*"))] == ["2", "4", "5"]
    assert best_snapshot(folder).name[-1] == "2"
    assert (folder / "best").resolve().name[-1] == "2"
    assert (folder / "last").resolve().name[-1] == "5"


def test_a_run_is_not_overwritten_by_accident(tmp_path: Path):
    config = line_run(tmp_path)
    Trainer(config, Line(), Numbers(2), tmp_path / "run").run()
    with pytest.raises(UserError, match="holds a run already"):
        Trainer(config, Line(), Numbers(2), tmp_path / "run").run()
    with pytest.raises(UserError, match="needs a GPU"):
        Trainer(line_run(tmp_path, precision="fp16"), Line(), Numbers(2), tmp_path / "half")


def test_a_snapshot_that_fails_leaves_the_previous_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    objective = Line()
    trainer = Trainer(line_run(tmp_path), objective, Numbers(2), tmp_path / "run")
    trainer.train_step()
    trainer.save()

    def full_disk(directory: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objective, "save_playable", full_disk)
    trainer.train_step()
    with pytest.raises(CadenzaError, match="No space left"):
        trainer.save()
    assert sorted(path.name for path in trainer.snapshots.iterdir()) == ["last", "step_00000001"]
    assert Trainer(line_run(tmp_path), Line(), Numbers(2), tmp_path / "run").resume()


def test_a_log_that_cannot_be_written_ends_the_run_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    opened = RunLog.__init__

    def on_a_full_disk(log: RunLog, *args, **kwargs) -> None:
        opened(log, *args, **kwargs)
        log._file.close()
        log._file = Path("/dev/full").open("w")  # noqa: SIM115

    monkeypatch.setattr(RunLog, "__init__", on_a_full_disk)
    with pytest.raises(CadenzaError, match=r"cannot write .*run: No space left on device; free space"):
        Trainer(line_run(tmp_path, log_every=1), Line(), Numbers(2), tmp_path / "run").run()


def test_allowed_changes_reach_the_optimiser(tmp_path: Path):
    config = make("lm", tmp_path, steps=2)
    build(config, tmp_path / "run").run()
    optimizer = AdamWConfig(learning_rate=3e-3, weight_decay=0.3, betas=(0.5, 0.6))
    changed = config.model_copy(
        update={"steps": 3, "objective": config.objective.model_copy(update={"optimizer": optimizer})}
    )
    with pytest.raises(UserError, match="--allow-changes"):
        build(changed, tmp_path / "run").resume()
    trainer = build(changed, tmp_path / "run")
    assert trainer.resume(allow_changes=True)
    trainer.run()
    (phase,) = trainer.objective.all_phases()
    (group, *_) = phase.optimizer.param_groups
    assert (group["lr"], group["weight_decay"], tuple(group["betas"])) == (3e-3, 0.3, (0.5, 0.6))
    assert float(next(iter(phase.optimizer.state.values()))["step"]) == 3, "its state went on"
    muon = config.model_copy(update={"objective": config.objective.model_copy(update={"optimizer": MuonConfig()})})
    with pytest.raises(CheckpointError, match="is damaged or of another model or optimiser"):
        build(muon, tmp_path / "run").resume(allow_changes=True)


@pytest.mark.parametrize("name", ["state.pt", "weights.safetensors", "state.json"])
def test_a_damaged_snapshot_is_one_line(name: str, tmp_path: Path):
    trainer = Trainer(line_run(tmp_path), Line(), Numbers(2), tmp_path / "run")
    trainer.train_step()
    file = trainer.save() / "training" / name
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="step_00000001"):
        Trainer(line_run(tmp_path), Line(), Numbers(2), tmp_path / "run").resume()


def test_curves_and_samples_are_written_while_it_runs_and_change_nothing(tmp_path: Path):
    plain = make("lm", tmp_path, steps=4, snapshot_every=2, validate_every=2, prefetch=0)
    watched = plain.model_copy(update={"curves": True, "sample_prompts": 1, "prefetch": 2})
    first, second = build(plain, tmp_path / "plain"), build(watched, tmp_path / "watched")
    for trainer in (first, second):
        threads = threading.active_count()
        trainer.run()
        assert threading.active_count() == threads
    for name, tensor in weights(first).items():
        assert torch.equal(tensor, weights(second)[name]), name
    assert curve(tmp_path / "plain") == curve(tmp_path / "watched")
    assert all(part.training for part in second.objective.modules["lm"].modules())
    assert (tmp_path / "watched" / "curves.png").stat().st_size > 0
    samples = [path.relative_to(tmp_path / "watched").as_posix() for path in (tmp_path / "watched").glob("samples/*/*")]
    folders = ("samples/step_00000002/", "samples/step_00000004/")
    names = ("00_codec.wav", "00_model.wav", "prompts.txt")
    assert sorted(samples) == [folder + name for folder in folders for name in names]


def test_the_log_says_how_fast_it_is_and_how_long_it_waited(tmp_path: Path):
    build(make("lm", tmp_path, steps=2), tmp_path / "run").run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    row = next(row for row in rows if row["kind"] == "train")
    steps = 20  # 0.1 s of 200 frames a second; the last delayed steps are not trained
    assert row["tokens_per_second"] == pytest.approx(row["items_per_second"] * steps, rel=1e-6)
    assert row["mfu"] > 0
    assert 0 <= row["data_wait"] < 1


def test_what_cannot_be_drawn_or_played_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def refuse(*_: object) -> None:
        raise UserError("not today")

    for name in ("draw_curves", "write_samples"):
        monkeypatch.setattr(f"cadenza.train.record.{name}", refuse)
    config = make("lm", tmp_path, steps=2, validate_every=1, snapshot_every=1, curves=True, sample_prompts=1)
    build(config, tmp_path / "run").run()
    said = capsys.readouterr().err
    assert said.count("no curves: not today") == 1
    assert said.count("not today") == 3
