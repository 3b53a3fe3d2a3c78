"""What a diffusion decoder makes of held-out music beside the codec's own decoder. Ends in JSON.

    python benchmarks/diffusion_quality.py runs/embedded_diffusion/snapshots/best/model --clips HELDOUT
        [--beside deaf=runs/embedded_diffusion_deaf/snapshots/best/model] [--calls 4,8,20] [--count 24] [--seconds 5]
        [--solvers ancestral,ddim,dpm] [--device cpu] [--picture quality.png] [--keep FOLDER]

Every clip is coded once; the same codes go to the codec's decoder and to the diffusion, at each number of network calls
by each solver. Mel distance and relative volume of the mel error (`evaluate.fidelity`, `evaluate.rvm`), their means and
paired differences from the codec's own decode with intervals over pieces. A decoder that a change of level alone would
beat has learnt nothing, so the codec's decode is judged at the best of a few gains as well. `--beside` adds decoders
(ablations), decoded by the last solver at the most calls. Fewer calls are compared with the first solver's most, clip
by clip, and so is their time (of this process, on a CPU). The picture is the curve of quality against calls.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cadenza.audio import Audio
from cadenza.data.manifest import Entry, read_manifest
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.sampler import SOLVERS
from cadenza.errors import UserError
from cadenza.evaluate.fidelity import mel_distance
from cadenza.evaluate.intervals import cluster_interval
from cadenza.evaluate.rvm import relative_volume

CODEC = "codec"
GAINS = (1.05, 1.1, 1.15, 1.2)
FIGURES = ("mel_distance", "rvm_db")

Decode = Callable[[Tensor, int], Tensor]
"""Codes `[1, K, T]` and a seed to audio `[1, C, N]`."""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    decoder = DiffusionDecoder.from_pretrained(options.decoder, options.device)
    clips = choose(read_manifest(options.clips), options.count, options.seconds)
    sides = sides_of(decoder, options)
    values: dict[str, dict[str, list[float]]] = {name: {figure: [] for figure in FIGURES} for name in sides}
    spent = dict.fromkeys(sides, 0.0)
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    with torch.inference_mode():
        for number, clip in enumerate(clips):
            original = torch.from_numpy(read(clip, options.seconds, decoder.sample_rate).samples)
            codes = decoder.codec.encode(original[None].to(decoder.device)).codes
            for name, decode in sides.items():
                start = clock()
                made = decode(codes, number)[0, :, : original.shape[1]].cpu()
                spent[name] += clock() - start
                values[name]["mel_distance"].append(mel_distance(made, original, decoder.sample_rate))
                values[name]["rvm_db"].append(relative_volume(made, original, decoder.sample_rate).mean)
                if options.keep is not None:
                    place = options.keep / name.replace(" ", "-") / f"{clip.id}.flac"
                    place.parent.mkdir(parents=True, exist_ok=True)
                    Audio(made.numpy(), decoder.sample_rate).write(place)
            sys.stderr.write(f"clip {number + 1} of {len(clips)}\n")
    record = report(values, spent, clips, options)
    for name, side in record["sides"].items():
        figures = "  ".join(f"{figure} {side[figure]['mean']:.4f}" for figure in FIGURES)
        sys.stdout.write(f"{name:28} {figures}  {side['real_time']:.1f} x real time\n")
    if options.picture is not None:
        draw(record, options.solvers, options.calls, options.picture)
    sys.stdout.write(json.dumps(record) + "\n")
    return record


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("decoder", type=Path)
    parser.add_argument("--clips", type=Path, required=True, help="folder with a manifest, of music never trained on")
    parser.add_argument("--beside", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--calls", type=lambda text: [int(one) for one in text.split(",")], default=[4, 8, 20])
    parser.add_argument("--solvers", type=lambda text: text.split(","), default=list(SOLVERS))
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--keep", type=Path, help="write what was made here, to listen to")
    return parser.parse_args(arguments)


def choose(entries: Sequence[Entry], count: int, seconds: float) -> list[Entry]:
    """Evenly from all that are long enough."""
    long = [entry for entry in entries if entry.duration >= seconds]
    if not long or count < 1:
        raise UserError(f"{count} clips of {seconds} s of {len(entries)}: none is left, ask for shorter ones")
    picked = np.linspace(0, len(long), min(count, len(long)), endpoint=False).astype(int)
    return [long[i] for i in picked]


def read(clip: Entry, seconds: float, sample_rate: int) -> Audio:
    """The middle of a recording, one channel."""
    audio = Audio.read(clip.path).with_channels(1).resample(sample_rate)
    size = min(audio.num_samples, round(seconds * sample_rate))
    start = (audio.num_samples - size) // 2
    return Audio(np.ascontiguousarray(audio.samples[:, start : start + size]), sample_rate)


def sides_of(decoder: DiffusionDecoder, options: argparse.Namespace) -> dict[str, Decode]:
    """Everything that decodes, by name; `codec` is the first."""
    sides: dict[str, Decode] = {CODEC: lambda codes, seed: decoder.codec.decode(codes)}
    for gain in GAINS:
        sides[f"{CODEC} x {gain}"] = lambda codes, seed, gain=gain: gain * decoder.codec.decode(codes)
    for solver in options.solvers:
        for calls in options.calls:
            sides[f"{solver} {calls}"] = diffusion(decoder, calls, solver)
    if options.solvers and options.calls:
        sides[f"{options.solvers[-1]} {max(options.calls)} unmatched"] = diffusion(
            decoder, max(options.calls), options.solvers[-1], match=False
        )
    for text in options.beside:
        name, equals, place = text.partition("=")
        if not equals:
            raise UserError(f"--beside {text}: give a name and a directory, as in deaf=runs/deaf/snapshots/best/model")
        other = DiffusionDecoder.from_pretrained(place, options.device)
        sides[name] = diffusion(other, max(options.calls), options.solvers[-1])
    return sides


def diffusion(decoder: DiffusionDecoder, calls: int, solver: Any, match: bool = True) -> Decode:
    return lambda codes, seed: decoder.decode(codes, seed=seed, calls=calls, solver=solver, match=match)


def report(
    values: dict[str, dict[str, list[float]]],
    spent: dict[str, float],
    clips: Sequence[Entry],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Means, differences from the codec's decode and its best gain, and whether the diffusion beats both."""
    pieces = [str(clip.tags.get("seed", clip.id)) for clip in clips]
    slowest = f"{options.solvers[0]} {max(options.calls)}" if options.solvers and options.calls else ""
    sides: dict[str, Any] = {}
    for name, figures in values.items():
        sides[name] = {figure: cluster_interval(found, pieces).record() for figure, found in figures.items()}
        for figure, found in figures.items():
            apart = [a - b for a, b in zip(found, values[CODEC][figure], strict=True)]
            sides[name][f"{figure}_beside_codec"] = cluster_interval(apart, pieces).record()
            if slowest in values:
                apart = [a - b for a, b in zip(found, values[slowest][figure], strict=True)]
                sides[name][f"{figure}_beside_slowest"] = cluster_interval(apart, pieces).record()
        if slowest in values:
            sides[name]["times_as_fast_as_slowest"] = spent[slowest] / max(spent[name], 1e-9)
        sides[name]["real_time"] = len(clips) * options.seconds / max(spent[name], 1e-9)

    def distance(name: str) -> float:
        return float(sides[name]["mel_distance"]["mean"])

    codec_names = [CODEC, *(f"{CODEC} x {gain}" for gain in GAINS)]
    own = [f"{solver} {calls}" for solver in options.solvers for calls in options.calls]
    best = min(own, key=distance) if own else CODEC
    high = sides[best]["mel_distance_beside_codec"]["high"]
    return {
        "benchmark": "diffusion_quality",
        "clips": len(clips),
        "pieces": len(set(pieces)),
        "seconds": options.seconds,
        "sides": sides,
        "slowest": slowest,
        "best": best,
        "beats_codec": high is not None and high < 0,
        "beats_codec_at_its_best_gain": distance(best) < min(distance(name) for name in codec_names),
    }


def draw(record: dict[str, Any], solvers: Sequence[str], calls: Sequence[int], path: Path) -> None:
    """Both figures against network calls, a line per solver, the codec's own decoder as a level."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained", dpi=100)
    for place, name in enumerate(FIGURES, start=1):
        axes = figure.add_subplot(1, len(FIGURES), place)
        for solver in solvers:
            axes.plot(calls, [record["sides"][f"{solver} {n}"][name]["mean"] for n in calls], marker="o", label=solver)
        axes.axhline(record["sides"][CODEC][name]["mean"], color="black", linestyle="--", label="codec's own decoder")
        axes.set_xlabel("network calls a band")
        axes.set_title(f"{name.replace('_', ' ')} (lower is better)", fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path)


if __name__ == "__main__":
    main()
