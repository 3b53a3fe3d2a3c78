"""A diffusion decoder's model directory: `config.json`, `band_{i}.safetensors`, `codec/` and a card.

In: a directory; out: its parts, bands one at a time. And the other way.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cadenza.checkpoint import CONFIG_FILE, read_config, write_json
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec
from cadenza.diffusion.band import Band, load_band, save_band
from cadenza.diffusion.decoder_config import DiffusionDecoderConfig
from cadenza.diffusion.unet import Precision
from cadenza.errors import UserError
from cadenza.files import atomic_directory

_CODEC = "codec"


class Parts(NamedTuple):
    """What a directory holds; `band` reads the band of a number whenever it is asked."""

    config: DiffusionDecoderConfig
    codec: EnCodec
    band: Callable[[int], Band]


def read_directory(directory: Path, device: str | torch.device, precision: Precision) -> Parts:
    """The codec always in fp32; bands are packed. CheckpointError for a directory that is none."""
    config = read_config(DiffusionDecoderConfig, directory / CONFIG_FILE)
    codec = EnCodec.from_pretrained(directory / _CODEC, device, torch.float32)

    def load(number: int) -> Band:
        band = load_band(config.bands[number], directory, number, device)
        band.unet.pack(precision)
        return band

    return Parts(config, codec, load)


def write_directory(
    directory: Path,
    config: DiffusionDecoderConfig,
    codec: Codec,
    band: Callable[[int], Band],
    dtype: torch.dtype | None,
    card: str | None,
) -> None:
    """Networks' tensors as `dtype` if given; `card` is the README.md. UserError for a place that holds other things."""
    if directory.exists() and not (directory / CONFIG_FILE).is_file() and any(directory.iterdir()):
        raise UserError(f"{directory} holds something else than a model: choose an empty or new directory")
    assert isinstance(codec, EnCodec), "only EnCodec has a place in the model directory"
    with atomic_directory(directory) as temporary:
        for number in range(len(config.bands)):
            save_band(band(number), temporary, number, dtype)
        codec.save_pretrained(temporary / _CODEC)
        write_json(temporary / CONFIG_FILE, config.model_dump(mode="json"))
        text = card or f"# {config.name}\n\nA diffusion decoder for Cadenza.\n\nLicence: {config.licence}\n"
        (temporary / "README.md").write_text(text, encoding="utf-8")


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
