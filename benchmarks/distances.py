"""Distances between sets of clips, embedding aside: time, memory, and how often an interval holds the truth.

    python benchmarks/distances.py [--clips 1000] [--windows 20] [--runs 5]     # time and memory, at 128 and 512 values
    python benchmarks/distances.py --coverage [--sets 200]                     # intervals of known Gaussians

Time: a reference and a judged set of as many clips of 10 s, normal windows of a falling spectrum, float32. Each width
runs in a process of its own; memory is the most it held beyond the windows themselves. FAD counts from windows to
figure: both sets' statistics, and the distance. Medians of `--runs`. The last line is JSON.

Coverage: pieces whose windows depend on each other, from Gaussians whose distance is known; the share of sets whose
interval holds it, ours beside a plain bootstrap of pieces, and the bias of FAD, FAD-infinity and fadtk's rule.
"""

import argparse
import gc
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from cadenza.evaluate.frechet import (
    frechet_difference,
    frechet_distance,
    frechet_infinity,
    frechet_interval,
    frechet_per_piece,
    least_windows,
)
from cadenza.evaluate.kernel import kernel_distance, kernel_interval
from cadenza.evaluate.mauve import mauve_divergence
from cadenza.evaluate.statistics import GaussianStatistics
from machine import describe, host_peak_bytes

DIMS = (128, 512)
LIMIT_SECONDS, LIMIT_MB = 2.0, 500.0
TRUTHS = (
    # values, decay of the spectrum, shift, rotation and stretch, pieces, windows of each, share that a piece shares
    (64, 0.0, 0.0, 0.0, 300, 5, 0.5),
    (64, 1.0, 0.0, 0.0, 300, 5, 0.5),
    (64, 1.0, 0.1, 0.2, 300, 5, 0.5),
    (64, 1.0, 0.1, 0.2, 128, 1, 0.0),
    (64, 1.0, 0.1, 0.2, 256, 1, 0.0),
    (128, 1.0, 0.1, 0.2, 300, 15, 0.3),
    (128, 1.0, 0.3, 0.6, 100, 15, 0.3),
)

Pieces = list[np.ndarray]


# ---------------------------------------------------------------------------------------------------- time and memory


def windows(dim: int, clips: int, each: int, seed: int, scale: float) -> Pieces:
    spectrum = scale * np.arange(1, dim + 1, dtype=np.float32) ** -0.5
    random = np.random.default_rng(seed)
    return [random.standard_normal((each, dim), dtype=np.float32) * spectrum for _ in range(clips)]


def measure(dim: int, options: argparse.Namespace) -> dict[str, Any]:
    """One width, in this process."""
    reference = windows(dim, options.clips, options.windows, 0, 1.0)
    judged = windows(dim, options.clips, options.windows, 1, 1.1)

    of = GaussianStatistics.of_pieces
    frechet_distance(of(reference[:60]), of(judged[:60]))  # libraries start their threads and take their buffers
    gc.collect()
    start = host_peak_bytes()
    seconds = {"FAD": [timed(lambda: frechet_distance(of(reference), of(judged))) for _ in range(options.runs)]}
    megabytes = (host_peak_bytes() - start) / 1e6
    known, flat = of(reference), np.concatenate(reference)
    others: dict[str, Callable[[], object]] = {
        "FAD-infinity": lambda: frechet_infinity(known, judged),
        "FAD, interval": lambda: frechet_interval(known, judged),
        "FAD, difference of two": lambda: frechet_difference(known, judged, judged),
        "FAD of each piece": lambda: frechet_per_piece(known, judged),
        "KAD": lambda: kernel_distance(flat, np.concatenate(judged)),
        "KAD, interval": lambda: kernel_interval(flat, judged),
        "MAD, one vector a clip": lambda: mauve_divergence(
            np.stack([piece[0] for piece in reference]), np.stack([piece[0] for piece in judged])
        ),
    }
    for name, action in others.items():
        seconds[name] = [timed(action) for _ in range(1 if name.startswith(("KAD", "MAD")) else min(3, options.runs))]
    return {
        "dim": dim,
        "seconds": {name: round(statistics.median(wall for wall, _ in values), 3) for name, values in seconds.items()},
        "computed": {name: round(statistics.median(own for _, own in values), 3) for name, values in seconds.items()},
        "fad_megabytes": round(megabytes, 1),
        "peak_megabytes": round((host_peak_bytes() - start) / 1e6, 1),
    }


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds that passed, and seconds that the threads of this process computed."""
    start, own = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start, time.process_time() - own


def table(records: Sequence[dict[str, Any]]) -> str:
    head = " | ".join(f"{record['dim']} values" for record in records)
    lines = [f"| seconds (of them computed) | {head} | limit |"]
    lines.append("|---|" + "--:|" * (len(records) + 1))
    for name in records[0]["seconds"]:
        cells = [f"{record['seconds'][name]:.3f} ({record['computed'][name]:.3f})" for record in records]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {f'{LIMIT_SECONDS:g}' if name == 'FAD' else '–'} |")
    cells = [f"{record['fad_megabytes']:.0f}" for record in records]
    lines.append("| MB beyond the start, FAD | " + " | ".join(cells) + f" | {LIMIT_MB:g} |")
    cells = [f"{record['peak_megabytes']:.0f}" for record in records]
    return "\n".join([*lines, "| MB beyond the start, all | " + " | ".join(cells) + " | – |"])


# ----------------------------------------------------------------------------------------------------------- coverage


class Truth:
    """A Gaussian reference, and judged pieces whose distance from it is known."""

    def __init__(self, dim: int, decay: float, shift: float, turn: float) -> None:
        random = np.random.default_rng(1)
        spectrum = np.arange(1, dim + 1.0) ** -decay
        spectrum *= dim / spectrum.sum()
        directions = np.linalg.qr(random.normal(size=(dim, dim)))[0]
        self.mean = shift * directions @ np.sqrt(spectrum)
        self.reference = endless(np.zeros(dim), (directions * spectrum) @ directions.T)
        if turn:
            directions = np.linalg.qr(directions + turn * random.normal(size=(dim, dim)) / np.sqrt(dim))[0]
            spectrum = spectrum * np.exp(turn * random.normal(size=dim))
        self.root = directions * np.sqrt(spectrum)
        self.distance = frechet_distance(self.reference, endless(self.mean, self.root @ self.root.T))

    def draw(self, random: np.random.Generator, pieces: int, each: int, shared: float) -> Pieces:
        dim = len(self.mean)
        common, own = random.normal(size=(pieces, 1, dim)), random.normal(size=(pieces, each, dim))
        return list(self.mean + (np.sqrt(shared) * common + np.sqrt(1 - shared) * own) @ self.root.T)


def endless(mean: np.ndarray, covariance: np.ndarray) -> GaussianStatistics:
    """The statistics of a set so large that nothing is left to chance."""
    known = GaussianStatistics(len(mean))
    known.count, known.mean = 10**9, mean
    known.scatter = covariance * (known.count - 1)
    return known


def replaced(truth: Truth, pieces: Pieces, random: np.random.Generator) -> float:
    """FAD-infinity by fadtk's rule: single windows, put back, 25 sizes from 500 to all, a line over 1 / N."""
    together = np.concatenate(pieces)
    least = min(max(500, least_windows(together.shape[1])), len(together) // 2)
    sizes = np.linspace(least, len(together), 25).astype(int)
    drawn = [GaussianStatistics.of(together[random.integers(len(together), size=size)]) for size in sizes]
    return float(np.polyfit(1 / sizes, [frechet_distance(truth.reference, one) for one in drawn], 1)[1])


def bootstrapped(truth: Truth, pieces: Pieces, random: np.random.Generator) -> bool:
    """Whether a plain bootstrap of pieces, 100 percentile draws, holds the truth."""
    parts = [GaussianStatistics.of(piece) for piece in pieces]
    distances = []
    for _ in range(100):
        chosen = random.integers(len(parts), size=len(parts))
        distances.append(frechet_distance(truth.reference, GaussianStatistics.total([parts[one] for one in chosen])))
    low, high = np.quantile(distances, (0.025, 0.975))
    return bool(low <= truth.distance <= high)


def cover(sets: int) -> list[dict[str, Any]]:
    """A row for each truth; what is slow and far off is counted in a tenth of the sets."""
    records = []
    print("| values, decay | pieces x windows | truth | FAD | FAD-infinity | fadtk's rule | interval's middle "
          "| half width | holds the truth | bootstrap does |")  # fmt: skip
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for dim, decay, shift, turn, pieces, each, shared in TRUTHS:
        truth, random = Truth(dim, decay, shift, turn), np.random.default_rng(2)
        plain, infinite, put_back, intervals, boots = [], [], [], [], []
        for number in range(sets):
            drawn = truth.draw(random, pieces, each, shared)
            intervals.append(frechet_interval(truth.reference, drawn, seed=number))
            infinite.append(frechet_infinity(truth.reference, drawn, seed=number).value)
            plain.append(frechet_distance(truth.reference, GaussianStatistics.of(np.concatenate(drawn))))
            if number < max(3, sets // 10):
                put_back.append(replaced(truth, drawn, random))
                boots.append(bootstrapped(truth, drawn, random))
        held = [one.low <= truth.distance <= one.high for one in intervals]
        record = {
            "dim": dim, "decay": decay, "pieces": pieces, "windows": each, "truth": truth.distance,
            "fad_bias": np.mean(plain) - truth.distance, "infinity_bias": np.mean(infinite) - truth.distance,
            "fadtk_bias": np.mean(put_back) - truth.distance,
            "interval_bias": np.mean([one.mean for one in intervals]) - truth.distance,
            "half_width": np.mean([(one.high - one.low) / 2 for one in intervals]),
            "coverage": np.mean(held), "bootstrap_coverage": np.mean(boots), "sets": sets,
        }  # fmt: skip
        records.append({name: round(float(value), 4) for name, value in record.items()})
        print(f"| {dim}, {decay:g} | {pieces} x {each} | {truth.distance:.2f} | {record['fad_bias']:+.2f} "
              f"| {record['infinity_bias']:+.2f} | {record['fadtk_bias']:+.2f} | {record['interval_bias']:+.2f} "
              f"| {record['half_width']:.2f} | {record['coverage']:.0%} | {record['bootstrap_coverage']:.0%} |",
              flush=True)  # fmt: skip
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=20, help="of each clip")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--coverage", action="store_true", help="instead of time and memory")
    parser.add_argument("--sets", type=int, default=200, help="drawn for each row of --coverage")
    parser.add_argument("--dim", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.dim is not None:
        print(json.dumps(measure(options.dim, options)))
        return
    facts = describe(torch.device("cpu"))
    if options.coverage:
        logging.getLogger("cadenza").setLevel(logging.ERROR)  # no word of small sets, one after the other
        print(json.dumps({"coverage": cover(options.sets), "machine": facts}))
        return
    records = []
    for dim in DIMS:
        done = subprocess.run([sys.executable, *sys.argv, "--dim", str(dim)], check=True, stdout=subprocess.PIPE)
        records.append(json.loads(done.stdout))
    print(f"{options.clips} clips of {options.windows} windows beside as many, {facts['device']}")
    print(table(records))
    limits = {"seconds": LIMIT_SECONDS, "megabytes": LIMIT_MB}
    print(json.dumps({"records": records, "limits": limits, "machine": facts}))


if __name__ == "__main__":
    main()
