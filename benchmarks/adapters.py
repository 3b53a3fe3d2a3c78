"""What adapters cost while music is made: the same pieces with none, one, two, and each with its own. Ends in JSON.

    python benchmarks/adapters.py [--shape embedded] [--precision fp32] [--rank 16] [--duration 2]

All through the public `cadenza.load` and `generate`, guided, random adapters beside all layers. The kinds take turns;
figures are medians of the rounds, ratios those of each round to the piece without. `none` is timed twice: the ratio of
the second to the first is what the machine's unrest amounts to.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cadenza import MusicGen, load
from cadenza.engine.threads import decide_threads
from cadenza.pipelines.placement import PRECISIONS
from cadenza.testing import tiny_adapter
from machine import describe, median, rounded
from shapes import FOLDER, NAMES, model_directory

TOGETHER = 4
"""Pieces of a batch."""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=NAMES, default="embedded")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--duration", type=float, default=2.0, help="seconds of audio")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="processor threads; by default the engine's own choice")
    parser.add_argument("--runs", type=int, default=5, help="rounds")
    parser.add_argument("--models", type=Path, default=FOLDER, help="where the random models are kept")
    options = parser.parse_args(arguments)
    decide_threads(options.threads)
    directory = None if options.shape == "embedded" else model_directory(options.shape, options.models)
    music = load(directory, options.device, options.precision)
    record = measure(music, options.rank, options.duration, options.runs)
    record |= {
        "shape": options.shape,
        "precision": options.precision,
        "machine": describe(torch.device(options.device)),
    }
    print(json.dumps(record))
    return record


def measure(music: MusicGen, rank: int, duration: float, runs: int) -> dict[str, Any]:
    """Seconds of each kind, and its ratio to none."""
    adapters = [tiny_adapter(music.lm, seed, rank=rank, alpha=0.1) for seed in range(TOGETHER)]
    music.desk.wardrobe.choose(adapters, 1)  # read and mounted before anything is timed
    texts = ["a slow waltz"] * TOGETHER
    kinds: dict[str, tuple[str | list[str], Any]] = {
        "none": (texts[0], []),
        "none again": (texts[0], []),
        "one": (texts[0], adapters[:1]),
        "two": (texts[0], adapters[:2]),
        f"{TOGETHER} pieces, none": (texts, []),
        f"{TOGETHER} pieces, one for all": (texts, adapters[:1]),
        f"{TOGETHER} pieces, each its own": (texts, [[adapter] for adapter in adapters]),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for round_number in range(runs + 1):  # the first one warms up
        for kind, (text, worn) in kinds.items():
            start = time.perf_counter()
            music.generate(text, duration, 0, adapters=worn)
            if round_number:
                seconds[kind].append(time.perf_counter() - start)
    ratios = {}
    for kind, its in seconds.items():
        base = seconds[f"{TOGETHER} pieces, none" if "pieces" in kind else "none"]
        ratios[kind] = median([one / other for one, other in zip(its, base, strict=True)])
        print(f"{kind:<28}{median(its):>9.3f} s{ratios[kind]:>8.3f}")
    parameters = adapters[0].num_parameters
    return {
        "rank": rank,
        "adapter_parameters": parameters,
        "duration": duration,
        "seconds": {kind: rounded(median(its)) for kind, its in seconds.items()},
        "ratios": {kind: rounded(ratio) for kind, ratio in ratios.items()},
    }


if __name__ == "__main__":
    main()
