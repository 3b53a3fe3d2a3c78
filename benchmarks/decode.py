"""One piece of music: ours, `transformers` and the memory's limit side by side in one run. The last line is JSON.

    python benchmarks/decode.py [--shape small] [--precision int4] [--duration 10] [--device cpu]

Guided (scale 3, top-k 250), end to end: words, text encoder (T5-base's shape), language model, codec (EnCodec 32 kHz),
random weights. All of ours goes through the public `cadenza.load`, `generate` and `stream`. The sides take turns
(A B A B); figures are medians, ratios are medians of the rounds' ratios. Several precisions (`int4,int8`) share one
run. Shapes: small, medium, large, tiny (to try this script), and `embedded`, the model inside; its spectral codec is
not to be had in `transformers`, which decodes with EnCodec there.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cadenza.engine.threads import decide_threads
from cadenza.pipelines.placement import PRECISIONS
from machine import describe, device_peak_bytes, host_peak_bytes, load_average, median, read_bandwidth, rounded
from roofline import step_bytes, weight_bytes
from shapes import FOLDER, NAMES, model_directory, prompt_tokens, shape_of, use_folder
from sides import Ours, Split, Theirs, num_frames, num_steps
from tables import decode_table

THEIR_SECONDS = {"medium": 2.0, "large": 1.0}
"""Audio that `transformers` makes on a CPU where ten seconds would take minutes; scaled per step."""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    use_folder(options.models)
    decide_threads(options.threads)
    if options.peak:
        record = peak(options)
    else:
        record = Run(options).measure()
        print("\n" + decode_table([record]) + "\n")
    print(json.dumps(record))
    return record


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=NAMES, default="small")
    parser.add_argument("--precision", default="int4", help=f"of {', '.join(PRECISIONS)}; several with commas")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of audio")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, help="processor threads; by default torch's and the engine's own choice")
    parser.add_argument("--runs", type=int, default=3, help="rounds; the medians are reported")
    parser.add_argument("--no-transformers", action="store_true", help="ours alone (large shapes, small machines)")
    parser.add_argument("--transformers-duration", type=float, help="seconds of audio on their side, scaled per step")
    parser.add_argument("--models", type=Path, default=FOLDER, help="where the random models are kept")
    parser.add_argument("--peak", action="store_true", help="load, generate once and report the peak memory only")
    options = parser.parse_args(arguments)
    options.precisions = options.precision.split(",")
    for precision in options.precisions:
        if precision not in PRECISIONS:
            parser.error(f"unknown precision {precision!r}: use {', '.join(PRECISIONS)}")
    if options.duration < 0.2 or options.runs < 1:
        parser.error("--duration of at least 0.2 s and --runs of at least 1, please")
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device that torch can use: leave out --device")
    options.place = torch.device(options.device)
    return options


# ---- memory, in processes of its own ---------------------------------------------------------------------------------


def peak(options: argparse.Namespace) -> dict[str, Any]:
    """Load and generate, nothing else, and say how much memory that took at most until then."""
    model_directory(options.shape, options.models)
    imported, start = host_peak_bytes(), time.perf_counter()
    side = Ours(options.shape, options.precisions[0], options.place, options.models)
    seconds, loaded = time.perf_counter() - start, host_peak_bytes()
    side.generate(options.duration, waits=False)
    on_device = device_peak_bytes(options.place)
    return {
        "load_seconds": rounded(seconds),
        "imported_mb": rounded(imported / 1e6),
        "loaded_mb": rounded(loaded / 1e6),
        "peak_mb": rounded(host_peak_bytes() / 1e6),
        "device_peak_mb": None if on_device is None else rounded(on_device / 1e6),
    }


def peak_of_child(options: argparse.Namespace, precision: str) -> dict[str, Any]:
    """`peak` in a fresh process; a first one makes quantised weights, which are kept from then on."""
    command = [sys.executable, __file__, "--peak", "--shape", options.shape, "--precision", precision]
    command += ["--device", options.device, "--models", str(options.models)]
    if options.threads:
        command += ["--threads", str(options.threads)]
    if precision.startswith("int"):
        subprocess.run([*command, "--duration", "0.2"], check=True, stdout=subprocess.PIPE)
    done = subprocess.run(
        [*command, "--duration", str(options.duration)], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


# ---- time, in turns --------------------------------------------------------------------------------------------------


class Run:
    """One shape, one duration: both sides loaded, warmed up and timed in turn."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device: torch.device = options.place
        self.on_cpu = self.device.type == "cpu"
        self.facts = describe(self.device)
        self.threads = torch.get_num_threads()
        say(f"{options.shape}, {options.precision}, {options.duration:g} s on {self.facts['device']}")
        model_directory(options.shape, options.models)  # made here: a child's peak is that of loading
        self.peaks = {precision: peak_of_child(options, precision) for precision in options.precisions}
        self.bandwidth = read_bandwidth(self.device)
        self.ours = {kind: Ours(options.shape, kind, self.device, options.models) for kind in options.precisions}
        kinds = [] if options.no_transformers else ["fp32"] if self.on_cpu else ["fp32", "bf16"]
        self.theirs = {kind: Theirs(options.shape, kind, self.device) for kind in kinds}

        music = next(iter(self.ours.values())).music
        self.lm = shape_of(options.shape).lm
        self.frames, self.steps = num_frames(music, options.duration), num_steps(music, options.duration)
        self.their_frames = num_frames(music, self._their_duration())
        self.frame_rate: float = music.codec.frame_rate
        window = int(music.config.max_duration_seconds * self.frame_rate) + self.lm.num_codebooks - 1
        self.context = min(self.steps, window)
        self.splits: dict[str, list[Split]] = {kind: [] for kind in self.ours}
        self.totals: dict[str, list[float]] = {kind: [] for kind in self.ours}
        self.firsts: dict[str, list[float]] = {kind: [] for kind in self.ours}
        self.their_splits: dict[str, list[Split]] = {kind: [] for kind in self.theirs}

    def _their_duration(self) -> float:
        if self.options.transformers_duration:
            return min(self.options.transformers_duration, self.options.duration)
        limit = THEIR_SECONDS.get(self.options.shape, 10.0) if self.on_cpu else 10.0
        return min(limit, self.options.duration)

    def measure(self) -> dict[str, Any]:
        self._warm_up()
        for number in range(1, self.options.runs + 1):
            for kind in self.ours:
                torch.set_num_threads(self.threads)  # ours may leave another count
                self._round_of_ours(kind, number)
            for kind, side in self.theirs.items():
                torch.set_num_threads(self.threads)
                split = side.generate(self.their_frames).scaled(self.steps, self.frames / self.their_frames)
                self.their_splits[kind].append(split)
                say(f"round {number}: transformers {kind} {split.total:.2f} s, {split.steps_per_second:.1f} steps/s")
        torch.set_num_threads(self.threads)
        self.bandwidth = max(self.bandwidth, read_bandwidth(self.device))
        return self._record()

    def _warm_up(self) -> None:
        """Not counted: first calls choose kernels, and on a GPU they capture a graph for each length."""
        for side in self.ours.values():
            # Waiting for the device would break a capture in progress.
            side.generate(min(self.options.duration, 1.0) if self.on_cpu else self.options.duration, waits=False)
            side.first_audio(self.options.duration)
        for other in self.theirs.values():
            other.generate(10)

    def _round_of_ours(self, kind: str, number: int) -> None:
        side, duration = self.ours[kind], self.options.duration
        split = side.generate(duration)
        # Waiting for each part costs a GPU its overlaps, so there the whole is timed apart.
        total = split.total if self.on_cpu else side.generate(duration, waits=False).total
        self.splits[kind].append(split)
        self.totals[kind].append(total)
        self.firsts[kind].append(side.first_audio(duration))
        say(f"round {number}: {kind} {total:.2f} s, {split.steps_per_second:.1f} steps/s")

    # ---- the record ----------------------------------------------------------------------------------------------

    def _record(self) -> dict[str, Any]:
        ours = {kind: self._figures_of_ours(kind) for kind in self.ours}
        theirs = {}
        for kind, splits in self.their_splits.items():
            theirs[kind] = self._figures(kind, splits, [split.total for split in splits])
            theirs[kind]["seconds_of_audio_measured"] = rounded(self.their_frames / self.frame_rate)
        first = ours[self.options.precisions[0]]
        return {
            "benchmark": "decode",
            "shape": self.options.shape,
            "duration": self.options.duration,
            "runs": self.options.runs,
            "machine": {**self.facts, "load_at_end": rounded(load_average())},
            "bandwidth_gb_per_second": rounded(self.bandwidth / 1e9),
            "ours": ours,
            "transformers": theirs,
            "share_of_limit": first["share_of_limit"],
            "ratio_to_transformers_fp32": first["ratios"].get("fp32"),
        }

    def _figures_of_ours(self, kind: str) -> dict[str, Any]:
        totals, splits = self.totals[kind], self.splits[kind]
        ratios, lm_ratios = {}, {}
        for theirs, their_splits in self.their_splits.items():
            ratios[theirs] = rounded(median([b.total / a for a, b in zip(totals, their_splits, strict=True)]))
            lm_ratios[theirs] = rounded(median([b.lm / a.lm for a, b in zip(splits, their_splits, strict=True)]))
        return {
            **self._figures(kind, splits, totals),
            "first_audio_seconds": rounded(median(self.firsts[kind])),
            **self.peaks[kind],
            "weights_mb": rounded(weight_bytes(self.ours[kind].music, kind) / 1e6),
            "ratios": ratios,
            "lm_ratios": lm_ratios,
        }

    def _figures(self, kind: str, splits: Sequence[Split], totals: Sequence[float]) -> dict[str, Any]:
        read = step_bytes(self.lm, kind, self.context, len(prompt_tokens()))
        limit = self.bandwidth / read.total
        speed, total = median([split.steps_per_second for split in splits]), median(totals)
        return {
            "steps_per_second": rounded(speed),
            "limit_steps_per_second": rounded(limit),
            "share_of_limit": rounded(speed / limit),
            "step_mb": rounded(read.total / 1e6),
            "seconds": rounded(total),
            "real_time": rounded(self.options.duration / total),
            "text_seconds": rounded(median([split.text for split in splits])),
            "lm_seconds": rounded(median([split.lm for split in splits])),
            "codec_seconds": rounded(median([split.codec for split in splits])),
        }


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
