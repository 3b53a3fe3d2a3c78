"""Does a fine-tuning of minutes teach a style, and that style alone? Six composed tracks, as a person would give them.

    python benchmarks/finetune.py [--model DIR] [--styles a,b] [--minutes M] [--threads N] [--memory small]

For each style (`benchmarks/styles.py`: line-ups that the model inside never heard) `cadenza finetune` runs as a person
would run it, in a process of its own: six tracks of 45 s, their words in text files. Then the cross entropy of 12
further tracks of that style and of 12 of a control style (rock) is measured with and without the adapter, each track
with its words. A difference per track, and its 95 % interval (bootstrap over tracks). Asked for: within ten minutes on
two cores, the style's interval below zero, the control's not.

`--memory small` adds the peak memory of fine-tuning a model of MusicGen-small's shape (random weights; two updates).
The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cadenza.audio import Audio
from cadenza.conditioning.text import TextConditioner
from cadenza.data.tokens import CodedItem
from cadenza.evaluate.intervals import Interval, bootstrap_interval
from cadenza.lm.adapter import attach, detach, read_adapter
from cadenza.loading import find_model
from cadenza.pipelines.musicgen import MusicGen
from cadenza.train.finetune_measure import Listener, track_losses
from cadenza.train.objectives.hearing import Hearing
from cadenza.train.objectives.lm_config import LMObjectiveConfig
from machine import describe
from styles import CONTROL, STYLES, Style, write_tracks

HERE = Path(__file__).parent
SCRATCH = HERE.parent / "runs" / "finetune"
TRACKS, HELD_OUT, SECONDS = 6, 12, 45.0
HELD_OUT_FROM = 20
"""Tracks are numbered; those between were listened to when the settings were chosen."""
WINDOWS = 2
"""Of the model's reach, listened to in every held-out track."""
MOST_MINUTES = 10.0
UPDATES_FOR_MEMORY = 2
"""The second meets the optimiser's state."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compose, fine-tune, measure, print."""
    options = _options(arguments)
    torch.set_num_threads(options.threads)
    folder, styles = Path(options.folder), [STYLES[name] for name in options.styles.split(",") if name]
    record: dict[str, Any] = describe(torch.device("cpu")) | {"threads": options.threads, "styles": []}
    if styles:
        judge = Judge(options.model)
        for style in (*styles, CONTROL):
            say(f"composing {style.name}")
            write_tracks(style, folder / style.name / "held-out", HELD_OUT, SECONDS, first=HELD_OUT_FROM)
        control = judge.items(CONTROL, folder / CONTROL.name / "held-out")
        for style in styles:
            record["styles"].append(measure(style, judge, control, folder, options))
        print(table(record["styles"]))
    if options.memory:
        record["memory"] = memory(options.memory, folder, options)
        found = record["memory"]
        print(f"\n{options.memory} ({found['precision']}): {found['peak_gigabytes']:.2f} GB at most, "
              f"{found['seconds_per_update']:.1f} s per update")  # fmt: skip
    print(json.dumps(record))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="as `cadenza finetune --model`; the model inside by default")
    parser.add_argument("--styles", default=",".join(STYLES), help=f"of {', '.join(STYLES)}")
    parser.add_argument("--minutes", type=float, help="of training at most; the command's own by default")
    parser.add_argument("--steps", type=int, help="updates at most; the command's own by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    parser.add_argument("--memory", metavar="SHAPE", help="measure memory with random weights of this shape too")
    parser.add_argument("--folder", default=str(SCRATCH), help="where tracks and runs are kept")
    return parser.parse_args(arguments)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# ---- one style ------------------------------------------------------------------------------------------------------


class Judge:
    """The model as it was, in fp32, and what it makes of tracks."""

    def __init__(self, name: str | None) -> None:
        directory = find_model(name)
        self.music = music = MusicGen.from_pretrained(directory, "cpu", "fp32")
        part = music.conditioning.conditioner(music.config.text_condition)
        encoder = part.encoder if isinstance(part, TextConditioner) else None
        config = LMObjectiveConfig(codec=str(directory / "codec"), conditioning=music.conditioning.config)
        hearing = Hearing(config, music.conditioning, encoder)
        self.listener = Listener(music.lm, hearing, music.codec.frame_rate)

    @torch.no_grad()
    def items(self, style: Style, folder: Path) -> list[CodedItem]:
        """Codes and words of all tracks in a folder."""
        found = []
        for path in sorted(folder.glob("*.flac")):
            sound = Audio.read(path).resample(self.music.sample_rate).with_channels(self.music.codec.channels)
            codes = self.music.codec.encode(torch.from_numpy(sound.samples[None])).codes[0]
            words = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
            found.append(CodedItem(path.stem, "test", (words,), codes))
        return found

    def losses(self, items: Sequence[CodedItem], adapter: Path | None) -> list[tuple[float, ...]]:
        """Per track, by codebook."""
        detach(self.music.lm)
        if adapter is not None:
            worn = read_adapter(adapter)
            attach(self.music.lm, worn.config, start=worn)
        self.music.lm.eval()
        frames = round(self.music.config.max_duration_seconds * self.music.codec.frame_rate)
        return [loss.per_codebook for loss in track_losses(self.listener, items, frames, most=WINDOWS)]


def measure(
    style: Style, judge: Judge, control: Sequence[CodedItem], folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Fine-tune on the style's first tracks; listen to those behind them, and to the control."""
    tracks = folder / style.name / "mine"
    write_tracks(style, tracks, TRACKS, SECONDS)
    say(f"fine-tuning on {style.name}")
    seconds, facts, adapter = run_command(tracks, options.model, options)
    held_out = judge.items(style, folder / style.name / "held-out")
    found: dict[str, Any] = {"name": style.name, "seconds": round(seconds, 1), "seed": options.seed}
    found |= {name: facts[name] for name in ("plan", "step", "steps_made", "stopped", "peak_memory_bytes")}
    found["training_seconds"] = facts["seconds"]["training"]
    found["memorization"] = {when: facts[when]["memorization"] for when in ("before", "after")}
    for name, items in (("style", held_out), ("control", control)):
        before, after = judge.losses(items, None), judge.losses(items, adapter)
        found[name] = compare(before, after)
    found["reached"] = found["style"]["change"]["high"] < 0 <= found["control"]["change"]["high"]
    found["reached"] &= seconds <= 60 * MOST_MINUTES
    return found


def compare(before: Sequence[tuple[float, ...]], after: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    """Means, the change with its interval, and the change of every codebook."""
    old, new = ([sum(row) / len(row) for row in rows] for rows in (before, after))
    change = bootstrap_interval([b - a for a, b in zip(old, new, strict=True)])
    books = [
        bootstrap_interval([b[k] - a[k] for a, b in zip(before, after, strict=True)]).mean
        for k in range(len(before[0]))
    ]
    return {
        "tracks": len(old),
        "before": sum(old) / len(old),
        "after": sum(new) / len(new),
        "change": {"mean": change.mean, "low": change.low, "high": change.high},
        "change_by_codebook": books,
    }


def run_command(
    tracks: Path, model: str | None, options: argparse.Namespace, *more: str
) -> tuple[float, dict[str, Any], Path]:
    """`cadenza finetune` as a person runs it: wall seconds, its report, and the adapter."""
    with tempfile.TemporaryDirectory() as temporary:
        adapter = tracks.parent / "adapter.safetensors"
        report = Path(temporary) / "report"
        command = [sys.executable, "-m", "cadenza", "finetune", str(tracks), "-o", str(adapter)]
        command += ["--out-report", str(report), "--threads", str(options.threads), "--seed", str(options.seed)]
        command += more
        for name, value in (("model", model), ("minutes", options.minutes), ("steps", options.steps)):
            command += [] if value is None else [f"--{name}", str(value)]
        environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
        began = time.monotonic()
        subprocess.run(command, env=environment, check=True, stdout=sys.stderr)
        seconds = time.monotonic() - began
        return seconds, json.loads((report / "report.json").read_text(encoding="utf-8")), adapter


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| style | updates | time | held-out tracks: before | after | change (95 % interval) "
        "| control: before | after | change (95 % interval) | asked for |",
        "|---|--:|--:|--:|--:|---|--:|--:|---|---|",
    ]
    for row in rows:
        cells = [row["name"], f"{row['step']} of {row['steps_made']}", f"{row['seconds'] / 60:.1f} min"]
        for name in ("style", "control"):
            part = row[name]
            change = Interval(part["change"]["mean"], part["change"]["low"], part["change"]["high"], part["tracks"])
            cells += [f"{part['before']:.3f}", f"{part['after']:.3f}", f"{change:+.3f}"]
        lines.append("| " + " | ".join([*cells, "reached" if row["reached"] else "missed"]) + " |")
    return "\n".join(lines)


# ---- memory ---------------------------------------------------------------------------------------------------------


def memory(shape: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Peak of a process that fine-tunes a model of this shape with the command's own settings, two updates."""
    from shapes import model_directory, use_folder

    use_folder()
    model = model_directory(shape)
    tracks = folder / "memory" / "mine"
    write_tracks(STYLES["synth-baroque"], tracks, TRACKS, SECONDS)
    chosen = argparse.Namespace(**vars(options) | {"steps": UPDATES_FOR_MEMORY, "minutes": 60.0})
    _, facts, _ = run_command(tracks, str(model), chosen, "--examples", "0", "--excerpts", "0")
    plan = facts["plan"]
    return {
        "shape": shape,
        "precision": facts["precision"],
        "peak_gigabytes": facts["peak_memory_bytes"] / 1e9,
        "seconds_per_update": facts["seconds"]["training"] / UPDATES_FOR_MEMORY,
        "window_seconds": plan["window_seconds"],
        "windows_per_update": plan["batch_size"] * plan["accumulation"],
        "gradient_checkpointing": plan["gradient_checkpointing"],
    }


if __name__ == "__main__":
    sys.exit(main())
