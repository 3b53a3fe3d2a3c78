"""A model that trains in milliseconds, and a folder of tracks as a person keeps one."""

from pathlib import Path

import numpy as np

from cadenza.audio import Audio
from cadenza.testing import tiny_musicgen
from cadenza.train.finetune_config import FinetuneConfig

SECONDS = 1.0
"""The model's reach."""


def write_model(folder: Path, **parts: bool) -> Path:
    tiny_musicgen(max_duration_seconds=SECONDS, **parts).save_pretrained(folder)
    return folder


def write_tracks(folder: Path, count: int = 5, seconds: float = 2.5) -> Path:
    """Tones that swell, each in its own way; the first has words beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        time = np.arange(round(seconds * 32000)) / 32000
        wave = 0.3 * np.sin(2 * np.pi * 110 * (i + 2) * time) * (0.6 + 0.4 * np.sin(2 * np.pi * (i + 1) * time))
        wave += np.random.default_rng(i).normal(size=wave.shape) * 0.01
        Audio(wave[None].astype(np.float32), 32000).write(folder / f"song {i}.wav", loudness_lufs=None)
    (folder / "song 0.txt").write_text("a slow tone\n", encoding="utf-8")
    return folder


def settings(model: Path, **changes: object) -> FinetuneConfig:
    values: dict[str, object] = {"model": str(model), "device": "cpu", "steps": 4, "batch_size": 2, "rank": 2}
    values |= {"examples": 1, "excerpts": 2, "learning_rate": 1e-2, "window_seconds": 0.5, "precision": "fp32"}
    return FinetuneConfig(**(values | changes))  # type: ignore[arg-type]
