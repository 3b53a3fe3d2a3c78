"""The melody cache: the strongest pitch class of every frame of every recording, beside the codes in a token cache.

In: manifest entries and a chroma condition. Out: `melody.safetensors` in the token cache's folder (one tensor `[T]` of
bytes per recording: a class, or 255 for a frame without pitch) and `melody.json`, how they were computed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from cadenza.audio import Audio
from cadenza.checkpoint import parse_config, read_json, read_weights, write_json, write_weights
from cadenza.conditioning.chroma import ChromaConditioner, ChromaConfig, Melody
from cadenza.data.manifest import Entry
from cadenza.errors import UserError

WEIGHTS, INDEX = "melody.safetensors", "melody.json"
NOTHING = 255
"""A frame without pitch."""
_ANALYSIS = ("dim", "sample_rate", "n_fft", "hop", "quiet_db", "tuning", "only_strongest", "stems")
"""The settings that decide the classes."""


def write_melodies(
    config: ChromaConfig,
    entries: Sequence[Entry],
    folder: str | Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Analyse every recording, whole. Raises UserError for a condition that keeps more than the strongest class."""
    if not config.only_strongest:
        raise UserError("only the strongest class of a frame is kept in a cache: set only_strongest")
    conditioner = ChromaConditioner(config, 1)
    classes: dict[str, Tensor] = {}
    for i, entry in enumerate(entries):
        chroma = conditioner.analyse(conditioner.waveform(Melody(Audio.read(entry.path))))
        found = chroma.argmax(1).to(torch.uint8)
        classes[entry.id] = found.masked_fill(~chroma.any(1), NOTHING)
        if on_progress is not None and (i % 100 == 99 or i + 1 == len(entries)):
            on_progress(i + 1, len(entries))
    folder = Path(folder)
    write_weights(folder / WEIGHTS, classes)
    write_json(folder / INDEX, _identity(config))


def read_melodies(folder: str | Path, config: ChromaConfig | None = None) -> dict[str, Tensor]:
    """Classes by recording; none if they were never computed. Raises UserError if computed otherwise than `config`."""
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        return {}
    stored = parse_config(ChromaConfig, read_json(folder / INDEX), folder / INDEX)  # a setting that is new to it: usual
    if config is not None and _identity(stored) != _identity(config):
        raise UserError(
            f"the melodies in {folder} were analysed with other settings than the model's: compute them again"
        )
    return read_weights(folder / WEIGHTS)


def chroma_of(classes: UInt8[Tensor, "T"], num_chroma: int) -> Float[Tensor, "T C"]:
    """One-hot frames, as the condition has them; zeros for a frame without pitch."""
    return F.one_hot(classes.long().clamp_max(num_chroma), num_chroma + 1)[:, :num_chroma].float()


def _identity(config: ChromaConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in _ANALYSIS}
