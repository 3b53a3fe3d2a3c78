"""What a person waits for besides the music itself: `python benchmarks/speed.py [PART ...]`. The last line is JSON.

Parts: `imports` (library and command line), `shell` (10 s of music by the model inside, from the prompt to the written
file), `loading` (peak memory over the size of the weights). The music itself: `decode.py` and `serving.py`.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = os.cpu_count() or 1
PROMPT = "warm lo-fi beat with electric piano, 82 bpm"
PYTHON = sys.executable


def median_seconds(action: Callable[[], object], runs: int) -> float:
    """Median wall time over `runs` calls, after one that is not counted."""
    action()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def imports() -> dict[str, float]:
    """Median of ten whole processes, less an empty interpreter for the import."""
    empty = median_seconds(lambda: run(PYTHON, "-c", "pass"), 10)
    package = median_seconds(lambda: run(PYTHON, "-c", "import cadenza"), 10)
    command = shutil.which("cadenza", path=str(Path(PYTHON).parent)) or "cadenza"
    answer = median_seconds(lambda: run(command, "--help"), 5)
    return {"import_ms": 1000 * (package - empty), "help_seconds": answer}


def shell() -> dict[str, float]:
    """10 s by the model inside: the whole command."""
    command = shutil.which("cadenza", path=str(Path(PYTHON).parent)) or "cadenza"
    with tempfile.TemporaryDirectory() as folder:
        options = ("-o", str(Path(folder) / "out.wav"), "--duration", "10", "--seed", "1")
        return {"seconds": median_seconds(lambda: run(command, "generate", PROMPT, *options), 3)}


def loading() -> dict[str, float]:
    """Peak resident memory that loading adds, over the bytes of the weights, for a 400 MB language model."""
    code = (
        "import sys, torch; from cadenza.lm.model import LM;"
        # Not getrusage: its peak is inherited from the process that started this one.
        "status = lambda: open('/proc/self/status').read();"
        "peak = lambda: int(status().split('VmHWM:')[1].split()[0]) * 1024;"
        "before = peak(); lm = LM.from_pretrained(sys.argv[1]);"
        "total = sum(float(p.sum()) for p in lm.parameters());"  # touch every page: the file is mapped, not read
        "print(peak() - before, sum(p.numel() * p.element_size() for p in lm.parameters()))"
    )
    from cadenza.lm.model import LM, LMConfig

    with tempfile.TemporaryDirectory() as folder:
        LM(LMConfig(num_layers=6)).save_pretrained(folder)
        out = subprocess.run([PYTHON, "-c", code, folder], check=True, capture_output=True, text=True).stdout
    added, size = map(float, out.split())
    return {"weights_mb": size / 1e6, "peak_over_weights": added / size}


PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "imports": imports,
    "shell": shell,
    "loading": loading,
}


def main() -> None:
    results: dict[str, Any] = {}
    print(f"{platform.processor() or platform.machine()}, {THREADS} threads, load {os.getloadavg()[0]:.1f}")
    for name in sys.argv[1:] or PARTS:
        results[name] = {key: round(value, 4) for key, value in PARTS[name]().items()}
        print(f"{name:10}", "  ".join(f"{key} {value:g}" for key, value in results[name].items()), flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
