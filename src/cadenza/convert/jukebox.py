"""A whole Jukebox of others -> our model directory, one part at a time: peak memory is about one prior.

In: a directory of OpenAI's own files (`vqvae.pth.tar`, `prior_level_2.pth.tar`, ...), or one of `transformers`. Out: a
directory for `cadenza.pipelines.jukebox`. The weights are licensed for non-commercial use.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from cadenza.checkpoint import CONFIG_FILE, WEIGHTS_FILE, read_json, write_json
from cadenza.convert.openai_jukebox_prior import read_released
from cadenza.convert.openai_jukebox_vqvae import read_vqvae
from cadenza.convert.transformers_jukebox import NUM_LEVELS, read_transformers_prior, read_transformers_vqvae
from cadenza.errors import CheckpointError
from cadenza.files import atomic_directory
from cadenza.jukebox.prior import Prior
from cadenza.jukebox.vqvae import JukeboxVQVAE
from cadenza.pipelines.jukebox import JukeboxConfig
from cadenza.pipelines.jukebox_labels import LABELS_FILE, TOKENIZER_FILES, LabelBook

VQVAE_FILE = "vqvae.pth.tar"
PRIOR_FILES = "prior_level_{}.pth.tar"
_SHARED = "5b"
"""OpenAI's cache has a folder per model; what is the same in all of them lies in that of 5b."""

log = logging.getLogger("cadenza")


class JukeboxParts(NamedTuple):
    """What a foreign directory holds, each part to be read on its own."""

    files: tuple[Path, ...]
    vqvae: Callable[[], JukeboxVQVAE]
    priors: Mapping[int, Callable[[JukeboxVQVAE], Prior]]
    labels: LabelBook | None


def is_openai(directory: Path) -> bool:
    """Whether files of OpenAI's lie in a directory."""
    return any((directory / name).is_file() for name in (VQVAE_FILE, *_prior_files()))


def _prior_files() -> list[str]:
    return [PRIOR_FILES.format(level) for level in range(NUM_LEVELS)]


def openai_parts(directory: Path) -> JukeboxParts:
    """The parts in OpenAI's files; those that a folder of its cache lacks are looked for in that of 5b beside it.

    Raises CheckpointError where there is no VQ-VAE or no prior.
    """
    found = {}
    for name in (VQVAE_FILE, *_prior_files()):
        for folder in (directory, directory.resolve().parent / _SHARED):
            if (folder / name).is_file():
                found[name] = folder / name
                break
    if VQVAE_FILE not in found:
        raise CheckpointError(f"{directory} lacks {VQVAE_FILE}, without which codes are no sound: put it there")
    levels = [level for level, name in enumerate(_prior_files()) if name in found]
    if not levels:
        raise CheckpointError(f"{directory} lacks {PRIOR_FILES.format(NUM_LEVELS - 1)}: put it there")
    missing = [name for name in _prior_files() if name not in found]
    if missing:
        log.warning("%s lacks %s: those levels cannot be made", directory, ", ".join(missing))

    def reader(level: int) -> Callable[[JukeboxVQVAE], Prior]:
        path = found[PRIOR_FILES.format(level)]
        return lambda vqvae: read_released(path, level, vqvae.config.downs)

    return JukeboxParts(
        tuple(found.values()), lambda: read_vqvae(found[VQVAE_FILE]), {level: reader(level) for level in levels}, None
    )


def transformers_parts(directory: Path) -> JukeboxParts:
    """The parts in a directory of transformers, with its lists of labels."""
    names = (CONFIG_FILE, f"{WEIGHTS_FILE}*", "model-*.safetensors", "pytorch_model*", *TOKENIZER_FILES)
    files = sorted(path for name in names for path in directory.glob(name))

    def reader(level: int) -> Callable[[JukeboxVQVAE], Prior]:
        return lambda vqvae: read_transformers_prior(directory, level, vqvae.config.downs)

    labels = all((directory / name).is_file() for name in TOKENIZER_FILES)
    return JukeboxParts(
        tuple(files),
        lambda: read_transformers_vqvae(directory),
        {level: reader(level) for level in range(NUM_LEVELS)},
        LabelBook.read(directory) if labels else None,
    )


def parts_of(directory: str | Path) -> JukeboxParts:
    """The parts of a directory of either kind. CheckpointError for any other."""
    directory = Path(directory)
    if is_openai(directory):
        return openai_parts(directory)
    if (directory / CONFIG_FILE).is_file() and read_json(directory / CONFIG_FILE).get("model_type") == "jukebox":
        return transformers_parts(directory)
    raise CheckpointError(f"{directory} holds no Jukebox of OpenAI or transformers: give the directory of its files")


def convert_jukebox(parts: JukeboxParts, directory: str | Path, name: str, licence: str, card: str) -> None:
    """Write the model directory of foreign parts, each of which is read, written and let go.

    Tensors keep the precision in which they are stored. Raises CheckpointError for parts that are broken, incomplete
    or of another model; then nothing is left.
    """
    with atomic_directory(directory) as temporary:
        vqvae = parts.vqvae()
        vqvae.save_pretrained(temporary / "vqvae")
        for level, read in parts.priors.items():
            log.info("converting the prior of level %d", level)
            read(vqvae).save_pretrained(temporary / f"prior_{level}")
        if parts.labels is not None:
            parts.labels.save(temporary / LABELS_FILE)
        config = JukeboxConfig(name=name, licence=licence)
        write_json(temporary / CONFIG_FILE, config.model_dump(mode="json"))
        (temporary / "README.md").write_text(card, encoding="utf-8")
