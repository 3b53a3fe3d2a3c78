"""Takes whose rows are lost come back: a library is as much as its files.

In: a library's folder and its database. Out: rows for the files of takes that the database does not know, read from the
records in them. So a database that is damaged can be moved away, and one that was restored from an old copy catches up.
"""

import logging
import math
from pathlib import Path

import pydantic
from sqlmodel import select

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.pipelines.take import Take as Record
from cadenza.serve.studio.asked import Asked, settings_given
from cadenza.serve.studio.library import Library, index, new_id
from cadenza.serve.studio.tables import Job, Take

log = logging.getLogger("cadenza")


def adopt(library: Library) -> int:
    """Make rows for takes without one; returns for how many. Files that are no takes stay where they are."""
    with library.database.reading() as session:
        known = set(session.exec(select(Take.id)))
    found = 0
    for path in sorted(library.takes.glob("*.flac"), key=lambda path: path.stat().st_mtime):
        if path.stem in known or not path.stem.isalnum() or not path.stem.isascii():
            continue
        try:
            job, take = _read(path)
        except UserError as error:
            log.warning("%s", error)
            continue
        with library.database.writing() as session:
            session.add(job)
            session.flush()
            session.add(take)
        found += 1
    if found:
        log.warning("%d takes that the database of %s did not know are back", found, library.directory)
    return found


def asked_of(record: Record) -> Asked:
    """What was asked for, as far as a record tells it. Raises UserError for more than a studio takes."""
    settings = record.generation
    chosen = settings_given(settings.model_dump())
    try:
        return Asked(text=record.text, duration=settings.duration, seed=record.seed, model=record.model, **chosen)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"its settings are beyond what a studio takes ({where}: {first['msg']})") from error


def _read(path: Path) -> tuple[Job, Take]:
    audio = Audio.read(path)
    try:
        record = Record.from_metadata(audio.metadata)
        asked = asked_of(record)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    plain, created = asked.model_dump(mode="json"), path.stat().st_mtime
    status = "done" if record.complete else "cancelled"
    lufs = audio.loudness_lufs()
    job = Job(id=new_id(), status=status, asked=plain, created=created, started=created, finished=created)
    take = Take(
        id=path.stem,
        job=job.id,
        item=0,
        status=status,
        title=asked.title,
        text=asked.words,
        asked=plain,
        seed=record.seed,
        model=record.model,
        seconds_asked=asked.duration,
        duration=audio.duration_seconds,
        sample_rate=audio.sample_rate,
        channels=audio.channels,
        loudness_lufs=round(lufs, 2) if math.isfinite(lufs) else None,
        complete=record.complete,
        size_bytes=path.stat().st_size,
        created=created,
    )
    index(take)
    return job, take
