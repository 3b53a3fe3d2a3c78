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
    from cadenza.conditioning.chroma import Melody as Melody
    from cadenza.conditioning.plan import Plan as Plan
    from cadenza.conditioning.style import Style as Style
    from cadenza.lm.generate import GenerationConfig as GenerationConfig
    from cadenza.loading import load as load
    from cadenza.loading import load_diffusion as load_diffusion
    from cadenza.pipelines.jukebox import Jukebox as Jukebox
    from cadenza.pipelines.musicgen import MusicGen as MusicGen

__version__ = "0.1.0"

if sys.platform == "linux" and os.uname().machine == "x86_64":  # elsewhere a turn takes another time, or none is made
    # Threads of torch (GCC's OpenMP) that wait for each other keep their cores busy for milliseconds; beside busy
    # programs that makes two of them many times slower than one. If they wait 3000 turns only, a quiet machine is as
    # fast (80 steps of the small shape in int4 a second), and a crowded one makes 8 instead of 0.5. This is read when
    # torch is loaded, and leaves the user's word alone. Where it comes too late `engine.threads` alone helps.
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")

_HOME = {  # public name -> the module that defines it
    "Audio": "cadenza.audio",
    "GenerationConfig": "cadenza.lm.generate",
    "Jukebox": "cadenza.pipelines.jukebox",
    "Melody": "cadenza.conditioning.chroma",
    "MusicGen": "cadenza.pipelines.musicgen",
    "Plan": "cadenza.conditioning.plan",
    "Style": "cadenza.conditioning.style",
    "load": "cadenza.loading",
    "load_diffusion": "cadenza.loading",
}

__all__ = [
    "Audio",
    "CadenzaError",
    "CheckpointError",
    "GenerationConfig",
    "Jukebox",
    "Melody",
    "MusicGen",
    "Plan",
    "Style",
    "UserError",
    "__version__",
    "load",
    "load_diffusion",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'cadenza' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
