"""Music that a benchmark makes once: what its scratch folder holds for the same question is not made again."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cadenza.audio import Audio


def keep(path: Path, asked: dict[str, Any], make: Callable[[], Audio], resume: bool) -> Audio:
    """The audio of `make`, by way of a file (16 bits, level as it is) whose metadata say what was asked and how many
    seconds it took; the file as it is, if `resume` and it answers the same."""
    if not (resume and path.exists() and Audio.read(path).metadata.get("asked") == asked):
        began = time.perf_counter()
        audio = make()
        record = {"asked": asked, "seconds_to_make": time.perf_counter() - began}
        replace(audio, metadata=record).write(path, loudness_lufs=None)
    return Audio.read(path)
