"""The whole set of speed benchmarks, piece by piece: `python benchmarks/sweep.py [--device cuda]`.

In: pieces, each one call of another benchmark that ends within ten minutes. Out: `decode_<machine>_<yyyymm>.md` and
`serving_...md`: a table, and below it the records as JSON. A file is written anew after every piece; with `--resume`,
pieces whose record is in it already are left out, so an interrupted set goes on where it stopped.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from machine import device_name, slug
from tables import decode_table, serving_table

HERE = Path(__file__).parent


class Piece(NamedTuple):
    """One call: `minutes` is what it may need, with the making of its model."""

    script: str
    minutes: float
    arguments: str

    @property
    def name(self) -> str:
        return f"{self.script} {self.arguments}"


ON_CPU = (
    Piece("decode", 3, "--shape embedded --precision fp32,bf16,int8,int4"),
    Piece("decode", 10, "--shape small --precision int4,int8,bf16,fp32 --runs 2"),
    Piece("decode", 3, "--shape small --precision int4 --duration 30 --runs 2 --transformers-duration 3"),
    Piece("decode", 5, "--shape medium --precision int4 --duration 5 --runs 2"),
    Piece("decode", 7, "--shape large --precision int4 --duration 5 --runs 2"),
    Piece("serving", 5, "--shape embedded"),
)
_SIZES = (("small", 5), ("medium", 7), ("large", 8))
ON_GPU = (  # what matters most comes first
    *(Piece("decode", minutes, f"--device cuda --shape {shape} --precision bf16") for shape, minutes in _SIZES),
    *(Piece("serving", minutes, f"--device cuda --shape {shape} --duration 10") for shape, minutes in _SIZES),
    *(
        Piece("decode", minutes, f"--device cuda --shape {shape} --precision int8,int4 --no-transformers")
        for shape, minutes in _SIZES
    ),
    *(
        Piece("decode", minutes, f"--device cuda --shape {shape} --precision bf16 --duration 30 --no-transformers")
        for shape, minutes in _SIZES
    ),
    Piece("decode", 4, "--device cuda --shape embedded --precision fp32,bf16"),
    Piece("serving", 4, "--device cuda --shape embedded --precision bf16 --duration 10"),
)
TINY = (  # to try this script
    Piece("decode", 1, "--shape tiny --precision int4,fp32 --duration 1 --runs 1"),
    Piece("serving", 1, "--shape tiny --concurrency 1,2 --duration 0.4"),
)

NOTES = {
    "decode": (
        "Guided (scale 3, top-k 250), random weights except for the model inside, end to end with text encoder and "
        "codec, through the public `generate` and `stream`; both sides in turn, medians. The memory's limit is the "
        "bandwidth measured in the same run (a sum over 1 GB, on a GPU 8, best of ten) over the bytes a step must read "
        "(weights with their scales, mean keys and values); a model that fits in the processor's cache may pass it. "
        "First audio: from the call of `stream` to its first chunk. Peak: a fresh process that loads and generates. "
        "Weights: what must be held. Beside `embedded`, transformers decodes with EnCodec: it has no spectral codec."
    ),
    "serving": (
        "Guided, texts of four lengths, one listener a request. At once: as many requests as slots. By chance: Poisson "
        "arrivals at 0.8 of the throughput at once. Times from a request's arrival. The memory's limit counts weights "
        "once a step and every song's keys and values. Overhead: the scheduler's own time in its step."
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--results", type=Path, default=HERE.parent / "runs" / "bench", help="where the files go")
    parser.add_argument("--resume", action="store_true", help="leave out what is in the files already")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no piece that may last beyond this")
    parser.add_argument("--threads", type=int, help="processor threads for every piece")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to try the set itself")
    parser.add_argument("--list", action="store_true", help="name the pieces and stop")
    options = parser.parse_args(arguments)
    pieces = TINY if options.tiny else ON_GPU if options.device == "cuda" else ON_CPU
    if options.list:
        print("\n".join(f"{piece.minutes:3g} min  {piece.name}" for piece in pieces))
        return
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device that torch can use: leave out --device")
    results = Results(options.results, torch.device(options.device), options.resume)
    end = time.monotonic() + 60 * options.minutes
    failed = 0
    for piece in pieces:
        if results.has(piece) or time.monotonic() + 60 * piece.minutes > end:
            continue
        print(f"== {piece.name}", flush=True)
        # Twice as slow as expected is wrong, not slow: it must not keep the others waiting.
        record = run(piece, options.threads, min(end - time.monotonic(), 120 * piece.minutes))
        if record is None:
            failed += 1
        else:
            results.add(piece, record)
    left = [piece for piece in pieces if not results.has(piece)]
    print(json.dumps({"pieces": len(pieces), "left": [piece.name for piece in left], "failed": failed}))
    if failed:
        sys.exit(1)


def run(piece: Piece, threads: int | None, seconds: float) -> dict[str, Any] | None:
    """The record of a piece; None, with its reason printed, where it failed: the others still run."""
    command = [sys.executable, str(HERE / f"{piece.script}.py"), *piece.arguments.split()]
    if threads:
        command += ["--threads", str(threads)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        print(f"{piece.name}: stopped after {seconds:.0f} s", flush=True)
        return None
    print(done.stdout, flush=True)
    if done.returncode:
        print(f"{piece.name}: failed with {done.returncode}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])


class Results:
    """The files of one machine and month."""

    def __init__(self, directory: Path, device: torch.device, resume: bool) -> None:
        self.directory = directory
        self.device = device
        self.suffix = f"{slug(device)}_{time.strftime('%Y%m')}.md"
        self.records: dict[str, list[dict[str, Any]]] = {"decode": [], "serving": []}
        for script, records in self.records.items():
            path = self.path(script)
            if resume and path.is_file():
                lines = path.read_text(encoding="utf-8").splitlines()
                records += [json.loads(line) for line in lines if line.startswith('{"piece"')]

    def path(self, script: str) -> Path:
        return self.directory / f"{script}_{self.suffix}"

    def has(self, piece: Piece) -> bool:
        return any(record["piece"] == piece.name for record in self.records[piece.script])

    def add(self, piece: Piece, record: dict[str, Any]) -> None:
        self.records[piece.script].append({"piece": piece.name, **record})
        self.directory.mkdir(parents=True, exist_ok=True)
        self.path(piece.script).write_text(self.page(piece.script), encoding="utf-8")

    def page(self, script: str) -> str:
        records = self.records[script]
        machine = records[-1]["machine"]
        facts = (f"{key} {machine[key]}" for key in ("threads", "python", "torch", "transformers", "cadenza", "commit")
                 if key in machine)  # fmt: skip
        speeds = sorted(record["bandwidth_gb_per_second"] for record in records)
        loads = sorted(record["machine"]["load"] for record in records)
        table = {"decode": decode_table, "serving": serving_table}[script](records)
        return "\n".join(
            [
                f"# {script.capitalize()}, {device_name(self.device)}, {machine['date'][:7]}",
                "",
                f"{', '.join(facts)}; {machine['date']}; memory {speeds[0]:g} to {speeds[-1]:g} GB/s; load before each "
                f"piece {loads[0]:g} to {loads[-1]:g}. `python benchmarks/sweep.py --device {self.device.type}`",
                "",
                NOTES[script],
                "",
                table,
                "",
                "Each row's command is the `piece` of its record:",
                "",
                "```text",
                *(json.dumps(record) for record in records),
                "```",
                "",
            ]
        )


if __name__ == "__main__":
    main()
