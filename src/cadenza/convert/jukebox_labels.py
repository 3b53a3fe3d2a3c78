"""The published lists of Jukebox' artists and genres, fetched because a user asked for them.

In: the address of the folder in which openai/jukebox keeps them. Out: the four files in the user's cache, all of them
or none. Their licence forbids commercial use, so they are not part of Cadenza.
"""

import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from huggingface_hub import constants

from cadenza.errors import CadenzaError, UserError
from cadenza.files import atomic_directory
from cadenza.jukebox.labels import LabelSet
from cadenza.pipelines.jukebox_labels import PUBLISHED, VERSIONS, fetched_folder

ADDRESS = "https://raw.githubusercontent.com/openai/jukebox/master/jukebox/data/ids"
LICENCE = "OpenAI's, not for commercial use (https://github.com/openai/jukebox/blob/master/LICENSE)"
_KINDS = ("genre", "artist")
_TIMEOUT_SECONDS = 30.0
_MOST_BYTES = 4_000_000
"""Thirty times the longest list: whatever is longer is none."""


def fetch_labels(address: str | None = None) -> Path:
    """The folder that holds the lists, fetched now, in place of older ones. `address`: of the folder, if not OpenAI's.

    Raises CadenzaError where they cannot be reached or what came is not the lists; then nothing is changed.
    """
    address = (address or ADDRESS).rstrip("/")
    remedy = f"try later, or give a folder with the files of {address} as --labels"
    folder = fetched_folder()
    with atomic_directory(folder) as temporary:
        for version in VERSIONS:
            for kind, lines in zip(_KINDS, PUBLISHED[version], strict=True):
                name = f"{version}_{kind}_ids.txt"
                try:
                    content = _content(f"{address}/{name}")
                    (temporary / name).write_bytes(content)
                    _check(content, lines)
                except (OSError, HTTPException, ValueError) as error:  # unreachable, broken off, or no list
                    cause = getattr(error, "reason", error)  # what urllib's errors are about
                    reason = (str(cause).splitlines() or [type(error).__name__])[0]
                    raise CadenzaError(f"cannot fetch {address}/{name} ({reason}): {remedy}") from error
            try:
                LabelSet.read(temporary, version)
            except UserError as error:
                reason = str(error).replace(f"{temporary}/", "")
                raise CadenzaError(f"what came from {address} is no list of labels ({reason}): {remedy}") from error
        (temporary / "README.txt").write_text(f"Fetched from {address}\nLicence: {LICENCE}\n", encoding="utf-8")
    return folder


def _content(address: str) -> bytes:
    if constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE forbids it")
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read(_MOST_BYTES + 1)
            expected = int(answer.headers.get("Content-Length") or len(content))
    except HTTPError as error:
        error.close()  # it is the answer, too
        raise
    if len(content) != expected or len(content) > _MOST_BYTES:
        raise OSError(f"{len(content)} of {expected} bytes came")
    return content


def _check(content: bytes, lines: int) -> None:
    """Raise ValueError for another number of lines than the published list has."""
    found = sum(1 for line in content.decode("utf-8").split("\n") if line.strip())
    if found != lines:
        raise ValueError(f"{found} lines came, the list has {lines}")
