"""The evaluator's own ear, rebuilt with one command: corpora in, the package's `assets/evaluator` out.

    python -m cadenza.corpus.build --out TRAIN --hours 16 --seed 43
    python -m cadenza.corpus.build --out HELD_OUT --hours 2.5 --seed 37
    python recipes/evaluator.py TRAIN HELD_OUT          # an hour on one thread

No generator may be trained on either corpus. The network learns from most pieces of TRAIN; thresholds are chosen on the
others; the figures in the card come from HELD_OUT, which nothing else has heard.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cadenza.audio import Audio
from cadenza.checkpoint import write_json
from cadenza.corpus.build import PIECES_PER_SEED, piece_seconds
from cadenza.corpus.compose import compose
from cadenza.corpus.score import Score
from cadenza.evaluate.embedders.listener import ASSETS, Listener
from cadenza.evaluate.embedders.listener_key import pitch_peaks
from cadenza.evaluate.embedders.listener_network import ListenerConfig, band_levels
from cadenza.evaluate.embedders.listener_tempo import onset_bands, tempo_curves
from cadenza.evaluate.key import parse_key
from cadenza.evaluate.spectra import mono
from cadenza.files import atomic_directory
from cadenza.train.damage import KINDS, damage
from cadenza.train.listener import (
    CELLS,
    ListenerClip,
    ListenerTraining,
    pack_levels,
    train_listener,
    whiten_embedding,
)
from cadenza.train.listener_estimators import train_key, train_tempo
from evaluator_card import card
from evaluator_figures import measure

Row = dict[str, Any]
LIMIT_MB = 4.0
TEMPO_STEPS, KEY_STEPS = 1500, 2600


def main() -> None:
    """Hear, train, choose, measure, ship."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="to learn from")
    parser.add_argument("held_out", type=Path, help="to measure on")
    parser.add_argument("--steps", type=int, default=ListenerTraining.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=ListenerTraining.learning_rate)
    parser.add_argument(
        "--go-on",
        type=Path,
        metavar="EAR",
        help="begin with this ear, whose networks of tempo and key stay: for the same names played by another composer",
    )
    parser.add_argument("--out", type=Path, default=ASSETS, help="directory to write")
    options = parser.parse_args()
    rows, held_out = read_rows(options.corpus), read_rows(options.held_out)
    settings = ListenerTraining(steps=options.steps, seed=options.seed, learning_rate=options.learning_rate)
    torch.manual_seed(settings.seed)
    if options.go_on is None:
        config = ListenerConfig(instruments=names(rows), thresholds=(0.5,) * len(names(rows)), genres=genres(rows))
        listener = Listener(config)
    else:
        listener = Listener.open(options.go_on)
    learning, choosing = divide(rows)
    lessons = hear_corpus(options.corpus, learning, listener.config)
    began = time.monotonic()
    train(listener, learning, lessons, settings, time_and_key=options.go_on is None)
    minutes = (time.monotonic() - began) / 60
    listener = with_thresholds(listener.to(torch.float16).float(), options.corpus, choosing)
    report = {
        "before": [] if options.go_on is None else lessons_before(options.go_on),
        "trained_on": {**extent(learning), "steps": settings.steps, "minutes": round(minutes, 1)},
        "thresholds_chosen_on": extent(choosing),
        "parameters": sum(parameter.numel() for parameter in listener.parameters()),
        "held_out": measure(listener, options.held_out, held_out, say) | extent(held_out),
    }
    ship(listener, report, options.out)


def train(
    listener: Listener,
    rows: Sequence[Row],
    lessons: "Sequence[Lesson]",
    settings: ListenerTraining,
    time_and_key: bool = True,
) -> None:
    """The network of windows, then those of tempo and key."""
    clips = [lesson.clip for lesson in lessons]
    train_listener(
        listener,
        clips,
        settings,
        lambda step, losses: say(f"step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in losses.items())),
    )
    whiten_embedding(listener, clips[::3])
    if not time_and_key:
        return
    curves = np.stack([lesson.curves for lesson in lessons])
    tempos = [row["tempo_bpm"] for row in rows]
    train_tempo(listener.tempos, curves, tempos, TEMPO_STEPS, settings.seed, reporter("tempo"))
    frames = max(lesson.peaks.shape[1] for lesson in lessons)
    peaks = np.stack([np.pad(one.peaks, ((0, 0), (0, frames - one.peaks.shape[1]))) for one in lessons])
    keys = [parse_key(row["key"]) for row in rows]
    numbers = np.array([key.tonic + 12 * (key.mode == "minor") for key in keys])
    train_key(listener.keys, peaks, numbers, KEY_STEPS, settings.seed, reporter("key"))


def read_rows(folder: Path) -> list[Row]:
    """The lines of the manifest."""
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def names(rows: Sequence[Row]) -> tuple[str, ...]:
    """Every instrument, in alphabetical order."""
    return tuple(sorted({name for row in rows for name in row["instruments"]}))


def genres(rows: Sequence[Row]) -> tuple[str, ...]:
    """Every genre, in alphabetical order."""
    return tuple(sorted({row["genre"] for row in rows}))


def divide(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Clips to learn from; of other pieces (every twentieth, and what is not for training) clips to choose on."""
    apart = {row["seed"] for row in rows if row["split"] != "train" or row["seed"] % 20 == 0}
    return [row for row in rows if row["seed"] not in apart], [row for row in rows if row["seed"] in apart]


def extent(rows: Sequence[Row]) -> dict[str, Any]:
    """How much music that is, and which."""
    hours = sum(row["duration"] for row in rows) / 3600
    music = {"clips": len(rows), "pieces": len({row["seed"] for row in rows}), "hours": round(hours, 2)}
    corpora = sorted({row["seed"] // PIECES_PER_SEED for row in rows})
    return music | {"corpora": corpora, "composers": sorted({row.get("composer", 1) for row in rows})}


def lessons_before(ear: Path) -> list[dict[str, Any]]:
    """What another ear learnt, the first lessons first."""
    metrics = json.loads((ear / "metrics.json").read_text(encoding="utf-8"))
    return [*metrics.get("before", []), metrics["trained_on"]]


# ---- what is known of a clip -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesson:
    """A clip for the network of windows, its curves over tempos (whole, and two parts of 6 to 10 s), its pitches."""

    clip: ListenerClip
    curves: np.ndarray
    peaks: np.ndarray


def hear_corpus(folder: Path, rows: Sequence[Row], config: ListenerConfig) -> list[Lesson]:
    """What there is to learn of every clip. Who plays when is known by composing the notes again from the seed."""
    lessons: list[Lesson] = []
    score: Score | None = None
    for number, row in enumerate(rows, 1):
        if score is None or score.seed != row["seed"]:
            score = compose(row["seed"], piece_seconds(row["seed"]))
        audio = Audio.read(folder / row["path"])
        samples = audio.resample(config.sample_rate).samples[0]
        rng = np.random.default_rng(np.random.SeedSequence([0xDA, row["seed"], int(row["id"].rsplit("-")[-1])]))
        damaged, severities = damage(samples, config.sample_rate, rng)
        covered, strikes = players(score, row, config)
        clip = ListenerClip(
            pack_levels(band_levels(samples, config)),
            pack_levels(band_levels(damaged, config)),
            np.array([severities[kind] for kind in KINDS], dtype=np.float32),
            covered,
            strikes,
            config.genres.index(row["genre"]),
            tuple(row["captions"]),
        )
        onsets = onset_bands(mono(audio))
        views = [tempo_curves(onsets), *(tempo_curves(part(onsets, rng)) for _ in range(2))]
        lessons.append(Lesson(clip, np.stack(views), pitch_peaks(mono(audio))))
        if number % 500 == 0:
            say(f"{number} of {len(rows)} clips heard")
    return lessons


def part(onsets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """6 to 10 s from anywhere."""
    length = int(rng.integers(520, 900))
    start = int(rng.integers(max(1, onsets.shape[1] - length)))
    return onsets[:, start : start + length]


def players(score: Score, row: Row, config: ListenerConfig) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of sound and beginnings of notes, [instruments, cells] each."""
    cell = config.window_seconds / CELLS
    count = int(row["duration"] / cell) + 1
    covered = np.zeros((len(config.instruments), count), dtype=np.float32)
    strikes = np.zeros((len(config.instruments), count), dtype=np.uint8)
    edges = np.arange(count) * cell
    for part in score.parts:
        if part.instrument not in config.instruments:  # it plays too little to be named anywhere
            continue
        index = config.instruments.index(part.instrument)
        for note in part.notes:
            begin = note.start * score.seconds_per_quarter - row["start_seconds"]
            end = min(begin + note.duration * score.seconds_per_quarter, row["duration"])
            covered[index] += np.clip(np.minimum(end, edges + cell) - np.maximum(begin, edges), 0.0, None)
            if 0 <= begin < row["duration"]:
                strikes[index, int(begin / cell)] += 1
    return covered, strikes


# ---- what follows training -------------------------------------------------------------------------------------------


def with_thresholds(listener: Listener, folder: Path, rows: Sequence[Row]) -> Listener:
    """With the threshold of the best F1 per instrument, drawn towards a common one where few clips speak for it."""
    scores = np.stack([listener.hear(Audio.read(folder / row["path"])).instruments for row in rows])
    truth = np.array([[name in row["instruments"] for name in listener.config.instruments] for row in rows])
    grid = np.arange(0.05, 0.81, 0.05)
    common = grid[int(np.argmax([f1(scores >= level, truth) for level in grid]))]
    chosen = []
    for guessed, true in zip(scores.T, truth.T, strict=True):
        quality = np.array([f1(guessed >= level, true) for level in grid])
        best = float(grid[np.flatnonzero(quality == quality.max())].mean())
        chosen.append(round((true.sum() * best + 10 * common) / (true.sum() + 10), 3))
    listener.config = listener.config.model_copy(update={"thresholds": tuple(float(value) for value in chosen)})
    return listener


def f1(guessed: np.ndarray, true: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN); 0 where there is nothing to find and nothing found."""
    return 2 * float((guessed & true).sum()) / max(float(guessed.sum() + true.sum()), 1.0)


def ship(listener: Listener, report: dict[str, Any], out: Path) -> None:
    """Write the model directory: weights in fp16, `metrics.json`, and the card that says the same in words."""
    with atomic_directory(out) as folder:
        listener.save_pretrained(folder, torch.float16)
        write_json(folder / "metrics.json", report)
        (folder / "README.md").write_text(card(report), encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        if size > LIMIT_MB:
            raise SystemExit(f"{size:.1f} MB: the listener may have {LIMIT_MB}")
    say(f"{out}: {size:.1f} MB")


def reporter(name: str) -> Callable[[int, float], None]:
    """Says how far a training is."""
    return lambda step, loss: say(f"{name}, step {step}: {loss:.3f}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
