"""Lightness is a test: what an import may load, and how long it may take, in fresh processes."""

import subprocess
import sys

import pytest

# Loaded on first use, inside the function that needs them; blocked here.
HEAVY = [
    "demucs", "fastapi", "librosa", "matplotlib", "peft", "pyloudnorm", "ray", "scipy", "soundfile", "soxr", "sqlmodel",
    "tensorboard", "torch.utils.tensorboard", "transformers", "uvicorn", "webdataset",
]  # fmt: skip
INFERENCE = ["audio", "checkpoint", "nn", "engine", "codec", "conditioning", "lm", "pipelines", "convert", "loading"]


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_import_cadenza_loads_nothing_else():
    code = "import sys; before = set(sys.modules); import cadenza; print(*sorted(set(sys.modules) - before))"
    loaded = fresh(code).split()
    ours = [name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names]
    assert ours == ["cadenza", "cadenza.errors"]


def test_import_cadenza_takes_no_time():
    """Under 50 ms; the best of five, since the machine may be busy."""
    code = "import time; t = time.perf_counter(); import cadenza; print(time.perf_counter() - t)"
    assert min(float(fresh(code)) for _ in range(5)) < 0.05


@pytest.mark.parametrize("room", INFERENCE)
def test_inference_is_light(room):
    """Every module of the room imports without the packages that belong to single functions."""
    code = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None  # makes its import fail
import importlib, pkgutil
room = importlib.import_module("cadenza.{room}")
for module in pkgutil.walk_packages(getattr(room, "__path__", []), "cadenza.{room}."):
    importlib.import_module(module.name)
"""
    fresh(code)


def test_the_first_sound_needs_no_compiler(tmp_path):
    """Loading and generating must not import torch's compiler or SymPy: one careless line costs a second per start."""
    fresh(f"""
import sys
from cadenza.testing import tiny_musicgen
tiny_musicgen().save_pretrained({str(tmp_path / "model")!r})
""")
    loaded = fresh(f"""
import sys
import cadenza
cadenza.load({str(tmp_path / "model")!r}, "cpu").generate("x", 0.2, 1).write({str(tmp_path / "x.wav")!r})
print(*sys.modules)
""").split()
    assert not {"sympy", "torch._dynamo", "transformers", "scipy", "matplotlib", "rich.progress"} & set(loaded)
