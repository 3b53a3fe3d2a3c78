"""MusicGen in audiocraft's directories: `state_dict.bin` beside `compression_state_dict.bin`.

In: such a directory; both files may name further models (a T5, a codec), which the caller finds. Out: a `MusicGen`; and
back.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from cadenza.codec.encodec import EnCodec
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.clap import ClapConditioner
from cadenza.conditioning.mert import MERT, Mert, MertConfig
from cadenza.conditioning.provider import ConditionProvider
from cadenza.conditioning.style import StyleConditioner, StyleConfig
from cadenza.conditioning.t5 import T5Config
from cadenza.conditioning.text import TextEncoder
from cadenza.convert.audiocraft_codec import codec_pointer, read_codec, write_codec
from cadenza.convert.audiocraft_lm import LMCheckpoint, read_lm, write_lm
from cadenza.convert.audiocraft_style import read_mert
from cadenza.convert.parts import fit_codec, mono_codec, roles, text_encoder
from cadenza.convert.transformers import write_text_encoder
from cadenza.convert.transformers_codec import read_codec as read_transformers_codec
from cadenza.errors import CadenzaError, CheckpointError
from cadenza.files import atomic_directory
from cadenza.lm.generate import GenerationConfig
from cadenza.pipelines.musicgen import MusicGen, MusicGenConfig

LM_FILE = "state_dict.bin"
CODEC_FILE = "compression_state_dict.bin"
STYLE_ENCODER = "style_encoder"
"""Folder beside these files for a MERT that is not the published one (or that is here, and need not be fetched)."""

Part = Literal["text encoder", "codec", "style encoder"]
Find = Callable[[str, Part], Path]
"""Name of a model and what it is -> its local file or directory; raises CheckpointError if it cannot be had."""

# (width, layers, feed-forward width, feed-forward kind) of the encoders that audiocraft knows by name.
_T5_NAMES = {
    (512, 6, 2048, "relu"): "t5-small",
    (768, 12, 3072, "relu"): "t5-base",
    (1024, 24, 4096, "relu"): "t5-large",
    (1024, 24, 16384, "relu"): "t5-3b",
    (1024, 24, 65536, "relu"): "t5-11b",
    (512, 8, 1024, "gated-gelu"): "google/flan-t5-small",
    (768, 12, 2048, "gated-gelu"): "google/flan-t5-base",
    (1024, 24, 2816, "gated-gelu"): "google/flan-t5-large",
    (2048, 24, 5120, "gated-gelu"): "google/flan-t5-xl",
    (4096, 24, 10240, "gated-gelu"): "google/flan-t5-xxl",
}


def read_musicgen(directory: str | Path, find: Find, name: str = "unnamed", licence: str = "unknown") -> MusicGen:
    """Read an audiocraft directory.

    Args:
        directory: holds `state_dict.bin` and `compression_state_dict.bin`.
        find: gives the directory of the T5, of the codec if the file only points to one, and of MERT for a style model.
        name, licence: for the model's configuration.
    """
    directory = Path(directory)
    checkpoint = read_lm(directory / LM_FILE)
    lm = checkpoint.lm
    codec = fit_codec(
        find_codec(directory / CODEC_FILE, find), lm.config.num_codebooks, checkpoint.stereo, directory / CODEC_FILE
    )
    if checkpoint.text_encoder is not None:
        beside = directory / checkpoint.text_encoder
        place = (
            beside
            if checkpoint.text_encoder == "text_encoder" and beside.is_dir()
            else find(checkpoint.text_encoder, "text encoder")
        )
        checkpoint.conditioning.attach_text_encoder(TextEncoder.from_pretrained(place))
    if _hears_by_mert(checkpoint.conditioning):
        checkpoint.conditioning.attach_style_encoder(read_mert(_find_mert(directory / STYLE_ENCODER, find)))
    for part in checkpoint.conditioning.children():
        if isinstance(part, ClapConditioner):  # the file of LAION's that audiocraft names becomes a folder first
            part.load_encoder(directory)
    parts = roles(checkpoint.conditioning.config)
    config = MusicGenConfig(
        name=name,
        licence=licence,
        stereo=isinstance(codec, StereoCodec),
        max_duration_seconds=checkpoint.max_duration,
        generation=GenerationConfig(
            guidance=checkpoint.guidance,
            # In long pieces a window advances by 18 s of MusicGen's 30, and by as much of shorter ones.
            extend_stride=min(18.0, 0.6 * checkpoint.max_duration),
            # The model card's advice; it counts where there are both a text and a style.
            guidance_beta=5.0 if "style_condition" in parts else None,
        ),
        **parts,
    )
    return MusicGen(codec, lm, checkpoint.conditioning, config)


def find_codec(path: Path, find: Find) -> EnCodec:
    """The codec in a file, or the one that it points to."""
    pointer = codec_pointer(path)
    if pointer is None:
        return read_codec(path)
    if pointer.startswith("dac_"):
        raise CheckpointError(f"{path} points to the codec {pointer!r}: only EnCodec is supported")
    target = find(pointer, "codec")
    if target.is_dir():
        return read_codec(target / CODEC_FILE) if (target / CODEC_FILE).is_file() else read_transformers_codec(target)
    return read_codec(target)


def write_musicgen(model: MusicGen, directory: str | Path) -> None:
    """Write an audiocraft directory. Raises UserError for what audiocraft cannot express.

    audiocraft takes frozen encoders by their official names. One of another shape is written beside the files, for
    `read_musicgen` to find; audiocraft itself knows no such encoder.
    """
    encoder = text_encoder(model)
    codec = mono_codec(model.codec)
    known = _T5_NAMES.get(_shape(encoder.model.config)) if encoder is not None else None
    checkpoint = LMCheckpoint(
        lm=model.lm,
        conditioning=model.conditioning,
        text_encoder=None if encoder is None else known or "text_encoder",
        num_codebooks=codec.num_codebooks,
        stereo=isinstance(model.codec, StereoCodec),
        max_duration=model.config.max_duration_seconds,
        guidance=model.config.generation.guidance,
    )
    with atomic_directory(directory) as temporary:
        write_lm(temporary / LM_FILE, checkpoint, model.codec.sample_rate, model.codec.channels)
        write_codec(codec, temporary / CODEC_FILE)
        if encoder is not None and known is None:
            write_text_encoder(encoder, temporary / "text_encoder")
        mert = _mert(model.conditioning)
        if mert is not None and mert.config != MertConfig():
            mert.save_pretrained(temporary / STYLE_ENCODER)
        for part in model.conditioning.children():
            if isinstance(part, ClapConditioner):
                part.save_encoder(temporary)


def _hears_by_mert(conditioning: ConditionProvider) -> bool:
    parts = conditioning.config.conditioners.values()
    return any(isinstance(part, StyleConfig) and part.extractor == "mert" for part in parts)


def _find_mert(beside: Path, find: Find) -> Path:
    if beside.is_dir():
        return beside
    try:
        return find(MERT, "style encoder")
    except CadenzaError as error:
        raise type(error)(f"{error}; its files may also lie in {beside}") from error


def _mert(conditioning: ConditionProvider) -> Mert | None:
    """The MERT that a style condition hears by."""
    for part in conditioning.children():
        if isinstance(part, StyleConditioner) and isinstance(part.extractor, Mert):
            return part.extractor
    return None


def _shape(config: T5Config) -> tuple[int, int, int, str]:
    return config.dim, config.num_layers, config.feed_forward_dim, config.feed_forward
