"""What computed a report: versions and hardware, without a time or a place."""

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cadenza


def versions() -> dict[str, str]:
    """Of everything that can change a digit."""
    import soundfile

    found = {
        "cadenza": cadenza.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
    }
    transformers = sys.modules.get("transformers")  # only where an embedder needed it
    return found if transformers is None else {**found, "transformers": transformers.__version__}


def hardware(device: str) -> dict[str, Any]:
    """`device` is that of the takes and the embedders."""
    found: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "device": device,
    }
    if device.startswith("cuda") and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(torch.device(device))
    return found


def processor() -> str:
    """The name that its maker gave it, as far as the system tells."""
    try:
        names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    return " ".join(names[0].split()) if names else platform.processor() or "unknown"
