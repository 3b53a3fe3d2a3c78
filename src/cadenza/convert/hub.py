"""Files of models on the Hugging Face Hub: from the cache of this machine, else downloaded into it.

In: a repository such as `facebook/musicgen-small`. Out: a local directory that holds the files of one known format.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from cadenza.checkpoint import CONFIG_FILE, WEIGHTS_FILE, read_json
from cadenza.convert.audiocraft import CODEC_FILE, LM_FILE, Part
from cadenza.convert.audiocraft_style import PICKLED_WEIGHTS
from cadenza.convert.official import ENCODERS
from cadenza.errors import CadenzaError, CheckpointError
from cadenza.pipelines.jukebox_labels import TOKENIZER_FILES

_SHARDED = {name: f"{name}.index.json" for name in (WEIGHTS_FILE, PICKLED_WEIGHTS)}
_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


def is_repository(name: str) -> bool:
    """Whether this can be a repository's name (`owner/model`)."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def find_musicgen(repository: str) -> Path:
    """The directory of a MusicGen: in a format that is cached, else audiocraft's (half the size), else the other."""
    return _find(repository, ("audiocraft", "transformers"))


def find_jukebox(repository: str) -> Path:
    """The directory of a Jukebox in the format of transformers, with its lists of labels."""
    return _find(repository, ("jukebox", "jukebox, pickled"))


def find_part(name: str, part: Part) -> Path:
    """The directory (or file) of an encoder or codec that a checkpoint names: a local path, or a repository."""
    local = Path(name)
    if local.exists():
        return local
    repository = ENCODERS.get(name, name)
    if not is_repository(repository):
        raise CheckpointError(
            f"the checkpoint needs the model {name!r}, which is neither a path nor a repository's name"
        )
    return _find(repository, ("style encoder", "style encoder, pickled") if part == "style encoder" else (part,))


def find_file(repository: str, file: str) -> Path:
    """One file of a repository."""
    directory = _cached(repository, (file,)) or _download(repository, (file,))
    if directory is None:
        raise CheckpointError(f"{repository} on the Hugging Face Hub holds no {file}: check the name")
    return directory / file


_FORMATS: dict[str, tuple[str, ...]] = {
    "audiocraft": (LM_FILE, CODEC_FILE),
    "transformers": (CONFIG_FILE, WEIGHTS_FILE, "tokenizer.json"),
    "text encoder": (CONFIG_FILE, WEIGHTS_FILE, "tokenizer.json"),
    "codec": (CONFIG_FILE, WEIGHTS_FILE),
    "style encoder": (CONFIG_FILE, WEIGHTS_FILE),
    "style encoder, pickled": (CONFIG_FILE, PICKLED_WEIGHTS),
    "jukebox": (CONFIG_FILE, WEIGHTS_FILE, *TOKENIZER_FILES),
    "jukebox, pickled": (CONFIG_FILE, PICKLED_WEIGHTS, *TOKENIZER_FILES),
}
_OPTIONAL = ("generation_config.json", "preprocessor_config.json")


def _find(repository: str, formats: Iterable[str]) -> Path:
    formats = tuple(formats)
    for kind in formats:
        if (directory := _cached(repository, _FORMATS[kind])) is not None:
            return directory
    for kind in formats:
        if (directory := _download(repository, _FORMATS[kind])) is not None:
            return directory
    wanted = " or ".join(", ".join(_FORMATS[kind]) for kind in formats)
    raise CheckpointError(f"{repository} on the Hugging Face Hub holds no model that can be read (expected {wanted})")


def _cached(repository: str, files: Iterable[str]) -> Path | None:
    """The cached directory, if all files are there."""
    from huggingface_hub import try_to_load_from_cache

    directory = None
    for file in files:
        found = try_to_load_from_cache(repository, file)
        if file in _SHARDED and not isinstance(found, str):
            found = try_to_load_from_cache(repository, _SHARDED[file])
            shards = _shards(Path(found)) if isinstance(found, str) else []
            if not all(isinstance(try_to_load_from_cache(repository, shard), str) for shard in shards):
                return None
        if not isinstance(found, str):
            return None
        directory = Path(found).parent
    return directory


def _download(repository: str, files: Iterable[str]) -> Path | None:
    """Download with progress; None if the repository lacks one of the files."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    def get(file: str) -> Path | None:
        try:
            return Path(hf_hub_download(repository, file))
        except LocalEntryNotFoundError as error:  # an EntryNotFoundError too, but it says that the Hub is out of reach
            raise CadenzaError(
                f"cannot download {repository}: the Hugging Face Hub cannot be reached; check the network, or give the "
                "path of a local copy"
            ) from error
        except EntryNotFoundError:
            return None
        except GatedRepoError as error:
            raise CheckpointError(
                f"{repository} asks for permission: run `hf auth login` with an account that has it"
            ) from error
        except RepositoryNotFoundError as error:
            raise CheckpointError(f"no model {repository} on the Hugging Face Hub: check the name") from error
        except Exception as error:  # connection, time-out, server, full disk: each library below has its own classes
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise CadenzaError(
                f"cannot download {repository}: {reason}; check network and disk, or give the path of a local copy"
            ) from error

    directory = None
    for file in files:
        found = get(file)
        if found is None and file in _SHARDED and (found := get(_SHARDED[file])) is not None:
            for shard in _shards(found):
                if get(shard) is None:
                    return None
        if found is None:
            return None
        directory = found.parent
    for file in _OPTIONAL:
        get(file)
    return directory


def _shards(index: Path) -> list[str]:
    return sorted({str(file) for file in read_json(index).get("weight_map", {}).values()})
