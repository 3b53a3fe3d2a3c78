"""How well generation holds up beside other busy programs. The last line is JSON.

    python benchmarks/load.py [--shape small] [--precision int4] [--duration 5] [--rounds 3]

Steps per second of the language model within the public `generate`, guided, on a quiet machine and beside neighbours: a
busy loop (`busy`), a second torch process with as many threads as it likes (`torch`), and a busy loop that comes and
goes every two seconds (`flickering`). Four ways, in turns: as shipped (`governed`), with one thread per core whatever
happens (`fixed`), and both without the bound on how long waiting threads spin (`unbounded`). Medians of the rounds.
`kept_beside_busy`: the governed speed beside the busy loop, as a share of the governed speed on the quiet machine.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import describe, load_average, median, rounded
from shapes import FOLDER, NAMES, use_folder

LIBRARY_SPINS = "300000"
"""Turns that a waiting thread of GCC's OpenMP makes where nobody sets a bound."""

NEIGHBOURS = {
    "quiet": None,
    "busy": "print(flush=True)\nwhile True: pass",
    "torch": "import torch; a = torch.randn(512, 512); a @ a; print(flush=True)\nwhile True: a @ a",
    "flickering": """import time
print(flush=True)
while True:
    end = time.monotonic() + 2
    while time.monotonic() < end: pass
    time.sleep(2)
""",
}
"""What runs beside us: a program of its own, which prints a line when it begins."""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    use_folder(options.models)
    if options.child:
        serve(options)
        return {}
    import torch

    cpu = torch.device("cpu")
    record: dict[str, Any] = {
        "benchmark": "load",
        "shape": options.shape,
        "precision": options.precision,
        "duration": options.duration,
        "rounds": options.rounds,
        "machine": describe(cpu),
    }
    record["steps_per_second"] = figures = measure(options)
    record["machine"]["load_at_end"] = rounded(load_average())
    governed = figures["governed"]
    for name in NEIGHBOURS:
        if name != "quiet":
            record[f"kept_beside_{name}"] = rounded(governed[name] / governed["quiet"])
    print("\n" + table(figures) + "\n")
    print(json.dumps(record))
    return record


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=NAMES, default="small")
    parser.add_argument("--precision", default="int4")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of audio in each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=Path, default=FOLDER, help="where the random models are kept")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


# ---- the four ways, in two processes --------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Way -> neighbour -> steps per second. The bound on spinning is read when torch is loaded: a process each."""
    with worker(options, {}) as bounded, worker(options, {"GOMP_SPINCOUNT": LIBRARY_SPINS}) as unbounded:
        ways = {
            "governed": (bounded, "governed"),
            "fixed": (bounded, "fixed"),
            "governed, unbounded": (unbounded, "governed"),
            "fixed, unbounded": (unbounded, "fixed"),
        }
        seen: dict[str, dict[str, list[float]]] = {way: {name: [] for name in NEIGHBOURS} for way in ways}
        for number in range(1, options.rounds + 1):
            for name, program in NEIGHBOURS.items():
                with neighbour(program):
                    for way, (process, mode) in ways.items():
                        speed = ask(process, mode)
                        seen[way][name].append(speed)
                        print(f"round {number}: {name}, {way}: {speed:.1f} steps/s", file=sys.stderr)
    return {way: {name: rounded(median(speeds)) for name, speeds in row.items()} for way, row in seen.items()}


@contextmanager
def neighbour(program: str | None) -> Iterator[None]:
    """Another program beside us, for a while."""
    if program is None:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=free_environment())
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        end(process)


@contextmanager
def worker(options: argparse.Namespace, extra: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A process with a loaded model, which measures on request."""
    command = [sys.executable, __file__, "--child", "--shape", options.shape, "--precision", options.precision]
    command += ["--duration", str(options.duration), "--models", str(options.models)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=free_environment() | extra
    )
    try:
        ask(process, "governed")  # not counted: the first call is slower
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[Any]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def free_environment() -> dict[str, str]:
    """Without anyone's word on threads."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}


def ask(process: "subprocess.Popen[str]", mode: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    print(mode, file=process.stdin, flush=True)
    return float(process.stdout.readline())


def serve(options: argparse.Namespace) -> None:
    """For each line of input, one piece of music; its speed is the answer."""
    import torch

    from cadenza.engine.cores import usable_cores
    from cadenza.engine.threads import decide_threads
    from sides import Ours

    side = Ours(options.shape, options.precision, torch.device("cpu"), options.models)
    all_cores = usable_cores()
    for line in sys.stdin:
        torch.set_num_threads(all_cores)
        decide_threads(all_cores if line.strip() == "fixed" else None)
        print(side.generate(options.duration).steps_per_second, flush=True)


def table(figures: dict[str, dict[str, float]]) -> str:
    lines = ["| steps/s | " + " | ".join(NEIGHBOURS) + " |", "|---|" + "---|" * len(NEIGHBOURS)]
    lines += [
        f"| {way} | " + " | ".join(f"{row[name]:.3g}" for name in NEIGHBOURS) + " |" for way, row in figures.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
