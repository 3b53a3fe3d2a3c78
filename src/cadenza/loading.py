"""From a name to a model that plays.

In: nothing (the embedded model), a model directory, a foreign file or directory, or a name on the Hugging Face Hub.
Out: the pipeline. Foreign weights are converted once, into the user's cache.
"""

import hashlib
import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, overload

import torch

from cadenza.checkpoint import CONFIG_FILE, cache_directory, read_config, read_json
from cadenza.codec.base import Codec
from cadenza.convert.audiocraft import CODEC_FILE
from cadenza.convert.formats import check_codec, check_musicgen, identify, read_codec, read_model
from cadenza.convert.hub import find_file, find_musicgen, find_part
from cadenza.convert.hub import find_jukebox as find_on_hub
from cadenza.convert.jukebox import convert_jukebox, parts_of
from cadenza.convert.multiband_diffusion import read_decoder
from cadenza.convert.official import (
    CODECS,
    DECODER_REPOSITORY,
    DECODERS,
    JUKEBOXES,
    LICENCE,
    MODELS,
    UNKNOWN_LICENCE,
    JukeboxName,
    MusicGenName,
    OfficialDecoder,
    licence_of,
)
from cadenza.convert.openai_jukebox_vqvae import LICENCE as JUKEBOX_LICENCE
from cadenza.convert.parts import with_codebooks
from cadenza.convert.spelling import exists, may_be_remote, unknown
from cadenza.diffusion.codes import CodeFacts, mono_of
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.decoder_config import DiffusionDecoderConfig
from cadenza.diffusion.unet import Precision
from cadenza.errors import CheckpointError, UserError
from cadenza.files import atomic_directory
from cadenza.pipelines.jukebox import Jukebox
from cadenza.pipelines.musicgen import MusicGen
from cadenza.pipelines.placement import choose_device, choose_precision, companion_device

ASSETS = Path(__file__).parent / "assets"
EMBEDDED = "embedded"
"""What the model that comes along may be called, where no file or directory has that name."""
EMBEDDED_JUKEBOX = "embedded-jukebox"
"""Likewise the small Jukebox that comes along."""
CONVERSION = 2
"""Raised whenever converted directories change, so that older ones in a cache are made again.

2: melody models listen to recordings; before, to a chromagram computed elsewhere.
"""

log = logging.getLogger("cadenza")


@overload
def load(
    name: MusicGenName | None = None, device: str | torch.device | None = None, precision: str | None = None
) -> MusicGen: ...
@overload
def load(
    name: JukeboxName | Literal["embedded-jukebox"],
    device: str | torch.device | None = None,
    precision: str | None = None,
) -> Jukebox: ...
@overload
def load(
    name: str | Path | None, device: str | torch.device | None = None, precision: str | None = None
) -> MusicGen | Jukebox: ...
def load(
    name: str | Path | None = None, device: str | torch.device | None = None, precision: str | None = None
) -> MusicGen | Jukebox:
    """Load a model, ready to generate: a `MusicGen`, or a `Jukebox` where the name is of one.

    Args:
        name: None or "embedded" is the model that comes with Cadenza, "embedded-jukebox" the small Jukebox that does;
            else a model directory, a directory or `state_dict.bin` of audiocraft, a directory of OpenAI's files or of
            transformers, or a name such as `facebook/musicgen-small` or `openai/jukebox-1b-lyrics`.
        device: `cpu`, `cuda`, `cuda:1`; None: a GPU if there is one.
        precision: `fp32`, `bf16`, `fp16`, `int8` or `int4`, of the language model (or the priors); None: what suits the
            device. In 8 or 4 bits weights are quantised once, into the user's cache.

    Raises UserError for a name, device or precision that does not exist, CheckpointError for a broken model.
    """
    return (load_jukebox if name is not None and is_jukebox(name) else load_musicgen)(name, device, precision)


def load_musicgen(
    name: str | Path | None = None, device: str | torch.device | None = None, precision: str | None = None
) -> MusicGen:
    """`load` where only a MusicGen will do. Raises CheckpointError for a Jukebox, before anything is fetched."""
    place = _checked(device, precision)
    return MusicGen.from_pretrained(find_model(name), place, precision)


def load_jukebox(
    name: str | Path | None = None, device: str | torch.device | None = None, precision: str | None = None
) -> Jukebox:
    """`load` where only a Jukebox will do; None is the one that comes along. Raises UserError for anything else, before
    it is fetched."""
    place = _checked(device, precision)
    return Jukebox.from_pretrained(find_jukebox(name), place, precision)


def _checked(device: str | torch.device | None, precision: str | None) -> torch.device:
    """What cannot be is said before anything is fetched."""
    place = choose_device(device)
    if precision is not None:
        choose_precision(precision, place)
    return place


def is_jukebox(name: str | Path) -> bool:
    """Whether this names a Jukebox; nothing is fetched. CheckpointError for a path that holds no model."""
    return identify(name)[1] == "jukebox" if exists(name) else str(name) in (EMBEDDED_JUKEBOX, *JUKEBOXES)


def load_codec(name: str | Path | None = None, device: str | torch.device | None = None) -> Codec:
    """Load a codec in float32: that of a whole model (named as for `load`), or a codec's file, directory or name."""
    place = companion_device(choose_device(device))
    if name is not None and not exists(name) and is_jukebox(name):
        check_codec(name, "jukebox")
    if name is None or (not exists(name) and str(name) in (EMBEDDED, *MODELS)):
        path = find_model(name)
    elif exists(name):
        path = Path(name)
    elif may_be_remote(str(name), (*CODECS, *MODELS)):
        path = find_part(str(name), "codec")
    else:
        raise UserError(unknown(str(name), (*CODECS, *MODELS)))
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
    together: bool | None = None,
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
        together: run bands of equal shapes as one network; None: on a GPU, where it pays.

    Raises UserError for a name that does not exist and a codec that it does not belong to, CheckpointError for a broken
    file.
    """
    place = companion_device(choose_device(device))
    path = find_diffusion(name, codec)
    decoder = DiffusionDecoder.from_pretrained(path, place, precision, one_band, together)
    if codec is not None:
        decoder.check_fits(codec)
    return decoder


def find_diffusion(name: str | Path | None = None, codec: Codec | None = None) -> Path:
    """The directory of a diffusion decoder; foreign files are converted into the cache first."""
    if name is None:
        name = _diffusion_for(codec)
    if exists(name):
        path = Path(name)
        form, kind = identify(path)
        if kind != "diffusion decoder":
            raise CheckpointError(f"{path} holds a {kind}: give the directory or the file of a diffusion decoder")
        return path if form == "cadenza" else _converted_decoder(path, codec, path.stem, UNKNOWN_LICENCE)
    short = _short(str(name))
    if short not in DECODERS:
        raise UserError(unknown(str(name), DECODERS, "a directory, or a name such as mbd_musicgen_32khz"))
    return _converted_decoder(find_file(DECODER_REPOSITORY, DECODERS[short].file), codec, short, LICENCE)


def read_diffusion(name: str | Path, codec: Codec | None = None) -> DiffusionDecoder:
    """A decoder of any format, for conversion: a local file is not converted into the cache first."""
    path = Path(name) if exists(name) else find_diffusion(name, codec)
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


def find_pipeline(name: str | Path | None = None) -> Path:
    """The model directory for a name, whichever kind it is of."""
    return find_jukebox(name) if name is not None and is_jukebox(name) else find_model(name)


def embedded_jukebox() -> Path | None:
    """The directory of the Jukebox that comes along, if this installation holds one."""
    place = ASSETS / "jukebox"
    return place if (place / CONFIG_FILE).is_file() else None


def find_jukebox(name: str | Path | None = None) -> Path:
    """The directory of a Jukebox; foreign and remote ones are converted into the cache first."""
    if name is None or (name == EMBEDDED_JUKEBOX and not exists(name)):
        if (inside := embedded_jukebox()) is not None:
            return inside
        raise CheckpointError(
            f"no Jukebox comes along: name one, such as {JUKEBOXES[0]} or the directory of your own "
            "(recipes/jukebox_small.py makes a small one)"
        )
    if exists(name):
        path = Path(name)
        form, kind = identify(path)
        if kind != "jukebox":
            raise CheckpointError(f"{path} holds a {'MusicGen' if kind == 'model' else kind}: give a Jukebox")
        if form == "cadenza":
            return path
        return _converted_jukebox(path, path.resolve().name, Path("local"), JUKEBOX_LICENCE)
    if str(name) not in JUKEBOXES:
        remedy = f"a directory, or {' or '.join(JUKEBOXES)}"
        raise UserError(unknown(str(name), (*JUKEBOXES, EMBEDDED_JUKEBOX), remedy))
    place = Path(str(name).replace("/", "--"))
    return _made(place) or _converted_jukebox(find_on_hub(str(name)), str(name), place, JUKEBOX_LICENCE)


def write_jukebox(name: str | Path, target: str | Path) -> None:
    """Write the model directory of a Jukebox of any format; a local one is not converted into the cache first.

    `target` is new or empty. Raises UserError for any other.
    """
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists already: choose a new or empty directory")
    path = Path(name)
    if exists(name) and identify(path) != ("cadenza", "jukebox"):
        own = path.resolve().name
        convert_jukebox(parts_of(path), target, own, JUKEBOX_LICENCE, _card(own, JUKEBOX_LICENCE, path))
        return
    with atomic_directory(target) as temporary:
        shutil.copytree(find_jukebox(name), temporary, dirs_exist_ok=True)


def _converted_jukebox(source: Path, name: str, place: Path, licence: str) -> Path:
    parts = parts_of(source)
    target = _target(place, source, _fingerprint(parts.files))
    if not (target / CONFIG_FILE).is_file():
        log.info("converting %s (once) into %s", source, target)
        convert_jukebox(parts, target, name, licence, _card(name, licence, source))
    return target


def find_model(name: str | Path | None = None) -> Path:
    """The directory of a MusicGen for a name; foreign and remote models are converted into the cache first."""
    if name is None or (name == EMBEDDED and not exists(name)):
        return _embedded()
    if exists(name):
        path = Path(name)
        form, kind = identify(path)
        check_musicgen(path, kind)
        directory = path.parent if path.is_file() else path
        if form == "cadenza":
            return directory
        own = directory.resolve().name
        return _converted(directory, own, Path("local"), UNKNOWN_LICENCE)
    if is_jukebox(name):
        check_musicgen(name, "jukebox")
    if name in CODECS:
        raise CheckpointError(f"{name} is a codec, which makes no music: give the name of a whole model")
    if may_be_remote(str(name), (*MODELS, *JUKEBOXES)):
        return _from_hub(str(name))
    raise UserError(unknown(str(name), (*MODELS, *JUKEBOXES)))


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
    return _made(place) or _converted(find_musicgen(name), name, place, licence_of(name))


def _made(place: Path) -> Path | None:
    """The directory that was converted last, if any was."""
    made = sorted((_models() / place).glob(f"*-v{CONVERSION}/{CONFIG_FILE}"), key=lambda file: file.stat().st_mtime)
    return made[-1].parent if made else None


def _target(place: Path, source: Path, fingerprint: str) -> Path:
    """Where a foreign directory is converted to."""
    stem = "" if place.name != "local" else f"{source.resolve().name}-"
    return _models() / place / f"{stem}{fingerprint}-v{CONVERSION}"


def _converted(source: Path, name: str, place: Path, licence: str) -> Path:
    """The model directory made of a foreign one; made now unless this very source was converted before."""
    target = _target(place, source, _fingerprint(source.iterdir()))
    if (target / CONFIG_FILE).is_file():
        return target
    log.info("converting %s (once) into %s", source, target)
    model = read_model(source, name=name, licence=licence)
    model.save_pretrained(target, card=_card(name, licence, source))
    return target


def _models() -> Path:
    return cache_directory() / "models"


def _fingerprint(files: Iterable[Path]) -> str:
    """Identity of files by place, size and time (the Hub's cache names its files by their hash)."""
    total = hashlib.sha256()
    for file in sorted(files):
        if file.is_file():
            status = file.stat()
            total.update(f"{file.name}\0{file.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return total.hexdigest()[:16]


def _card(name: str, licence: str, source: Path) -> str:
    return (
        f"# {name}\n\nConverted by Cadenza from `{source.resolve()}`.\n\nLicence of the weights: {licence}.\n\n"
        "Delete this directory to convert again.\n"
    )
