"""What a person waits for besides the music itself: `python benchmarks/speed.py [PART ...]`. The last line is JSON.

Parts: `imports` (library and command line), `shell` (10 s of music by the model inside, from the prompt to the written
file), `loading` (peak memory over the size of the weights), `melody` (what following a tune costs, to the model inside
and to MusicGen-small's shape with the melody in front, random weights). The music itself: `decode.py` and `serving.py`.
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


def melody() -> dict[str, float]:
    """A chromagram of 30 s; requests of 8 s with and without a tune, in turn: medians of the ratios."""
    import numpy as np

    import cadenza
    from cadenza.conditioning.chroma import ChromaConditioner, ChromaConfig

    time_axis = np.arange(30 * 44100) / 44100
    notes = 220 * 2 ** ((np.arange(60) * 7 % 12) / 12)
    tune = 0.3 * np.sin(2 * np.pi * np.repeat(notes, 22050) * time_axis)
    audio = cadenza.Audio(np.stack([tune, tune]).astype(np.float32), 44100)
    part = ChromaConditioner(ChromaConfig(stems="none"), 1)
    own = ChromaConditioner(ChromaConfig(stems="none", tuning="recording"), 1)
    results = {
        "chroma_of_30_s_seconds": median_seconds(lambda: part.prepare([audio]), 5),
        "in_its_own_tuning_seconds": median_seconds(lambda: own.prepare([audio]), 5),
    }
    for name, music in (("inside", cadenza.load()), ("small_shape", small_with_melody())):
        ratios = []
        for seed in range(5):
            # Another recording every time, or its features would be remembered.
            other = cadenza.Audio(np.roll(audio.samples, 997 * seed, axis=1), 44100)
            times = []
            for heard in (None, other):
                start = time.perf_counter()
                music.generate(PROMPT, duration=8, seed=seed, melody=heard)
                times.append(time.perf_counter() - start)
            ratios.append(times[1] / times[0])
        results[f"{name}_melody_over_text"] = statistics.median(ratios)
    return results


def small_with_melody() -> Any:
    """MusicGen-small's language model, as wide and deep, that hears text and melody in front; a tiny codec."""
    from cadenza.conditioning.chroma import ChromaConfig
    from cadenza.conditioning.fuser import FuserConfig
    from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
    from cadenza.conditioning.text import TextConfig
    from cadenza.lm.model import LM, LMConfig
    from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig
    from cadenza.testing import CODEBOOK_SIZE, TEXT_DIM, tiny_codec, tiny_text_encoder

    lm = LM(LMConfig(codebook_size=CODEBOOK_SIZE, cross_attention=False))
    lm.initialize()
    provider = ConditionProvider(
        ConditioningConfig(
            conditioners={"description": TextConfig(dim=TEXT_DIM), "melody": ChromaConfig(stems="none")},
            fuser=FuserConfig(prepend=("melody", "description")),
        )
    )
    provider.attach_text_encoder(tiny_text_encoder())
    music = MusicGen(tiny_codec(), lm, provider, MusicGenConfig(melody_condition="melody"))
    music.pack()
    return music


PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "imports": imports,
    "shell": shell,
    "loading": loading,
    "melody": melody,
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
