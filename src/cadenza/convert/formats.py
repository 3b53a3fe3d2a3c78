"""Which format a path is in, and reading and writing each.

In: a path, or a `MusicGen` and the name of a format. Out: the other one.
"""

from pathlib import Path
from typing import Literal

import torch

from cadenza.checkpoint import CONFIG_FILE, read_json
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec
from cadenza.codec.stereo import StereoCodec
from cadenza.convert import audiocraft, audiocraft_codec, multiband_diffusion, transformers, transformers_codec
from cadenza.convert.hub import find_part
from cadenza.convert.jukebox import is_openai
from cadenza.convert.official import UNKNOWN_LICENCE
from cadenza.convert.parts import mono_codec
from cadenza.errors import CheckpointError, UserError
from cadenza.files import atomic_directory
from cadenza.nn.linear import kind_of, quantize_linears
from cadenza.nn.quantize import KINDS
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig

Format = Literal["cadenza", "audiocraft", "transformers", "openai"]
FORMATS: tuple[Format, ...] = ("cadenza", "audiocraft", "transformers")
"""Those that are written, too."""

Kind = Literal["model", "codec", "diffusion decoder", "jukebox"]
"""A "model" is a MusicGen."""


def identify(path: str | Path) -> tuple[Format, Kind]:
    """The format of a file or directory, and what it holds. CheckpointError for anything else."""
    path = Path(path)
    if path.is_file():
        if path.name == audiocraft.LM_FILE:
            return "audiocraft", "model"
        if path.suffix in (".bin", ".th", ".pt", ".pth"):
            return "audiocraft", "diffusion decoder" if multiband_diffusion.is_checkpoint(path) else "codec"
        if path.name.endswith(".pth.tar"):
            raise CheckpointError(f"{path} is a part of a Jukebox: give the directory that holds all its files")
        raise CheckpointError(f"{path} is no checkpoint: expected a directory, or a .bin or .th file")
    if not path.is_dir():
        raise CheckpointError(f"no file or directory {path}: check the path")
    if (path / audiocraft.LM_FILE).is_file():
        return "audiocraft", "model"
    if (path / audiocraft.CODEC_FILE).is_file():
        return "audiocraft", "codec"
    if is_openai(path):
        return "openai", "jukebox"
    if (path / CONFIG_FILE).is_file():
        settings = read_json(path / CONFIG_FILE)
        if settings.get("type") == "musicgen":
            return "cadenza", "model"
        if settings.get("type") == "jukebox":
            return "cadenza", "jukebox"
        if settings.get("model_type") == "jukebox":
            return "transformers", "jukebox"
        if settings.get("type") == "diffusion_decoder":
            return "cadenza", "diffusion decoder"
        if settings.get("kind") == "encodec":
            return "cadenza", "codec"
        if settings.get("model_type") in transformers.MODEL_TYPES:
            return "transformers", "model"
        if settings.get("model_type") == "encodec":
            return "transformers", "codec"
        kind = settings.get("model_type") or settings.get("type") or "unknown"
        raise CheckpointError(f"{path} holds a model of type {kind!r}: expected a MusicGen, a Jukebox or an EnCodec")
    raise CheckpointError(
        f"{path} holds no model: expected {CONFIG_FILE} (Cadenza, transformers) or {audiocraft.LM_FILE} (audiocraft)"
    )


def check_musicgen(path: str | Path, kind: Kind) -> None:
    """Raise CheckpointError for what is no MusicGen."""
    if kind == "jukebox":
        raise CheckpointError(
            f"{path} is a Jukebox, not a MusicGen: use `cadenza jukebox`, or cadenza.load and its generate(lyrics=...)"
        )
    if kind != "model":
        raise CheckpointError(f"{path} holds a {kind}, which makes no music: give the directory of a whole model")


def check_codec(path: str | Path, kind: Kind) -> None:
    """Raise CheckpointError for what has no codec."""
    if kind == "diffusion decoder":
        raise CheckpointError(f"{path} holds a diffusion decoder: give the codec that it belongs to")
    if kind == "jukebox":
        raise CheckpointError(
            f"{path} is a Jukebox, whose VQ-VAE has a codec per level: use `cadenza jukebox reconstruct`, or the vqvae "
            "of cadenza.load"
        )


def read_model(
    path: str | Path, text_encoder: str | Path | None = None, name: str | None = None, licence: str = UNKNOWN_LICENCE
) -> MusicGen:
    """Read a whole model of any format.

    Args:
        path: a directory, or audiocraft's `state_dict.bin`.
        text_encoder: directory of the T5, for audiocraft's files, which only name theirs; None: find it by that name.
        name, licence: for the configuration; a Cadenza directory keeps its own.
    """
    path = Path(path)
    form, kind = identify(path)
    check_musicgen(path, kind)
    directory = path.parent if path.is_file() else path
    name = name or directory.resolve().name
    if form == "cadenza":
        return MusicGen.from_pretrained(directory, "cpu")
    if form == "transformers":
        return transformers.read_musicgen(directory, name, licence)

    def find(wanted: str, part: audiocraft.Part) -> Path:
        if part == "text encoder" and text_encoder is not None:
            return Path(text_encoder)
        return find_part(wanted, part)

    return audiocraft.read_musicgen(directory, find, name, licence)


def read_codec(path: str | Path) -> Codec:
    """Read a codec of any format, alone or out of a whole model."""
    path = Path(path)
    form, kind = identify(path)
    check_codec(path, kind)
    if form == "cadenza":
        if kind == "codec":
            return EnCodec.from_pretrained(path)
        codec = EnCodec.from_pretrained(path / "codec")
        stereo = MusicGenConfig.model_validate(read_json(path / CONFIG_FILE)).stereo
        return StereoCodec(codec) if stereo else codec
    if form == "transformers":
        return transformers_codec.read_codec(path) if kind == "codec" else transformers.read_musicgen(path).codec
    if path.is_file() and path.name != audiocraft.LM_FILE:
        return audiocraft.find_codec(path, find_part)
    directory = path.parent if path.is_file() else path
    return audiocraft.find_codec(directory / audiocraft.CODEC_FILE, find_part)


def write_model(model: MusicGen, directory: str | Path, form: str, precision: str | None = None) -> None:
    """Write a whole model. The directory must be new or empty. UserError for what the format cannot express.

    `precision` (int8, int4) quantises the language model, in place; only Cadenza's own format holds such weights.
    """
    _check_target(Path(directory), form)
    if precision is not None:
        _quantize(model, precision)
    if form != "cadenza" and (kind := kind_of(model.lm)) is not None:
        raise UserError(f"{form} has no place for weights in {kind}: write cadenza, or convert the original model")
    if form == "cadenza":
        model.save_pretrained(directory)
    elif form == "audiocraft":
        audiocraft.write_musicgen(model, directory)
    else:
        transformers.write_musicgen(model, directory)


def _quantize(model: MusicGen, precision: str) -> None:
    wanted = next((kind for kind in KINDS if kind == precision), None)
    if wanted is None:
        raise UserError(f"no weights are converted to {precision!r}: use {' or '.join(KINDS)}")
    stored = kind_of(model.lm)
    if stored is not None and stored != wanted:
        raise UserError(f"the weights are in {stored} already: convert the model they were made of to {wanted}")
    quantize_linears(model.lm, wanted)
    model.lm.to(torch.bfloat16)  # what such a model computes in


def write_codec(codec: Codec, directory: str | Path, form: str) -> None:
    """Write a codec alone. The directory must be new or empty. UserError for what the format cannot express."""
    _check_target(Path(directory), form)
    inner = mono_codec(codec)
    with atomic_directory(directory) as temporary:
        if form == "cadenza":
            inner.save_pretrained(temporary)
        elif form == "audiocraft":
            audiocraft_codec.write_codec(inner, temporary / audiocraft.CODEC_FILE)
        else:
            transformers_codec.write_codec(inner, temporary)


def _check_target(directory: Path, form: str) -> None:
    if form not in FORMATS:
        raise UserError(f"unknown format {form!r}: use {', '.join(FORMATS)}")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"{directory} exists already: choose a new or empty directory")
