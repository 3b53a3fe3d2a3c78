"""A studio: its settings, database, library, queue and engine, as the routes find them."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from anyio import CapacityLimiter
from fastapi import Depends
from starlette.requests import HTTPConnection

from cadenza.errors import UserError
from cadenza.pipelines.prompts import parse_text
from cadenza.serve.studio.adopting import adopt
from cadenza.serve.studio.asked import Asked, Generation
from cadenza.serve.studio.engine import EngineRoom
from cadenza.serve.studio.jobs import Queue
from cadenza.serve.studio.keys import Caller, check_share
from cadenza.serve.studio.library import Library, Missing
from cadenza.serve.studio.models import Load, Shelf
from cadenza.serve.studio.pace import Pace
from cadenza.serve.studio.settings import StudioSettings
from cadenza.serve.studio.tables import Database, Take

DATABASE = "studio.sqlite"
LOCK = "studio.lock"
NOBODY = Caller()
"""Somebody at this machine."""
_DEFAULT_SECONDS = 10.0
_DRAWING = 2


class Studio:
    """Everything behind the routes. Raises UserError for a library that cannot be opened and a model that is not there.

    One server at a time may use a library: two would make the same music twice.
    """

    def __init__(self, settings: StudioSettings, load: Load | None = None) -> None:
        self.settings = settings
        self.shelf = Shelf(settings, load)
        directory = settings.directory.expanduser().absolute()
        self._lock = _claim(directory)
        try:
            self.database = Database(settings.database or directory / DATABASE)
            try:
                self.library = Library(directory, self.database, settings.quota_gb, settings.mark)
                adopt(self.library)
                self.queue = Queue(self.database, settings.max_waiting, Pace())
            except BaseException:
                self.database.close()
                raise
        except BaseException:
            self._lock()
            raise
        self.drawing = CapacityLimiter(_DRAWING)
        """For threads that convert and draw: they take long, and must not keep all others from answering."""
        self.engine = EngineRoom(self.queue, self.library, self.shelf, settings)
        self.opened = time.time()

    def start(self) -> None:
        self.engine.start()

    def leave(self) -> None:
        """The server is about to end: nothing more is begun, and whoever listens is let go."""
        self.queue.close()

    def stop(self) -> None:
        """End: what is being made is made again next time."""
        self.engine.stop()
        self.close()

    def close(self) -> None:
        self.database.close()
        self._lock()

    def submit(self, asked: Asked, caller: Caller = NOBODY) -> Generation:
        """Accept music, checked as far as it can be at once. Raises UserError, and Full at the quota."""
        offer = self.shelf.find(asked.model)
        self.shelf.check(offer, asked)
        for name in (asked.melody, asked.prompt):
            if name is not None and not self.library.has_sound(name):
                raise Missing(f"there is no take and no upload {name}: it may have been deleted, or be too old")
        if asked.prompt is not None and "duration" not in asked.model_fields_set:
            length = self.library.sound(asked.prompt).duration_seconds
            asked = asked.model_copy(
                update={"duration": _DEFAULT_SECONDS + min(length, asked.prompt_seconds or length)}
            )
        if asked.duration > self.settings.max_duration_seconds:
            raise UserError(
                f"{asked.duration:g} s are more than this studio makes at once: ask for up to "
                f"{self.settings.max_duration_seconds:g} s"
            )
        last = parse_text(asked.text)[0][0][-1].start_seconds
        if last >= asked.duration:
            raise UserError(
                f"the timeline has a part at {last:g} s, but the piece ends at {asked.duration:g} s: make it longer"
            )
        if asked.plan is not None:
            asked.plan.plan()
        self._check_share(asked, caller)
        return self.queue.submit(asked, caller.key or "", offer.name)

    def again(self, take: Take, caller: Caller = NOBODY) -> Generation:
        """Render a take once more, as its record says. Raises Missing where it has no sound."""
        if not self.library.has_sound(take.id):
            raise Missing(f"take {take.id} has no sound, and so no record: ask for it anew")
        asked = Asked.model_validate(take.asked | {"tags": take.tags})
        self._check_share(asked, caller)
        return self.queue.submit(asked, caller.key or "", self.shelf.find(take.model).name, source=take)

    def _check_share(self, asked: Asked, caller: Caller) -> None:
        """Whether there is room for it, in the library and in what the key may ask for."""
        self.library.check_room()
        if caller.key is not None:
            check_share(caller, *self.queue.share(caller.key), asked.duration * asked.count)


def studio_of(connection: HTTPConnection) -> Studio:
    studio: Studio = connection.app.state.studio
    return studio


def caller_of(connection: HTTPConnection) -> Caller:
    """Who asks, as the gate has found out."""
    caller: Caller = getattr(connection.state, "caller", Caller())
    return caller


StudioOf = Annotated[Studio, Depends(studio_of)]
CallerOf = Annotated[Caller, Depends(caller_of)]


def _claim(directory: Path) -> Callable[[], None]:
    """Keep others out of the library until what is returned is called, or this process ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK).open("w")
    except OSError as error:
        raise UserError(f"{directory} cannot be used ({error.strerror}): choose another --directory") from error
    try:
        _lock_file(file)
    except OSError as error:
        file.close()
        raise UserError(f"another studio uses {directory}: end it, or choose another --directory") from error
    return file.close


def _lock_file(file: Any) -> None:
    with suppress(ImportError):
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
