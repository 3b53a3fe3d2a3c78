"""A studio: its settings, database, library, queue and engine, as the routes find them."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends
from starlette.requests import HTTPConnection

from cadenza.errors import UserError
from cadenza.pipelines.prompts import parse_text
from cadenza.serve.studio.adopting import adopt
from cadenza.serve.studio.asked import Asked, Generation
from cadenza.serve.studio.claims import claim_file
from cadenza.serve.studio.engine import EngineRoom
from cadenza.serve.studio.jobs import Queue
from cadenza.serve.studio.keys import Caller, check_share
from cadenza.serve.studio.library import Library, Missing
from cadenza.serve.studio.models import Load, Shelf
from cadenza.serve.studio.pace import Pace
from cadenza.serve.studio.players import LocalStage, Stage
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
        with ExitStack() as opened:
            opened.callback(_claim(directory))
            self.database = Database(settings.database or directory / DATABASE)
            opened.callback(self.database.close)
            if settings.database is not None:  # else the directory's lock is enough
                self.database.claim()
            self.library = Library(directory, self.database, settings.quota_gb, settings.mark)
            adopt(self.library)
            self.stage = _stage(self.shelf, settings, directory)
            opened.callback(self.stage.close)
            self.queue = Queue(self.database, settings.max_waiting, Pace())
            self._opened = opened.pop_all()
        self.drawing = CapacityLimiter(_DRAWING)
        """For threads that convert and draw: they take long, and must not keep all others from answering."""
        self.engine = EngineRoom(self.queue, self.library, self.shelf, settings, self.stage)
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
        self._opened.close()

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


def _stage(shelf: Shelf, settings: StudioSettings, directory: Path) -> Stage:
    """Where the models play: here, unless the settings name a cluster."""
    if settings.cluster is None:
        return LocalStage(shelf, settings)
    from cadenza.serve.studio.cluster import Cluster

    return Cluster(shelf, settings, directory)


def _claim(directory: Path) -> Callable[[], None]:
    """Keep others out of the library until what is returned is called, or this process ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory} cannot be used ({error.strerror}): choose another --directory") from error
    return claim_file(directory / LOCK, str(directory), "choose another --directory").release
