"""Which codebook pattern, and which size, for a given budget? The ablations of MusicGen and of System 1, shrunk.

    python benchmarks/patterns.py TOKENS [--only NAME ...]        trains what is not there yet; writes the results,
                                                                  docs/patterns.png and, to the terminal, the tables

TOKENS is a token cache (`cadenza.data`). Six patterns at one size, three sizes with one pattern: the same windows of
5 s in the same order, no text. A run goes on until it has had `UPDATES` updates and `SECONDS` of processor time, and is
measured at both. Cross entropies are of the same codes, those that every pattern predicts. The last line is JSON.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cadenza.data.tokens import FixedWindows, RandomWindows, TokenCache
from cadenza.evaluate.intervals import mean_interval
from cadenza.lm.model import LM, LMConfig
from cadenza.lm.patterns import CoarseFirstConfig, DelayConfig, FlattenConfig, ParallelConfig, PatternConfig
from cadenza.train.objectives.lm import masked_cross_entropy
from cadenza.train.optim import MuonConfig, build_optimizer
from cadenza.train.schedule import ConstantSchedule
from machine import describe

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "patterns.json"
PLOT = HERE.parent / "docs" / "patterns.png"

WINDOW_SECONDS, BATCH, UPDATES, SECONDS, EVERY = 5.0, 6, 200, 120.0, 20
WARM_UP = ConstantSchedule(warmup_steps=30)
LEARNING_RATE = 8e-3
CURVE_CLIPS = 24


class Setting(NamedTuple):
    """What differs between runs."""

    pattern: PatternConfig = DelayConfig()
    dim: int = 192
    layers: int = 6


def settings(num_codebooks: int = 4) -> dict[str, Setting]:
    """Every run by name; "delay" is also the middle size."""
    return {
        "delay": Setting(),
        "partial delay": Setting(DelayConfig.partial(num_codebooks)),
        "parallel": Setting(ParallelConfig()),
        "coarse first": Setting(CoarseFirstConfig()),
        "partial flattening": Setting(FlattenConfig.partial(num_codebooks)),
        "flattening": Setting(FlattenConfig()),
        "small": Setting(dim=96, layers=4),
        "large": Setting(dim=384, layers=8),
        "small, parallel": Setting(ParallelConfig(), dim=96, layers=4),
        "small, partial delay": Setting(DelayConfig.partial(num_codebooks), dim=96, layers=4),
        "small, coarse first": Setting(CoarseFirstConfig(), dim=96, layers=4),
    }


class Clips:
    """Training windows by number, and the first window of every validation recording."""

    def __init__(self, folder: Path) -> None:
        cache = TokenCache(folder)
        self.codebook_size, self.num_codebooks = cache.codebook_size, cache.num_codebooks
        self.frames = round(WINDOW_SECONDS * cache.frame_rate)
        self.train = RandomWindows(cache.split("train"), self.frames, BATCH, seed=0)
        whole = [item for item in cache.split("valid") if item.codes.shape[1] >= self.frames]
        self.valid = FixedWindows(whole, self.frames, BATCH)


def codes_of(batch: Any) -> Tensor:
    codes = batch["codes"]
    assert isinstance(codes, Tensor)
    return codes


def build(setting: Setting, clips: Clips) -> LM:
    lm = LM(
        LMConfig(
            codebook_size=clips.codebook_size,
            num_codebooks=clips.num_codebooks,
            dim=setting.dim,
            num_layers=setting.layers,
            num_heads=setting.dim // 48,
            feed_forward_dim=4 * setting.dim,
            cross_attention=False,
            pattern=setting.pattern,
        )
    )
    lm.initialize(torch.Generator().manual_seed(0))
    return lm.train()


def train(setting: Setting, clips: Clips, say: str) -> dict[str, Any]:
    """One run: a curve of (updates, seconds, cross entropy), and every clip's cross entropy per codebook at both
    budgets. Seconds are the training's own, of the processor, on one thread."""
    lm = build(setting, clips)
    optimizer = build_optimizer({"lm": lm}, MuonConfig(learning_rate=LEARNING_RATE))
    rates = [group["lr"] for group in optimizer.param_groups]
    curve: list[tuple[int, float, float]] = []
    at_updates: list[list[float]] | None = None
    at_seconds: list[list[float]] | None = None
    seconds, update = 0.0, 0
    while at_updates is None or at_seconds is None:
        began = time.process_time()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * WARM_UP.factor(update, UPDATES)
        sequence, present = lm.pattern.build(
            codes_of(clips.train.batch(update)), lm.config.special_token, valid_only=True
        )
        with torch.autocast("cpu", torch.bfloat16):
            logits = lm(sequence[:, :, :-1])
        loss = masked_cross_entropy(logits, sequence.masked_fill(~present, -1)[:, :, 1:]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        optimizer.step()
        update += 1
        seconds += time.process_time() - began
        if update % EVERY == 0:
            clipped = measure(lm, clips, -(-CURVE_CLIPS // BATCH))
            curve.append((update, round(seconds, 1), round(statistics.mean(map(statistics.mean, clipped)), 4)))
            print(f"{say}: update {update}, {seconds:.0f} s, {curve[-1][2]:.3f}", flush=True)
        if update == UPDATES:
            at_updates = measure(lm, clips, len(clips.valid))
        if at_seconds is None and seconds >= SECONDS:
            at_seconds = measure(lm, clips, len(clips.valid))
            updates_then = update
    return {
        "parameters": sum(p.numel() for p in lm.parameters()),
        "dim": setting.dim,
        "layers": setting.layers,
        "steps_per_second": round(lm.pattern.num_steps(clips.frames) / WINDOW_SECONDS, 1),
        "seconds_per_update": round(seconds / update, 4),
        "updates_in_seconds": updates_then,
        "curve": curve,
        "at_updates": at_updates,
        "at_seconds": at_seconds,
    }


@torch.no_grad()
def measure(lm: LM, clips: Clips, batches: int) -> list[list[float]]:
    """Mean cross entropy of every clip per codebook, nats, over the frames that all patterns predict: the last K - 1
    are left out, where delayed codebooks run out."""
    lm.eval()
    result = []
    for index in range(batches):
        codes = codes_of(clips.valid.batch(index))
        with torch.autocast("cpu", torch.bfloat16):
            logits, present = lm.logits_for_codes(codes)
        frames = codes.shape[2] - (clips.num_codebooks - 1)
        assert bool(present[..., :frames].all())
        losses = F.cross_entropy(logits[:, :, :frames].movedim(-1, 1).float(), codes[:, :, :frames], reduction="none")
        result += [[round(value, 4) for value in row] for row in losses.mean(-1).tolist()]
    lm.train()
    return result


# --------------------------------------------------------------------------------------------------------- reporting

PATTERNS = ("delay", "partial delay", "parallel", "coarse first", "partial flattening", "flattening")
SIZES = ("small", "delay", "large")
SMALL = ("small", "small, partial delay", "small, parallel", "small, coarse first")
"""The smallest size has the most updates in the same seconds."""


def label_of(name: str, run: dict[str, Any], names: Sequence[str]) -> str:
    """Patterns by name, sizes by what they are."""
    if tuple(names) == SIZES:
        return f"{run['layers']} layers of {run['dim']}"
    return "small, delay" if name == "small" else name


def table(runs: dict[str, Any], names: Sequence[str], reference: str) -> list[str]:
    """One row a run: cross entropy at both budgets, per codebook at equal updates, differences paired by clip."""
    books = len(runs[reference]["at_updates"][0])
    head = ["", "parameters", "steps per second of audio", "s per update", f"nats per code, {UPDATES} updates"]
    head += [f"codebook {k + 1}" for k in range(books)]
    head += [
        f"against {label_of(reference, runs[reference], names)}",
        f"updates in {SECONDS:.0f} s",
        f"nats per code, {SECONDS:.0f} s",
        "against it",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    for name in (name for name in names if name in runs):
        run = runs[name]
        per_book = [statistics.mean(column) for column in zip(*run["at_updates"], strict=True)]
        cells = [
            label_of(name, run, names),
            f"{run['parameters']:,}",
            f"{run['steps_per_second']:.0f}",
            f"{run['seconds_per_update']:.2f}",
            f"**{statistics.mean(per_book):.3f}**",
            *(f"{value:.2f}" for value in per_book),
            _against(run["at_updates"], runs[reference]["at_updates"]),
            f"{run['updates_in_seconds']}",
            f"**{statistics.mean(map(statistics.mean, run['at_seconds'])):.3f}**",
            _against(run["at_seconds"], runs[reference]["at_seconds"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _against(clips: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> str:
    gaps = [statistics.mean(a) - statistics.mean(b) for a, b in zip(clips, others, strict=True)]
    return f"{mean_interval(gaps):+.3f}" if any(gaps) else "–"


def draw(runs: dict[str, Any], path: Path) -> None:
    """Cross entropy over updates and over seconds: patterns in the upper row, sizes in the lower one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image  # comes with matplotlib

    rows = [(PATTERNS, "pattern"), (SIZES, "size")]
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 6.4), sharey="row", layout="constrained")
    for (names, what), line in zip(rows, axes, strict=True):
        for axis, column, label in zip(line, (0, 1), ("updates", "seconds of one thread"), strict=True):
            for name in names:
                if name in runs:
                    curve = runs[name]["curve"]
                    axis.plot(
                        [point[column] for point in curve],
                        [point[2] for point in curve],
                        label=label_of(name, runs[name], names),
                    )
            axis.set_xlabel(label)
            axis.set_xlim(0, (UPDATES, SECONDS)[column])
            axis.grid(alpha=0.3)
        line[0].set_ylabel("nats per code, validation")
        line[0].legend(title=what, fontsize=8, loc="lower left")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    pyplot.close(figure)
    Image.open(drawn).convert("RGB").quantize(128).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokens", type=Path, nargs="?", help="token cache; without one, only what is there is shown")
    parser.add_argument("--only", nargs="*", help="names of runs")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file that keeps the runs")
    parser.add_argument("--plot", type=Path, default=PLOT, help="picture to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept: dict[str, Any] = json.loads(options.results.read_text()) if options.results.exists() else {"runs": {}}
    if options.tokens is not None:
        clips = Clips(options.tokens)
        for name, setting in settings(clips.num_codebooks).items():
            if name in kept["runs"] or (options.only and name not in options.only):
                continue
            kept["runs"][name] = train(setting, clips, name)
            kept["machine"] = describe(torch.device("cpu"))
            options.results.write_text(json.dumps(kept, separators=(",", ":")) + "\n")
    runs = kept["runs"]
    for names, reference in ((PATTERNS, "delay"), (SIZES, "delay"), (SMALL, "small")):
        if reference in runs:
            print("\n".join(table(runs, names, reference)))
    draw(runs, options.plot)
    print(json.dumps({name: run["curve"][-1] for name, run in runs.items()}))


if __name__ == "__main__":
    main()
