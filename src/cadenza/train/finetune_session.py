"""One fine-tuning at work: measure, train, take the best, measure again.

In: a loaded model, coded tracks and a plan. Out: what a report says, and the trained weights.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cadenza import __version__
from cadenza.audio import Audio
from cadenza.checkpoint import read_json, read_weights, write_json
from cadenza.codec.encodec import EnCodec
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.text import TextConditioner, TextEncoder
from cadenza.data.tokens import RandomWindows
from cadenza.lm.adapter import AdapterRecord, adapter_of, attach
from cadenza.nn.linear import num_weights
from cadenza.pipelines.musicgen import MusicGen
from cadenza.train.config import TrainConfig
from cadenza.train.finetune_config import FinetuneConfig, Plan, usual_precision
from cadenza.train.finetune_measure import Listener, TrackLoss, measure_memorization, track_losses
from cadenza.train.finetune_tracks import Tracks
from cadenza.train.log import LOG, read_rows
from cadenza.train.objectives.hearing import Hearing
from cadenza.train.objectives.lm import LMObjective, Parts
from cadenza.train.objectives.lm_config import LMObjectiveConfig
from cadenza.train.optim import AdamWConfig
from cadenza.train.schedule import ConstantSchedule
from cadenza.train.snapshot import best_snapshot, last_snapshot
from cadenza.train.trainer import Metrics, Trainer

BEFORE, TRAINING = "before.json", "training"
EXAMPLE_SECONDS = 10.0
EXAMPLE_SEED = 1000
SHOWN = ("ce", "steps_per_second")


class FinetuneTrainer(Trainer):
    """A `Trainer` that validates track by track and ends when that has not become better for a while."""

    def __init__(
        self,
        config: TrainConfig,
        objective: LMObjective,
        data: RandomWindows,
        folder: Path,
        listen: Callable[[], list[TrackLoss]],
        patience: int,
        start: float | None,
    ) -> None:
        super().__init__(config, objective, data, folder)
        self.listen, self.patience, self.start = listen, patience, start
        self.had_enough = False
        self._began = 0.0

    def run(self) -> None:
        self._began = time.monotonic()
        super().run()

    def evaluate(self) -> Metrics:
        with self.ema.applied(), self._evaluating(), self._autocast():
            losses = self.listen()
        books = len(losses[0].per_codebook)
        values = {"ce": sum(loss.mean for loss in losses) / len(losses)}
        values |= {f"ce_q{k}": sum(loss.per_codebook[k] for loss in losses) / len(losses) for k in range(books)}
        self.metric = values["ce"]
        known = [row["valid"] for row in self.curve() if row["valid"] is not None and row["step"] < self.step]
        best = min(range(len(known)), key=known.__getitem__, default=0)
        if known and values["ce"] >= known[best] and len(known) - best >= self.patience:
            self.had_enough = self.stopped = True
        return values

    def _report(self, kind: str, values: Metrics) -> None:
        """What a person who waits wants to know."""
        super()._report(kind, {name: value for name, value in values.items() if name in SHOWN})

    def _peak_operations(self) -> float:
        return math.inf  # its use of the device is not reported, so that what it could do need not be measured

    def curve(self) -> list[dict[str, Any]]:
        """Cross entropy by step, from the log: of the windows that were learnt since the row before (mean), and of the
        held-out tracks. Step 0 is the model as it was."""
        rows: dict[int, dict[str, Any]] = {}
        if self.start is not None:
            rows[0] = {"step": 0, "train": None, "valid": self.start}
        for line in read_rows(self.folder / LOG):
            row = rows.setdefault(line["step"], {"step": line["step"], "train": None, "valid": None})
            row[line["kind"]] = line["ce"]
        return [rows[step] for step in sorted(rows)]

    @property
    def interrupted(self) -> bool:
        """Whether a person or the system ended it."""
        return self.stopped and not self.had_enough and not self._out_of_time

    @property
    def _out_of_time(self) -> bool:
        minutes = self.config.max_minutes
        return minutes is not None and time.monotonic() - self._began >= 60 * minutes

    def reason(self) -> str:
        """Why it ended."""
        if self.had_enough:
            return f"held-out tracks were not predicted better for {self.patience} validations"
        if self.step >= self.config.steps:
            return f"all {self.config.steps} steps were made"
        return f"the {self.config.max_minutes:g} minutes were over" if self._out_of_time else "interrupted"


@dataclass
class Session:
    """What belongs to one run."""

    config: FinetuneConfig
    plan: Plan
    music: MusicGen
    directory: Path
    tracks: Tracks
    run: Path
    codes: Path
    device: torch.device
    say: Callable[[str], None]
    objective: LMObjective | None = None
    """None until training: what is measured before is the model as it is."""

    def __post_init__(self) -> None:
        hearing = Hearing(self._objective_config(), self.music.conditioning, self._text_encoder())
        self.listener = Listener(self.music.lm, hearing, self.tracks.frame_rate)

    # ---- measuring ---------------------------------------------------------------------------------------------------

    @property
    def num_frames(self) -> int:
        return round(self.plan.window_seconds * self.tracks.frame_rate)

    def before(self) -> dict[str, Any]:
        """`measure` of the model as it was; read, if it was measured before the run was ended."""
        path = self.run / BEFORE
        if path.is_file() and self.folder_of_examples("before").is_dir():
            return read_json(path)
        found = self.measure("before")
        write_json(path, found)
        return found

    def measure(self, when: str) -> dict[str, Any]:
        """Cross entropy of held-out tracks, memorised training tracks, and examples, `before` or `after`."""
        self.say(f"listening to the held-out tracks and to examples, {when} training")
        self._rest()
        found: dict[str, Any] = {"tracks": [asdict(loss) for loss in self.listen()]}
        self.music.pack()
        longest = round(self.music.config.max_duration_seconds * self.tracks.frame_rate)
        if self.config.excerpts:
            memory = measure_memorization(
                self.listener, self.tracks.train, longest, self.config.excerpts, self.config.seed
            )
            found["memorization"] = None if memory is None else asdict(memory)
        folder = self.folder_of_examples(when)
        folder.mkdir(parents=True, exist_ok=True)
        for number, words in enumerate(self.prompts()):
            self._example(words, EXAMPLE_SEED + number).write(folder / f"{number + 1}.wav")
        return found

    def listen(self) -> list[TrackLoss]:
        """Every held-out track, with its caption."""
        return track_losses(self.listener, self.tracks.valid, self.num_frames) if self.tracks.valid else []

    def prompts(self) -> list[str]:
        """What the examples are made of: captions of held-out tracks, then of others."""
        captions = [item.captions[0] for item in (*self.tracks.valid, *self.tracks.train) if item.captions]
        return (list(dict.fromkeys(captions)) or [""])[: self.config.examples]

    def folder_of_examples(self, when: str) -> Path:
        return self.run / "examples" / when

    def _example(self, words: str, seed: int) -> Audio:
        seconds = min(EXAMPLE_SECONDS, self.music.config.max_duration_seconds)
        made = self.music.generate(words, seconds, seed)
        return Audio(made.samples, made.sample_rate)  # its record would name the model without the adapter

    def _rest(self) -> None:
        """Nothing is in training."""
        trained = () if self.objective is None else tuple(self.objective.modules.values())
        for part in (self.music.lm, self.music.conditioning, *trained):
            part.eval()

    # ---- training ----------------------------------------------------------------------------------------------------

    def trainer(self, before: dict[str, Any]) -> FinetuneTrainer:
        """Ready to run; the model has its branches."""
        plan, config = self.plan, self.config
        parts = self._parts()
        if config.adapter is not None:
            branches = attach(self.music.lm, config.adapter, torch.Generator().manual_seed(config.seed))
            parts = parts._replace(branches=branches)
        self.objective = LMObjective(self._objective_config(), parts, self.device)
        every = plan.validate_every
        settings = TrainConfig(
            data=str(self.codes),
            objective=self.objective.config,
            steps=plan.steps,
            batch_size=plan.batch_size,
            accumulation=plan.accumulation,
            schedule=ConstantSchedule(warmup_steps=plan.warmup_steps),
            seed=config.seed,
            ema_decay=plan.ema_decay,
            device=str(self.device),
            precision="bf16" if config.full and self._in_bf16 else "fp32",
            log_every=every or max(1, plan.steps // 10),
            validate_every=every,
            snapshot_every=every or max(1, plan.steps // 4),
            keep_snapshots=1,
            max_minutes=config.minutes,
            tensorboard=False,
            curves=False,  # the report draws its own
            prefetch=0,
        )
        data = RandomWindows(self.tracks.train, self.num_frames, plan.batch_size, config.seed, self.tracks.frame_rate)
        losses = [sum(row["per_codebook"]) / len(row["per_codebook"]) for row in before["tracks"]]
        start = sum(losses) / len(losses) if losses else None
        return FinetuneTrainer(settings, self.objective, data, self.run / TRAINING, self.listen, plan.patience, start)

    def take_best(self, trainer: FinetuneTrainer) -> int:
        """Give the model the averaged weights of the best snapshot (the last, without validation); its step."""
        best = best_snapshot(trainer.snapshots) or last_snapshot(trainer.snapshots)
        assert best is not None, "a run ends with a snapshot"
        assert self.objective is not None, "nothing was trained"
        average = read_weights(best / "training" / "average.safetensors")
        holder = nn.ModuleDict(dict(self.objective.modules))
        unknown = holder.load_state_dict(average, strict=False).unexpected_keys
        assert not unknown, unknown
        self._rest()
        return int(read_json(best / "training" / "state.json")["step"])

    def write(self, output: Path, facts: dict[str, Any]) -> None:
        """The adapter, or the model directory."""
        notes = f"begin prompts with: {self.config.caption}" if self.config.caption else ""
        training = {key: facts[key] for key in ("cadenza", "tracks", "minutes", "plan", "step")}
        config = self.config.adapter
        if config is None:
            name = f"{self.music.config.name}, fine-tuned"
            settings = self.music.config.model_copy(update={"name": name})
            card = _card(name, self.music.config.licence, facts)
            MusicGen(self.music.codec, self.music.lm, self.music.conditioning, settings).save_pretrained(
                output, card=card
            )
            return
        record = AdapterRecord(
            base=facts["model"]["name"],
            base_weights=facts["model"]["weights"],
            licence=facts["model"]["licence"],
            notes=notes,
            training=training,
        )
        assert self.objective is not None
        assert self.objective.branches is not None
        adapter_of(self.objective.branches, config, record).save(output)

    def facts(self) -> dict[str, Any]:
        """What was trained on what."""
        assert self.objective is not None, "nothing was trained"
        tracks, held_out = self.tracks, {item.id for item in self.tracks.valid}
        return {
            "cadenza": __version__,
            "model": {
                "name": self.config.model or self.music.config.name,
                "weights": self.music.weights,
                "licence": self.music.config.licence,
                "parameters": num_weights(self.music.lm),
            },
            "kind": "full" if self.config.full else "adapter",
            "device": str(self.device),
            "precision": self.music.precision,
            "config": self.config.model_dump(mode="json"),
            "plan": self.plan.model_dump(mode="json"),
            "trained_parameters": sum(
                parameter.numel() for part in self.objective.modules.values() for parameter in part.parameters()
            ),
            "tracks": len(tracks.entries),
            "minutes": round(tracks.train_seconds / 60, 2),
            "held_out": {
                "tracks": len(tracks.valid),
                "minutes": round(tracks.valid_seconds / 60, 2),
                "of_the_same_tracks": tracks.same_tracks,
            },
            "files": [
                {
                    "path": entry.path,
                    "seconds": round(entry.duration, 2),
                    "caption": _caption(tracks, entry.id),
                    "held_out": entry.id in held_out and not tracks.same_tracks,
                }
                for entry in tracks.entries
            ],
            "skipped": [asdict(item) for item in tracks.skipped],
            "prompts": self.prompts(),
        }

    @property
    def _in_bf16(self) -> bool:
        return (self.config.precision or usual_precision(self.device)) == "bf16"

    # ---- the model's parts -------------------------------------------------------------------------------------------

    def _parts(self) -> Parts:
        music = self.music
        codec = music.codec.mono if isinstance(music.codec, StereoCodec) else music.codec
        assert isinstance(codec, EnCodec), "only EnCodec has codes to train on"
        return Parts(music.lm, music.conditioning, self._text_encoder(), codec)

    def _text_encoder(self) -> TextEncoder | None:
        conditioner = self.music.conditioning.conditioner(self.music.config.text_condition)
        return conditioner.encoder if isinstance(conditioner, TextConditioner) else None

    def _objective_config(self) -> LMObjectiveConfig:
        plan, music = self.plan, self.music
        return LMObjectiveConfig(
            name=music.config.name,
            licence=music.config.licence,
            codec=str(self.directory / "codec"),
            lm=music.lm.config,
            conditioning=music.conditioning.config,
            start_from=str(self.directory),
            window_seconds=plan.window_seconds,
            playing_seconds=music.config.max_duration_seconds,
            adapter=self.config.adapter,
            optimizer=AdamWConfig(learning_rate=plan.learning_rate, weight_decay=0.0),
            gradient_checkpointing=plan.gradient_checkpointing,
        )


def _caption(tracks: Tracks, name: str) -> str | None:
    """What a track was called in training, one of its texts."""
    items = (item for item in (*tracks.train, *tracks.valid) if item.id == name)
    captions = next((item.captions for item in items), ())
    return captions[0] if captions else None


def _card(name: str, licence: str, facts: dict[str, Any]) -> str:
    return (
        f"# {name}\n\nFine-tuned with Cadenza {facts['cadenza']} from {facts['model']['name']} (all weights) on "
        f"{facts['tracks']} tracks, {facts['minutes']} minutes, {facts['step']} updates.\n\n"
        f"Licence of the weights that it began with: {licence}\n"
    )
