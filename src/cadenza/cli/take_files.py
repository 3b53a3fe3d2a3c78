"""Where takes are written: names made of what was asked, places that are tried before the work, music that is kept."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cadenza.cli.outlets import STANDARD_OUTPUT
from cadenza.errors import CadenzaError, UserError

if TYPE_CHECKING:
    from cadenza.audio import Audio


def keep(audio: "Audio", path: Path, level: dict[str, float | None]) -> None:
    """Write the file; if that cannot be (a record too long for Opus, a full disk), do not lose the music with it."""
    try:
        audio.write(path, **level)
    except CadenzaError as error:
        rescue = path.with_name(f"{path.stem}-rescued.wav")
        try:
            audio.write(rescue, **level)
        except CadenzaError:
            raise error from None
        raise type(error)(f"{error}; the music is in {rescue}") from error


def check_output(path: Path) -> None:
    """Find out before the work, not after it, that it cannot be kept."""
    from cadenza.audio import FORMATS

    if path == STANDARD_OUTPUT:
        raise UserError("-o - sends sound to standard output while it is made: add --stream, or name a file")
    try:
        folder = path if path.is_dir() else path.absolute().parent
        while not folder.exists():
            folder = folder.parent
    except OSError as error:  # longer than names can be
        raise UserError(f"{str(path)[:200]}: {error.strerror}; choose another name") from error
    if not path.is_dir() and path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: unknown extension {path.suffix!r}; use one of {', '.join(FORMATS)}")
    if not folder.is_dir():
        raise CadenzaError(f"{path}: {folder} is not a folder; choose another place")
    if not os.access(folder, os.W_OK):
        raise CadenzaError(f"{path}: cannot write into {folder}; choose another place")


def path_for(output: Path | None, name: str) -> Path:
    if output is None:
        return Path(name)
    return output / name if output.is_dir() else output


def paths_for(output: Path | None, prompts: list[str], audios: "list[Audio]") -> list[Path]:
    """One file per prompt: the one asked for, numbered if there are several, or a name made of prompt and seed."""
    names = [f"{slug(text)}-{audio.metadata['seed']}.wav" for text, audio in zip(prompts, audios, strict=True)]
    if output is None or output.is_dir() or len(prompts) == 1:
        return [path_for(output, name) for name in names]
    return [output.with_stem(f"{output.stem}-{i}") for i in range(1, len(prompts) + 1)]


def slug(text: str) -> str:
    words = re.findall(r"\w+", text.lower())
    slug = ""
    for word in words:
        if slug and len(slug) + len(word) > 40:
            break
        slug = f"{slug}-{word[:40]}" if slug else word[:40]
    return slug or "untitled"
