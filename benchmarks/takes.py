"""Music that a benchmark makes once: what its scratch folder holds for the same question is not made again.

And music through a model's codec, the best that the model could do.
"""

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


def through_codec(model: str | None) -> Callable[[Audio], Audio]:
    """Encode and decode with the codec of a model; None: of the model inside."""
    import torch

    from cadenza.loading import load_codec

    codec = load_codec(model)

    def resynthesise(audio: Audio) -> Audio:
        audio = audio.resample(codec.sample_rate).with_channels(codec.channels)
        with torch.inference_mode():
            codes = codec.encode(torch.from_numpy(audio.samples)[None])
            decoded = codec.decode(codes.codes, codes.scale)
        return Audio(decoded[0].numpy(), codec.sample_rate)

    return resynthesise
