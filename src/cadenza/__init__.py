"""Cadenza: text to music.

    import cadenza
    cadenza.load().generate("warm lo-fi beat with Rhodes piano", duration=12, seed=7).write("take.flac")

Public names are resolved on first use, so that `import cadenza` costs no more than this file: no torch, no numpy.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from cadenza.errors import CadenzaError, CheckpointError, UserError

if TYPE_CHECKING:
    from cadenza.audio import Audio as Audio
    from cadenza.lm.generate import GenerationConfig as GenerationConfig
    from cadenza.loading import load as load
    from cadenza.pipelines.musicgen import MusicGen as MusicGen

__version__ = "0.1.0"

if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    # Threads of torch (GCC's OpenMP) that wait for each other keep their cores busy for milliseconds. Beside another
    # busy program that makes two threads up to a hundred times slower than one; a short wait costs almost nothing.
    # It is read when torch is loaded. Where it comes too late, `engine.threads` still finds a better thread count.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

_HOME = {  # public name -> the module that defines it
    "Audio": "cadenza.audio",
    "GenerationConfig": "cadenza.lm.generate",
    "MusicGen": "cadenza.pipelines.musicgen",
    "load": "cadenza.loading",
}

__all__ = [
    "Audio",
    "CadenzaError",
    "CheckpointError",
    "GenerationConfig",
    "MusicGen",
    "UserError",
    "__version__",
    "load",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'cadenza' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
