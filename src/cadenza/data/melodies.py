"""The melody of every recording: the strongest pitch class of every frame, beside the codes in a token cache.

In: manifest entries and a chroma condition. Out: `melody_XXXXX.safetensors` in the token cache's folder (one tensor
`[T]` of bytes per recording: a class, or 255 for a frame without pitch) and `melody.json`, how they were computed.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from cadenza.checkpoint import parse_config, read_json, read_weights
from cadenza.conditioning.chroma import ChromaConditioner, ChromaConfig, Melody
from cadenza.data.coding import read_recording
from cadenza.data.manifest import Entry
from cadenza.errors import UserError

LAYER = "melody"
INDEX = "melody.json"
WHOLE = "melody.safetensors"
"""All melodies in one file: how older caches keep them."""
NOTHING = 255
"""A frame without pitch."""
_ANALYSIS = ("dim", "sample_rate", "n_fft", "hop", "quiet_db", "tuning", "only_strongest", "stems")
"""The settings that decide the classes."""


class MelodyAnalysis:
    """A chroma condition, for whole recordings. Raises UserError for one that keeps more than the strongest class."""

    def __init__(self, config: ChromaConfig) -> None:
        if not config.only_strongest:
            raise UserError("only the strongest class of a frame is kept in a cache: set only_strongest")
        self.config = config
        self._conditioner = ChromaConditioner(config, 1)

    @torch.no_grad()
    def classes(self, entries: Sequence[Entry], first_seconds: float | None = None) -> dict[str, UInt8[Tensor, "T"]]:
        """Classes by id."""
        found = {}
        for entry in entries:
            melody = Melody(read_recording(entry, first_seconds))
            chroma = self._conditioner.analyse(self._conditioner.waveform(melody))
            strongest = chroma.argmax(1).to(torch.uint8)
            found[entry.id] = strongest.masked_fill(~chroma.any(1), NOTHING)
        return found


def read_melodies(folder: str | Path, config: ChromaConfig | None = None) -> dict[str, Tensor]:
    """Classes by recording; none if they were never computed. Raises UserError if computed otherwise than `config`."""
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        return {}
    stored = parse_config(ChromaConfig, read_json(folder / INDEX), folder / INDEX)  # a setting that is new to it: usual
    if config is not None and melody_settings(stored) != melody_settings(config):
        raise UserError(
            f"the melodies in {folder} were analysed with other settings than the model's: compute them again"
        )
    melodies: dict[str, Tensor] = {}
    for path in sorted(folder.glob(f"{LAYER}_*.safetensors")) or [folder / WHOLE]:
        melodies |= read_weights(path)
    return melodies


def chroma_of(classes: UInt8[Tensor, "T"], num_chroma: int) -> Float[Tensor, "T C"]:
    """One-hot frames, as the condition has them; zeros for a frame without pitch."""
    return F.one_hot(classes.long().clamp_max(num_chroma), num_chroma + 1)[:, :num_chroma].float()


def melody_settings(config: ChromaConfig) -> dict[str, object]:
    """What decides the classes."""
    return {name: getattr(config, name) for name in _ANALYSIS}
