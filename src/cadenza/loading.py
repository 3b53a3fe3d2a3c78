"""From a name to a model that plays.

In: nothing (the embedded model), a model directory, a foreign file or directory, or a name on the Hugging Face Hub.
Out: the pipeline. Foreign weights are converted once, into the user's cache.
"""

import difflib
import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

import torch

from cadenza.checkpoint import CONFIG_FILE, cache_directory, read_config, read_json
from cadenza.codec.base import Codec
from cadenza.convert.audiocraft import CODEC_FILE
from cadenza.convert.formats import identify, read_codec, read_model
from cadenza.convert.hub import find_file, find_musicgen, find_part, is_repository
from cadenza.convert.multiband_diffusion import read_decoder
from cadenza.convert.official import (
    CODECS,
    DECODER_REPOSITORY,
    DECODERS,
    LICENCE,
    MODELS,
    UNKNOWN_LICENCE,
    OfficialDecoder,
    licence_of,
)
from cadenza.convert.parts import with_codebooks
from cadenza.diffusion.codes import CodeFacts, mono_of
from cadenza.diffusion.decoder import DiffusionDecoder, DiffusionDecoderConfig
from cadenza.diffusion.unet import Precision
from cadenza.errors import CheckpointError, UserError
from cadenza.pipelines.musicgen import MusicGen
from cadenza.pipelines.placement import choose_device, choose_precision, companion_device

ASSETS = Path(__file__).parent / "assets"
EMBEDDED = "embedded"
"""What the model that comes along may be called, where no file or directory has that name."""
CONVERSION = 2
"""Raised whenever converted directories change, so that older ones in a cache are made again.

2: melody models listen to recordings; before, to a chromagram computed elsewhere.
"""

log = logging.getLogger("cadenza")


def load(
    name: str | Path | None = None, device: str | torch.device | None = None, precision: str | None = None
) -> MusicGen:
    """Load a model, ready to generate.

    Args:
        name: None or "embedded" is the model that comes with Cadenza; else a model directory, a directory or
            `state_dict.bin` of audiocraft, a directory of transformers, or a name such as `facebook/musicgen-small`.
        device: `cpu`, `cuda`, `cuda:1`; None: a GPU if there is one.
        precision: `fp32`, `bf16`, `fp16`, `int8` or `int4`, of the language model; None: what suits the device. In
            8 or 4 bits weights are quantised once, into the user's cache.

    Raises UserError for a name, device or precision that does not exist, CheckpointError for a broken model.
    """
    place = choose_device(device)
    if precision is not None:
        choose_precision(precision, place)  # what cannot be is said before anything is fetched
    return MusicGen.from_pretrained(find_model(name), place, precision)


def load_codec(name: str | Path | None = None, device: str | torch.device | None = None) -> Codec:
    """Load a codec in float32: that of a whole model (named as for `load`), or a codec's file, directory or name."""
    place = companion_device(choose_device(device))
    if name is None or (not _exists(name) and str(name) in (EMBEDDED, *MODELS)):
        path = find_model(name)
    elif _exists(name):
        path = Path(name)
    elif _may_be_remote(str(name), (*CODECS, *MODELS)):
        path = find_part(str(name), "codec")
    else:
        raise UserError(_unknown(str(name), (*CODECS, *MODELS)))
    codec = read_codec(path).float().to(place).eval()
    codec.pack()
    return codec


def load_diffusion(
    name: str | Path | None = None,
    device: str | torch.device | None = None,
    *,
    codec: Codec | None = None,
    precision: Precision = "fp32",
    one_band: bool = False,
) -> DiffusionDecoder:
    """Load a diffusion decoder, which turns codes into cleaner sound than their codec does, and slower.

    Args:
        name: a decoder's directory, a file of audiocraft's (`mbd_musicgen_32khz.th`), or the name of a published one
            (`mbd_musicgen_32khz`, `mbd_comp_2`, `mbd_comp_4`, `mbd_comp_8`). None: the one for `codec`; without that,
            the one that comes with Cadenza.
        codec: whose codes it shall decode. Files of audiocraft do not hold their codec: it is this one, else the one in
            `compression_state_dict.bin` beside them, else the one that a published file belongs to.
        precision: `fp32` or `bf16`, of the networks.
        one_band: keep the weights of one band at a time in memory.

    Raises UserError for a name that does not exist and a codec that it does not belong to, CheckpointError for a broken
    file.
    """
    place = companion_device(choose_device(device))
    path = find_diffusion(name, codec)
    decoder = DiffusionDecoder.from_pretrained(path, place, precision, one_band)
    if codec is not None:
        decoder.check_fits(codec)
    return decoder


def find_diffusion(name: str | Path | None = None, codec: Codec | None = None) -> Path:
    """The directory of a diffusion decoder; foreign files are converted into the cache first."""
    if name is None:
        name = _diffusion_for(codec)
    if _exists(name):
        path = Path(name)
        form, kind = identify(path)
        if kind != "diffusion decoder":
            raise CheckpointError(f"{path} holds a {kind}: give the directory or the file of a diffusion decoder")
        return path if form == "cadenza" else _converted_decoder(path, codec, path.stem, UNKNOWN_LICENCE)
    short = _short(str(name))
    if short not in DECODERS:
        raise UserError(_unknown(str(name), DECODERS, "a directory, or a name such as mbd_musicgen_32khz"))
    return _converted_decoder(find_file(DECODER_REPOSITORY, DECODERS[short].file), codec, short, LICENCE)


def read_diffusion(name: str | Path, codec: Codec | None = None) -> DiffusionDecoder:
    """A decoder of any format, for conversion: a local file is not converted into the cache first."""
    path = Path(name) if _exists(name) else find_diffusion(name, codec)
    if identify(path)[0] == "cadenza":
        return DiffusionDecoder.from_pretrained(path)
    return _read_decoder(path, codec, path.stem, UNKNOWN_LICENCE)


def is_published_diffusion(name: str) -> bool:
    """Whether this names a published diffusion decoder."""
    return _short(name) in DECODERS


def _short(name: str) -> str:
    """`facebook/multiband-diffusion/mbd_comp_2.pt` -> `mbd_comp_2`; of the repository, the one for MusicGen."""
    if name == DECODER_REPOSITORY:
        return next(iter(DECODERS))
    return name.removeprefix(f"{DECODER_REPOSITORY}/").removesuffix(".th").removesuffix(".pt")


def _diffusion_for(codec: Codec | None) -> str | Path:
    """The decoder of a codec: the one that comes along, else a published one."""
    facts = None if codec is None else CodeFacts.of(mono_of(codec))
    for file in sorted(ASSETS.glob(f"*/{CONFIG_FILE}")):
        if read_json(file).get("type") == "diffusion_decoder":
            config = read_config(DiffusionDecoderConfig, file)
            own = CodeFacts(config.num_codebooks, config.codebook_size, config.frame_rate, config.sample_rate)
            if facts in (None, own):
                return file.parent
    for name, official in DECODERS.items():
        if facts is not None and facts == CodeFacts(*official.facts):
            return name
    if codec is None:
        raise UserError("no diffusion decoder comes with this installation: name one, such as mbd_musicgen_32khz")
    raise UserError(f"no diffusion decoder is known for codes of {facts}: name one of your own")


def _converted_decoder(file: Path, codec: Codec | None, name: str, licence: str) -> Path:
    """The directory made of audiocraft's file; made now unless this very file was converted for this codec before."""
    status = file.stat()
    content = (
        f"{file.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0{codec is None or CodeFacts.of(mono_of(codec))}"
    )
    stamp = hashlib.sha256(content.encode()).hexdigest()[:16]
    target = _models() / "diffusion" / f"{name}-{stamp}-v{CONVERSION}"
    if not (target / CONFIG_FILE).is_file():
        log.info("converting %s (once) into %s", file, target)
        _read_decoder(file, codec, name, licence).save_pretrained(target, card=_card(name, licence, file))
    return target


def _read_decoder(file: Path, codec: Codec | None, name: str, licence: str) -> DiffusionDecoder:
    official: OfficialDecoder | None = DECODERS.get(file.stem)
    if codec is None and (file.parent / CODEC_FILE).is_file():
        codec = read_codec(file.parent / CODEC_FILE)
    elif codec is None and official is not None:
        codec = with_codebooks(read_codec(find_part(official.codec, "codec")), official.facts[0], official.codec)
    elif codec is None:
        raise UserError(f"{file} does not say whose codes it decodes: give the codec (codec=..., --codec)")
    return read_decoder(file, codec, name, licence)


def find_model(name: str | Path | None = None) -> Path:
    """The model directory for a name; foreign and remote models are converted into the cache first."""
    if name is None or (name == EMBEDDED and not _exists(name)):
        return _embedded()
    if _exists(name):
        path = Path(name)
        form, kind = identify(path)
        if kind != "model":
            raise CheckpointError(f"{path} holds a {kind}, which makes no music: give the directory of a whole model")
        directory = path.parent if path.is_file() else path
        if form == "cadenza":
            return directory
        own = directory.resolve().name
        return _converted(directory, own, Path("local"), UNKNOWN_LICENCE)
    if name in CODECS:
        raise CheckpointError(f"{name} is a codec, which makes no music: give the name of a whole model")
    if _may_be_remote(str(name), MODELS):
        return _from_hub(str(name))
    raise UserError(_unknown(str(name), MODELS))


def _embedded() -> Path:
    for config in (ASSETS / CONFIG_FILE, *sorted(ASSETS.glob(f"*/{CONFIG_FILE}"))):
        if config.is_file() and identify(config.parent) == ("cadenza", "model"):
            return config.parent
    raise CheckpointError(
        "this installation holds no embedded model: install the released package, or name a model, such as "
        "facebook/musicgen-small or the directory of your own"
    )


def _from_hub(name: str) -> Path:
    """A converted copy if there is one; else the files, from the Hub's cache or the network, converted."""
    place = Path(name.replace("/", "--"))
    made = sorted((_models() / place).glob(f"*-v{CONVERSION}/{CONFIG_FILE}"), key=lambda file: file.stat().st_mtime)
    if made:
        return made[-1].parent
    return _converted(find_musicgen(name), name, place, licence_of(name))


def _converted(source: Path, name: str, place: Path, licence: str) -> Path:
    """The model directory made of a foreign one; made now unless this very source was converted before."""
    stem = "" if place.name != "local" else f"{source.resolve().name}-"
    target = _models() / place / f"{stem}{_fingerprint(source)}-v{CONVERSION}"
    if (target / CONFIG_FILE).is_file():
        return target
    log.info("converting %s (once) into %s", source, target)
    model = read_model(source, name=name, licence=licence)
    model.save_pretrained(target, card=_card(name, licence, source))
    return target


def _models() -> Path:
    return cache_directory() / "models"


def _fingerprint(directory: Path) -> str:
    """Identity of a directory's files by place, size and time (the Hub's cache names its files by their hash)."""
    total = hashlib.sha256()
    for file in sorted(directory.iterdir()):
        if file.is_file():
            status = file.stat()
            total.update(f"{file.name}\0{file.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return total.hexdigest()[:16]


def _card(name: str, licence: str, source: Path) -> str:
    return (
        f"# {name}\n\nConverted by Cadenza from `{source.resolve()}`.\n\nLicence of the weights: {licence}.\n\n"
        "Delete this directory to convert again.\n"
    )


# ---- names -----------------------------------------------------------------------------------------------------------


def _exists(name: str | Path) -> bool:
    try:
        return str(name) != "" and Path(name).exists()
    except OSError:  # longer than any path can be
        return False


def _may_be_remote(name: str, known: Iterable[str]) -> bool:
    """Whether to ask the Hub: for a known name, or one that is not nearly a known one."""
    known = tuple(known)
    return name in known or (is_repository(name) and not difflib.get_close_matches(name, known, 1, 0.9))


def _unknown(
    name: str, known: Iterable[str], remedy: str = "a directory, or a name such as facebook/musicgen-small"
) -> str:
    short = {one.rpartition("/")[2]: one for one in known}
    near = [short[one] for one in difflib.get_close_matches(name.rpartition("/")[2], list(short), 3, 0.6)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"give {remedy}"
    return f"no model {name[:80]!r}: {hint}"
