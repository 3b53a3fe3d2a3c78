"""Train the instrument classifier of `cadenza.evaluate.instruments` on composed pieces and measure it on others.

    python benchmarks/instrument_classifier/train.py CORPUS HELD_OUT [--epochs 24] [--seed 0]

CORPUS and HELD_OUT are directories made by `cadenza.corpus` with different seeds, which therefore share no piece.
Training uses the training split of CORPUS, thresholds (best F1) come from its other pieces and a tenth of the training
pieces kept apart for that, and the figures in `metrics.json` from HELD_OUT, which nothing else has seen. Clips are
filtered at random (tilted, band-limited, noise behind), so that the verdict does not hang on a clean rendering.
The files here: 10 hours of corpus seed 7, measured on 1 hour of corpus seed 5; 3 minutes on one processor core.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cadenza.audio import Audio
from cadenza.checkpoint import write_json
from cadenza.evaluate.instruments import InstrumentClassifier, InstrumentClassifierConfig

HERE = Path(__file__).parent
CROP_FRAMES = 192  # 4.5 s
BATCH = 32
MIN_PIECES = 4  # an instrument of fewer training pieces is left out of the vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=HERE)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    began = time.monotonic()

    rows, held_out = read_rows(options.corpus), read_rows(options.held_out)
    training, choosing = divide(rows)
    names = vocabulary(training)
    config = InstrumentClassifierConfig(instruments=names, thresholds=(0.5,) * len(names))
    model = InstrumentClassifier(config)
    features = {name: load_features(model, directory) for name, directory in
                (("corpus", options.corpus), ("held_out", options.held_out))}  # fmt: skip
    fit(model, [(features["corpus"][row["id"]], targets(row, names)) for row in training], options.epochs, rng)

    model.eval()
    chosen = choose_thresholds(*score(model, features["corpus"], choosing))
    metrics = measure(*score(model, features["held_out"], held_out), names, chosen)
    config = InstrumentClassifierConfig(instruments=names, thresholds=tuple(round(float(t), 3) for t in chosen))
    model.config = config
    model.save_pretrained(options.output, dtype=torch.float16)
    report = {
        "trained_on": {"clips": len(training), "pieces": len({row["seed"] for row in training}),
                       "hours": round(sum(row["duration"] for row in training) / 3600, 2)},
        "held_out": {"clips": len(held_out), "pieces": len({row["seed"] for row in held_out})},
        "parameters": sum(p.numel() for p in model.parameters()),
        "epochs": options.epochs, "seed": options.seed, "minutes": round((time.monotonic() - began) / 60, 1),
        **metrics,
    }  # fmt: skip
    write_json(options.output / "metrics.json", report)
    print(json.dumps({key: value for key, value in report.items() if key != "per_instrument"}))


def read_rows(directory: Path) -> list[dict[str, Any]]:
    """The lines of the manifest."""
    return [json.loads(line) for line in (directory / "manifest.jsonl").read_text().splitlines()]


def divide(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Clips to train on, and clips of other pieces to choose thresholds with."""
    apart = {row["seed"] for row in rows if row["split"] != "train" or row["seed"] % 10 == 0}
    return [row for row in rows if row["seed"] not in apart], [row for row in rows if row["seed"] in apart]


def vocabulary(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """Instruments of enough pieces, in alphabetical order."""
    pieces: dict[str, set[int]] = {}
    for row in rows:
        for name in row["instruments"]:
            pieces.setdefault(name, set()).add(row["seed"])
    return tuple(sorted(name for name, seeds in pieces.items() if len(seeds) >= MIN_PIECES))


def targets(row: dict[str, Any], names: tuple[str, ...]) -> np.ndarray:
    return np.array([name in row["instruments"] for name in names], dtype=np.float32)


def load_features(model: InstrumentClassifier, directory: Path) -> dict[str, np.ndarray]:
    """Decibels per mel band of each clip as bytes (half a decibel a step), kept beside the manifest."""
    cache = directory / "instrument_features.npz"
    if not cache.exists():
        made = {}
        for count, row in enumerate(read_rows(directory), 1):
            levels = model.features(Audio.read(directory / row["path"]))
            made[row["id"]] = np.round(-2.0 * levels).astype(np.uint8)
            if count % 200 == 0:
                print(f"{directory.name}: {count} clips heard", file=sys.stderr, flush=True)
        np.savez(cache, **made)
    with np.load(cache) as kept:
        return {name: kept[name] for name in kept.files}


def fit(
    model: InstrumentClassifier, clips: list[tuple[np.ndarray, np.ndarray]], epochs: int, rng: np.random.Generator
) -> None:
    """Binary cross entropy, rare instruments weighted up; AdamW, one cycle of the learning rate."""
    share = np.mean([labels for _, labels in clips], axis=0)
    loss_of = nn.BCEWithLogitsLoss(pos_weight=torch.from_numpy(np.clip((0.1 / share) ** 0.5, 1, 4).astype(np.float32)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    steps = epochs * (len(clips) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    model.train()
    for epoch in range(epochs):
        losses = []
        for levels, labels in batches(clips, rng):
            loss = loss_of(model(levels), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        print(f"epoch {epoch + 1}/{epochs}: loss {np.mean(losses):.4f}", file=sys.stderr, flush=True)


def batches(clips: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Random crops of random clips, filtered at random; the last incomplete batch is left out."""
    order = rng.permutation(len(clips))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        chosen = [clips[i] for i in order[start : start + BATCH]]
        levels = np.stack([disturb(crop(clip, rng), rng) for clip, _ in chosen])
        yield torch.from_numpy(levels), torch.from_numpy(np.stack([labels for _, labels in chosen]))


def crop(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if levels.shape[1] < CROP_FRAMES:
        levels = np.pad(levels, ((0, 0), (0, CROP_FRAMES - levels.shape[1])), constant_values=160)
    start = int(rng.integers(0, levels.shape[1] - CROP_FRAMES + 1))
    return levels[:, start : start + CROP_FRAMES].astype(np.float32) / -2.0


def disturb(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth filter of a few decibels, sometimes no highs, sometimes noise; still relative to the loudest band."""
    bands = levels.shape[0]
    curve = np.interp(np.arange(bands), np.linspace(0, bands - 1, 6), rng.normal(0, 3.0, 6))
    if rng.random() < 0.3:
        edge = rng.integers(bands // 2, bands)
        curve = curve - np.maximum(0, np.arange(bands) - edge) * rng.uniform(1, 6)
    levels = levels + curve[:, None].astype(np.float32)
    levels -= levels.max()
    if rng.random() < 0.5:
        noise = rng.uniform(-75, -40) + rng.normal(0, 4, levels.shape)  # the level of noise in a band wavers by itself
        levels = 10 * np.log10(10 ** (levels / 10) + 10 ** (noise / 10))
    return np.clip(levels, -80.0, 0.0).astype(np.float32)


@torch.inference_mode()
def score(
    model: InstrumentClassifier, features: dict[str, np.ndarray], rows: list[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and truth, [clips, instruments] each."""
    names = model.config.instruments
    levels = (torch.from_numpy(features[row["id"]].astype(np.float32) / -2.0) for row in rows)
    probabilities = [model(clip[None]).sigmoid()[0].numpy() for clip in levels]
    return np.stack(probabilities), np.stack([targets(row, names) for row in rows])


def choose_thresholds(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The threshold of the best F1 per instrument, drawn towards 0.5 where few clips speak for it."""
    grid = np.arange(0.1, 0.91, 0.05)
    chosen = []
    for guessed, true in zip(probabilities.T, truth.T, strict=True):
        best = grid[int(np.argmax([f1(guessed >= t, true > 0) for t in grid]))]
        count = float(true.sum())
        chosen.append((count * best + 10 * 0.5) / (count + 10))
    return np.array(chosen)


def measure(
    probabilities: np.ndarray, truth: np.ndarray, names: tuple[str, ...], thresholds: np.ndarray
) -> dict[str, Any]:
    """Average precision and F1 per instrument and over all; chance for average precision is an instrument's share."""
    per_instrument: dict[str, dict[str, float | int | None]] = {}
    for index, name in enumerate(names):
        true = truth[:, index] > 0
        found = bool(true.any())
        per_instrument[name] = {
            "clips": int(true.sum()),
            "average_precision": round(average_precision(probabilities[:, index], true), 3) if found else None,
            "f1": round(f1(probabilities[:, index] >= thresholds[index], true), 3) if found else None,
        }
    present = [entry for entry in per_instrument.values() if entry["clips"]]
    guessed = probabilities >= thresholds
    return {
        "mean_average_precision": round(float(np.mean([entry["average_precision"] for entry in present])), 3),
        "chance_average_precision": round(float(truth[:, truth.any(axis=0)].mean()), 3),
        "macro_f1": round(float(np.mean([entry["f1"] for entry in present])), 3),
        "micro_f1": round(f1(guessed.ravel(), truth.ravel() > 0), 3),
        "instruments": len(names),
        "instruments_measured": len(present),
        "per_instrument": per_instrument,
    }


def average_precision(scores: np.ndarray, true: np.ndarray) -> float:
    """Mean over the true items of the precision down to each, best score first."""
    ranked = true[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ranked) / np.arange(1, ranked.size + 1)
    return float(precision[ranked].mean())


def f1(guessed: np.ndarray, true: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN); 0 where there is nothing to find and nothing found."""
    hits = float((guessed & true).sum())
    return 2 * hits / max(float(guessed.sum() + true.sum()), 1.0)


if __name__ == "__main__":
    main()
