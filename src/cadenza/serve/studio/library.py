"""The library: takes in files that anybody can play, and what is known about them in the database.

In: audio that was made. Out: a FLAC per take, with the record that makes it again (`pipelines.take`), its peaks beside
it, and copies in other formats made when they are asked for. Files are called by ids that are drawn here, never by
anything that a client says; each appears whole or not at all.
"""

import base64
import json
import math
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from sqlalchemy import func, tuple_
from sqlmodel import col, select

from cadenza import __version__
from cadenza.audio import Audio
from cadenza.errors import CadenzaError, UserError
from cadenza.files import atomic_file
from cadenza.serve.studio.asked import OVER, TakeChange
from cadenza.serve.studio.pictures import peaks, spectrogram
from cadenza.serve.studio.tables import Database, Job, Take, Upload

Format = Literal["wav", "flac", "mp3", "opus"]
Sort = Literal["newest", "oldest", "title", "longest", "shortest"]
GB = 10**9
PROVENANCE = f"made by a machine, Cadenza {__version__} (IPTC digital source type: trainedAlgorithmicMedia)"
"""The mark, where the studio is told to set it."""
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_COPIES_BYTES = GB
"""Copies in other formats, above which the oldest are deleted."""


class Missing(UserError):
    """There is nothing of this id."""


class Busy(UserError):
    """It cannot be done now, but later."""


class Full(CadenzaError):
    """There is no room for more."""


class Kept(NamedTuple):
    """What there is to know of a take that was written."""

    duration: float
    sample_rate: int
    channels: int
    loudness_lufs: float | None
    complete: bool
    size_bytes: int


def new_id() -> str:
    """A name that nobody can guess, for a file or a row."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


class Library:
    """The takes and uploads of a directory. Its methods may be called from any thread."""

    def __init__(self, directory: Path, database: Database, quota_gb: float, mark: bool = False) -> None:
        self.directory, self.database = directory, database
        self.quota_bytes, self.mark = quota_gb * GB, mark
        self.takes, self.uploads, self.copies = (directory / name for name in ("takes", "uploads", "copies"))
        self._copying = threading.Lock()
        shutil.rmtree(self.copies, ignore_errors=True)
        for folder in (self.takes, self.uploads, self.copies):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"{folder} cannot be made ({error.strerror}): choose another directory") from error
            for rest in folder.glob(".*"):  # half a file of a run that was killed
                with suppress(OSError):
                    rest.unlink()

    # ---- files -----------------------------------------------------------------------------------------------------

    def take_path(self, take: str) -> Path:
        return self.takes / f"{_checked(take)}.flac"

    def upload_path(self, upload: str) -> Path:
        return self.uploads / f"{_checked(upload)}.flac"

    def keep(self, take: str, audio: Audio) -> Kept:
        """Write a take, as `cadenza generate` writes it. Raises CadenzaError where the disk refuses."""
        if self.mark:
            audio = replace(audio, metadata=audio.metadata | {"provenance": PROVENANCE})
        measured = audio.loudness_lufs()
        level = audio.normalize(measured_lufs=measured)
        path = level.write(self.take_path(take), loudness_lufs=None)
        self._draw(take, level)
        # The limiter changes loudness as much as energy, to a tenth of a decibel: measuring twice costs too much.
        before, after = (float(np.square(one.samples, dtype=np.float64).sum()) for one in (audio, level))
        lufs = measured + 10 * math.log10(after / before) if math.isfinite(measured) else measured
        return Kept(
            level.duration_seconds,
            level.sample_rate,
            level.channels,
            round(lufs, 2) if math.isfinite(lufs) else None,
            bool(audio.metadata.get("complete", True)),
            path.stat().st_size + path.with_suffix(".json").stat().st_size,
        )

    def sound(self, name: str) -> Audio:
        """A take or an upload, to be listened to by a model. Raises Missing."""
        for path in (self.take_path(name), self.upload_path(name)):
            if path.is_file():
                return Audio.read(path)
        raise Missing(f"there is no take and no upload {name}: it may have been deleted, or be too old")

    def has_sound(self, name: str) -> bool:
        return self.take_path(name).is_file() or self.upload_path(name).is_file()

    def file(self, take: str, form: Format) -> Path:
        """The take in a format; a copy is made when it is first asked for. Raises Missing."""
        source = self.take_path(take)
        if not source.is_file():
            raise Missing(f"take {take} has no sound")
        if form == "flac":
            return source
        copy = self.copies / f"{take}.{form}"
        with self._copying:
            if not copy.is_file():
                audio = Audio.read(source)
                try:
                    audio.write(copy, loudness_lufs=None)
                except UserError:  # these formats hold short records only, and this one has a recording in it
                    short = {"comment": f"Cadenza, {audio.metadata.get('model', '')}: the FLAC says how it was made"}
                    replace(audio, metadata=short).write(copy, loudness_lufs=None)
                self._thin_copies()
        return copy

    def picture(self, take: str) -> bytes:
        """The spectrogram of a take, as PNG. Raises Missing."""
        copy = self.copies / f"{_checked(take)}.png"
        if not copy.is_file():
            source = self.take_path(take)
            if not source.is_file():
                raise Missing(f"take {take} has no sound")
            content = spectrogram(Audio.read(source))
            with atomic_file(copy) as temporary:
                temporary.write_bytes(content)
        return copy.read_bytes()

    def peaks(self, take: str) -> bytes:
        """JSON with the lowest and highest sample of each column of a take. Raises Missing."""
        source = self.take_path(take)
        if not source.is_file():
            raise Missing(f"take {take} has no sound")
        if not source.with_suffix(".json").is_file():
            self._draw(take, Audio.read(source))
        return source.with_suffix(".json").read_bytes()

    def _draw(self, take: str, audio: Audio) -> None:
        with atomic_file(self.take_path(take).with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps({"peaks": peaks(audio), "seconds": audio.duration_seconds}), "ascii")

    def _thin_copies(self) -> None:
        files = sorted(self.copies.iterdir(), key=lambda path: path.stat().st_mtime)
        size = sum(path.stat().st_size for path in files)
        for path in files[:-1]:
            if size > _COPIES_BYTES:
                size -= path.stat().st_size
                path.unlink(missing_ok=True)

    # ---- rows ------------------------------------------------------------------------------------------------------

    def take(self, take: str) -> Take:
        """Raises Missing."""
        with self.database.reading() as session:
            found = session.get(Take, take)
        if found is None:
            raise Missing(f"there is no take {take:.40}")
        return found

    def page(
        self,
        query: str = "",
        starred: bool | None = None,
        tag: str | None = None,
        model: str | None = None,
        sort: Sort = "newest",
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[Sequence[Take], str | None]:
        """Takes with sound, and the cursor of those behind them. Every word of `query` must occur."""
        key, down = {
            "newest": (col(Take.created), True),
            "oldest": (col(Take.created), False),
            "title": (func.lower(col(Take.title)), False),
            "longest": (col(Take.duration), True),
            "shortest": (col(Take.duration), False),
        }[sort]
        place = tuple_(key, col(Take.id))
        wanted = select(Take, key).where(col(Take.duration) > 0)
        for word in query.lower().split():
            wanted = wanted.where(col(Take.words).contains(word, autoescape=True))
        if starred is not None:
            wanted = wanted.where(col(Take.starred) == starred)
        if tag:
            wanted = wanted.where(col(Take.tag_lines).contains(f"\n{tag.lower()}\n", autoescape=True))
        if model:
            wanted = wanted.where(col(Take.model) == model)
        if cursor:
            last = read_cursor(cursor, str if sort == "title" else float)
            wanted = wanted.where(place < last if down else place > last)
        order = (key.desc(), col(Take.id).desc()) if down else (key, col(Take.id))
        with self.database.reading() as session:
            rows = session.exec(wanted.order_by(*order).limit(limit + 1)).all()
        more = len(rows) > limit
        rows = rows[:limit]
        return [row[0] for row in rows], write_cursor(rows[-1][1], rows[-1][0].id) if more else None

    def change(self, take: str, change: TakeChange) -> Take:
        """Star, tag or rename. Raises Missing."""
        with self.database.writing() as session:
            found = session.get(Take, take)
            if found is None:
                raise Missing(f"there is no take {take:.40}")
            if change.starred is not None:
                found.starred = change.starred
            if change.tags is not None:
                found.tags = list(dict.fromkeys(change.tags))
            if change.title is not None:
                found.title = change.title or found.title
            index(found)
            session.add(found)
        return found

    def delete(self, take: str) -> None:
        """A take, its files, and with the last of them its generation. Raises Missing, or Busy while it is made."""
        with self.database.writing() as session:
            found = session.get(Take, take)
            if found is None:
                raise Missing(f"there is no take {take:.40}")
            if found.status not in OVER:
                raise Busy(f"take {take} is still to be made: cancel it first")
            others = session.exec(select(Take.id).where(Take.job == found.job, Take.id != take)).first()
            session.delete(found)
            session.flush()
            job = None if others else session.get(Job, found.job)
            if job is not None:
                session.delete(job)
            sound = self.take_path(take)  # before its row, or a run that is killed here would find it again
            for path in (sound, sound.with_suffix(".json"), *self.copies.glob(f"{take}.*")):
                path.unlink(missing_ok=True)

    # ---- room ------------------------------------------------------------------------------------------------------

    def size_bytes(self) -> int:
        with self.database.reading() as session:
            takes = session.exec(select(func.sum(Take.size_bytes))).one()
            uploads = session.exec(select(func.sum(Upload.size_bytes))).one()
        return int(takes or 0) + int(uploads or 0)

    def check_room(self) -> None:
        """Raises Full at the quota: nothing is ever deleted to make room."""
        size = self.size_bytes()
        if size >= self.quota_bytes:
            raise Full(
                f"the library holds {size / GB:.2f} GB of {self.quota_bytes / GB:g} GB: delete takes, or allow more"
            )

    def expire(self, keep_days: float) -> int:
        """Delete takes without a star that are older; returns how many."""
        before = time.time() - keep_days * 86400
        old = select(Take.id).where(
            col(Take.created) < before, col(Take.starred).is_(False), col(Take.status).in_(OVER)
        )
        with self.database.reading() as session:
            takes = session.exec(old).all()
        for take in takes:
            with suppress(Missing, Busy):
                self.delete(take)
        return len(takes)


def index(take: Take) -> None:
    """Bring what is searched in up to date with what the take says."""
    take.tag_lines = "".join(f"\n{tag.lower()}" for tag in take.tags) + "\n"
    take.words = " ".join((take.title, take.text, *take.tags)).lower()


def write_cursor(*last: Any) -> str:
    """Where a page ended, for the next one."""
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode().rstrip("=")


def read_cursor(cursor: str, kind: type[str] | type[float]) -> tuple[Any, str]:
    """Raises UserError for what `write_cursor` did not write."""
    try:
        value, name = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(value, kind | int if kind is float else kind) or not isinstance(name, str):
            raise ValueError
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{cursor:.40} is no cursor: take `next` of the page before") from error
    return value, name


def _checked(name: str) -> str:
    assert name.isascii() and name.isalnum(), f"{name!r} is no id"
    return name
