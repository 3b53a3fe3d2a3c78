"""Speed and memory, as ratios within one run: `python benchmarks/speed.py [PART ...]`. The last line is JSON.

Parts: `imports` (library and command line), `embedded` (10 s of music by the embedded model, in process and from the
shell), `small` (MusicGen-small's shape with random weights against transformers, 10 s with guidance, fp32), `loading`
(peak memory over the size of the weights). The limit beside a figure: weights that do not fit in the cache must be read
from memory once a step.
"""

import json
import os
import platform
import resource
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


def embedded() -> dict[str, float]:
    """10 s by the embedded model: the loaded model alone, then the whole command from the shell."""
    import torch

    import cadenza

    torch.set_num_threads(THREADS)
    start = time.perf_counter()
    music = cadenza.load()
    load_seconds = time.perf_counter() - start
    inside = median_seconds(lambda: music.generate(PROMPT, duration=10, seed=1), 3)
    command = shutil.which("cadenza", path=str(Path(PYTHON).parent)) or "cadenza"
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out.wav")
        shell = median_seconds(
            lambda: run(command, "generate", PROMPT, "-o", out, "--duration", "10", "--seed", "1"), 3
        )
    return {"load_seconds": load_seconds, "generate_seconds": inside, "real_time": 10 / inside, "shell_seconds": shell}


def read_bandwidth() -> float:
    """Bytes per second that this machine sums from memory, the limit of a step: best of five over 1 GB."""
    import torch

    block = torch.ones(256 * 2**20)
    best = min(_timed(lambda: block.sum()) for _ in range(5))
    return block.numel() * 4 / best


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def small() -> dict[str, float]:
    """The language model of MusicGen-small, 503 guided steps, ours and transformers' in turn (A B A B)."""
    import torch
    import transformers

    from cadenza.conditioning.fuser import FusedConditions
    from cadenza.lm.generate import GenerationConfig, generate_codes
    from cadenza.lm.model import LM, LMConfig

    torch.set_num_threads(THREADS)
    frames, length = 500, 12
    bandwidth = read_bandwidth()
    ours = LM(LMConfig()).eval()
    step_bytes = 4 * sum(p.numel() for part in (ours.layers, ours.heads) for p in part.parameters())
    ours.pack()  # as loading a model does
    cross, null = torch.randn(1, length, 1024), torch.zeros(1, length, 1024)
    conditions, none = FusedConditions(cross=cross), FusedConditions(cross=null)

    def generate_ours() -> None:
        settings = GenerationConfig(duration=frames / 50)
        for _ in generate_codes(ours, conditions, none, settings, frames, [1]):
            pass

    decoder = transformers.MusicgenDecoderConfig()
    config = transformers.MusicgenConfig(
        text_encoder=transformers.T5Config(
            d_model=1024, num_layers=1, num_heads=2, d_kv=8, d_ff=8, vocab_size=32
        ).to_dict(),
        audio_encoder=transformers.EncodecConfig(
            num_filters=2, upsampling_ratios=[8, 5, 4, 4], codebook_size=2048, sampling_rate=32000, hidden_size=8,
            codebook_dim=8, target_bandwidths=[2.2], num_lstm_layers=1,
        ).to_dict(),
        decoder=decoder.to_dict(),
    )  # fmt: skip
    theirs = transformers.MusicgenForConditionalGeneration(config).eval()
    theirs.generation_config.update(
        do_sample=True, top_k=250, guidance_scale=3.0, max_new_tokens=frames + 3, pad_token_id=2048, bos_token_id=2048,
        decoder_start_token_id=2048,
    )  # fmt: skip
    ids = torch.arange(2, 2 + length)[None]

    def generate_theirs() -> None:
        theirs.generate(input_ids=ids, attention_mask=torch.ones_like(ids))

    with torch.no_grad():
        pairs = [(_timed(generate_ours), _timed(generate_theirs)) for _ in range(2)]
    a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(them / us for us, them in pairs)
    limit = bandwidth / step_bytes
    return {
        "ours_steps_per_second": 503 / a,
        "transformers_steps_per_second": 503 / b,
        "ratio": ratio,
        "memory_limit_steps_per_second": limit,
        "share_of_limit": 503 / a / limit,
    }


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
    "imports": imports, "embedded": embedded, "small": small, "loading": loading,
}  # fmt: skip


def main() -> None:
    results: dict[str, Any] = {}
    print(f"{platform.processor() or platform.machine()}, {THREADS} threads, load {os.getloadavg()[0]:.1f}")
    for name in sys.argv[1:] or PARTS:
        results[name] = {key: round(value, 4) for key, value in PARTS[name]().items()}
        print(f"{name:10}", "  ".join(f"{key} {value:g}" for key, value in results[name].items()), flush=True)
    results["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
