"""Recordings that people bring: a tune to follow, music to go on from, a take whose settings they want back.

In: the content of a file, of whatever kind. Out: a FLAC in the library, or the record in it. Nothing here is called by
a name that a client gave; `serve.foreign` does the decoding, in a process of its own.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pydantic
from sqlmodel import col, select

from cadenza.errors import UserError
from cadenza.files import atomic_file, refusal
from cadenza.pipelines.take import Take
from cadenza.serve.foreign import Decoded, decode
from cadenza.serve.studio.asked import OVER, Asked
from cadenza.serve.studio.library import Library, Missing, new_id
from cadenza.serve.studio.tables import Job, Upload

MOST_NAME = 120


def shown_name(name: str | None) -> str:
    """What a client calls a file, fit to be shown: no folders, nothing that does not print. It never becomes a path."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:MOST_NAME].strip() or "recording"


def keep_upload(library: Library, file: BinaryIO, name: str | None, key: str, most_seconds: float) -> Upload:
    """Decode a recording into the library.

    Raises NotAudio, TooLong and UserError for what is not taken, Full at the quota.
    """
    library.check_room()
    upload = new_id()
    path = library.upload_path(upload)
    with _on_disk(library, file) as source, atomic_file(path) as target:
        made = decode(source, target, most_seconds)
    row = Upload(
        id=upload,
        key=key,
        name=shown_name(name),
        seconds=made.seconds,
        sample_rate=made.sample_rate,
        channels=made.channels,
        size_bytes=path.stat().st_size,
        created=time.time(),
    )
    try:
        with library.database.writing() as session:
            session.add(row)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return row


def find_upload(library: Library, upload: str) -> Upload:
    """What is known of a recording. Raises Missing."""
    with library.database.reading() as session:
        row = session.get(Upload, upload)
    if row is None:
        raise Missing(f"there is no upload {upload:.40}: it may have been deleted, or be too old")
    return row


def upload_file(library: Library, upload: str) -> Path:
    """Its FLAC. Raises Missing."""
    path = library.upload_path(find_upload(library, upload).id)
    if not path.is_file():
        raise Missing(f"upload {upload:.40} has no sound any more: bring the recording again")
    return path


def expire_uploads(library: Library, keep_days: float) -> int:
    """Delete recordings that are older; returns how many.

    What a take listens to that is still to be made stays until it is. A finished take has in its own file what it
    heard, and can be made again without.
    """
    with library.database.writing() as session:
        old = session.exec(select(Upload).where(col(Upload.created) < time.time() - keep_days * 86400)).all()
        waiting = session.exec(select(Job.asked).where(col(Job.status).not_in(OVER))).all() if old else []
        needed = {asked.get(name) for asked in waiting for name in ("melody", "prompt")}
        gone = [row for row in old if row.id not in needed]
        for row in gone:  # the file first: a row without one is found again the next time, a file without one is not
            library.upload_path(row.id).unlink(missing_ok=True)
            session.delete(row)
    return len(gone)


def delete_upload(library: Library, upload: str) -> None:
    """Raises Missing."""
    with library.database.writing() as session:
        row = session.get(Upload, upload)
        if row is None:
            raise Missing(f"there is no upload {upload:.40}")
        session.delete(row)
    library.upload_path(upload).unlink(missing_ok=True)


def read_take(library: Library, file: BinaryIO, most_seconds: float) -> tuple[Asked, Decoded]:
    """What was asked for in a file that Cadenza wrote. Raises UserError for a file of anybody else."""
    with _on_disk(library, file) as source, _vanishing(library) as target:
        made = decode(source, target, most_seconds)
    record = Take.from_metadata(made.metadata)
    settings = record.generation
    wanted: dict[str, Any] = {
        "text": record.text,
        "duration": settings.duration,
        "seed": record.seed,
        "guidance": settings.guidance,
        "temperature": settings.temperature,
        "top_k": settings.top_k,
        "top_p": settings.top_p,
        "model": record.model,
    }
    try:
        return Asked.model_validate(wanted), made
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"its settings are beyond what this studio takes ({where}: {first['msg']})") from error


@contextmanager
def _on_disk(library: Library, file: BinaryIO) -> Iterator[Path]:
    """The content as a file that is gone afterwards."""
    with _vanishing(library) as path:
        try:
            with path.open("wb") as out:
                file.seek(0)
                shutil.copyfileobj(file, out)
        except OSError as error:
            raise refusal(library.uploads, error) from error
        yield path


@contextmanager
def _vanishing(library: Library) -> Iterator[Path]:
    """A place for a file; what a run that is killed leaves there, the library clears away when it is opened."""
    path = library.uploads / f".{new_id()}"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
