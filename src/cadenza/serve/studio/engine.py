"""The engine room: who makes what is asked for, and on which models.

In: pieces from the queue. Out: sound for whoever listens, and takes in the library. Each loaded model has a
`MusicScheduler`, whose thread computes; one thread here hands pieces out, and one per piece carries its sound away, so
that a listener never keeps the model waiting. A model is loaded beside the music and not before it is needed.
"""

import gc
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cadenza.audio import Audio
from cadenza.engine.memory import orderly_shortage
from cadenza.errors import CadenzaError
from cadenza.pipelines.musicgen import MusicGen
from cadenza.pipelines.placement import choose_device
from cadenza.pipelines.scheduling import MusicScheduler, Rendering
from cadenza.serve.studio.asked import Asked, settings_given
from cadenza.serve.studio.jobs import Queue
from cadenza.serve.studio.library import Busy, Library
from cadenza.serve.studio.models import Shelf
from cadenza.serve.studio.settings import StudioSettings
from cadenza.serve.studio.uploads import expire_uploads
from cadenza.serve.studio.work import Piece

log = logging.getLogger("cadenza")

_EXPIRE_SECONDS = 3600.0
_AHEAD = 1
"""Pieces that are prepared while all places are taken, so that no place stays empty."""


@dataclass
class Room:
    """A model that is loaded, being loaded, or that could not be."""

    name: str
    music: MusicGen | None = None
    scheduler: MusicScheduler | None = None
    error: CadenzaError | None = None
    loaded: threading.Event = field(default_factory=threading.Event)
    """It is, or it cannot be."""
    pieces: list[Piece] = field(default_factory=list)


class EngineRoom:
    """Makes what the queue holds, from `start` until `stop`."""

    def __init__(self, queue: Queue, library: Library, shelf: Shelf, settings: StudioSettings) -> None:
        self.queue, self.library, self.shelf, self.settings = queue, library, shelf, settings
        self.places = settings.max_requests
        self._lock = threading.RLock()
        self._rooms: dict[str, Room] = {}
        self._threads: set[threading.Thread] = set()
        self._expires = 0.0
        self._dispatcher = threading.Thread(target=self._run, name="studio", daemon=True)

    # ---- models ----------------------------------------------------------------------------------------------------

    def load(self, name: str) -> Room:
        """Begin to load a model, if nobody has; wait for `loaded` of what is returned."""
        with self._lock:
            room = self._rooms.get(name)
            if room is None or room.error is not None:
                room = self._rooms[name] = Room(name)
                threading.Thread(target=self._open, args=(room,), name="studio-load", daemon=True).start()
            return room

    def unload(self, name: str) -> None:
        """Forget a model. Raises Busy while it plays."""
        with self._lock:
            room = self._rooms.get(name)
            if room is None:
                return
            if room.pieces or not room.loaded.is_set():
                raise Busy(f"{name} is playing or being loaded: wait until it is through, or cancel what it makes")
            del self._rooms[name]
        if room.scheduler is not None:
            room.scheduler.close()
        room.music = room.scheduler = None
        gc.collect()
        self.queue.bell.ring()

    def state(self, name: str) -> tuple[bool, bool, str | None]:
        """Whether a model is loaded, whether it is being loaded, and why it could not be."""
        with self._lock:
            room = self._rooms.get(name)
            if room is None:
                return False, False, None
            return room.music is not None, not room.loaded.is_set(), None if room.error is None else str(room.error)

    def _open(self, room: Room) -> None:
        try:
            with orderly_shortage(choose_device(self.settings.device), f"the model {room.name}"):
                music = self.shelf.open(room.name)
                scheduler = music.scheduler(self.places)
            self.shelf.learn(room.name, music)
            with self._lock:
                room.music, room.scheduler = music, scheduler
                if self.queue.closing:
                    scheduler.close()
        except CadenzaError as error:
            room.error = error
        except Exception as error:
            room.error = CadenzaError(f"{room.name} could not be loaded: {_told(error, room.name)}")
        room.loaded.set()
        with self.queue.changed:
            self.queue.changed.notify_all()
        self.queue.bell.ring()

    # ---- handing out -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load the studio's own model and begin with what waits."""
        self.load(self.shelf.default)
        self._dispatcher.start()

    def stop(self) -> None:
        """End at once: what is being made is queued again, for the next time."""
        self.queue.close()
        self._dispatcher.join()
        with self._lock:
            rooms, threads = list(self._rooms.values()), list(self._threads)
        for room in rooms:
            if room.scheduler is not None:
                room.scheduler.close()
        for thread in threads:  # not those that load: a download may take an hour, and leaves nothing half done
            thread.join()
        self.queue.rest()

    def facts(self) -> dict[str, Any]:
        """Figures for those who watch over the studio."""
        waiting, running = self.queue.load()
        with self._lock:
            loaded = [name for name, room in self._rooms.items() if room.music is not None]
        return {
            "places": self.places,
            "waiting": waiting,
            "running": running,
            "models": loaded,
            "rates": self.queue.pace.rates(),
            "seconds_made_total": self.queue.pace.seconds_made,
        }

    def _run(self) -> None:
        while not self.queue.closing:
            self._expire()
            piece = self.queue.next(self._ready)
            if piece is None:
                continue
            with self._lock:
                room = self._rooms[piece.take.model]
                room.pieces.append(piece)
            self._seat(room)
            self._spawn(room, piece)

    def _expire(self) -> None:
        """Now and then: let go of takes and uploads that are older than they are to be kept."""
        now = time.monotonic()
        if now < self._expires:
            return
        self._expires = now + _EXPIRE_SECONDS
        for what, days, expire in (
            ("takes", self.settings.keep_days, self.library.expire),
            ("uploads", self.settings.keep_uploads_days, partial(expire_uploads, self.library)),
        ):
            if days is None:
                continue
            try:
                log.info("%d %s were older than %g days", expire(days), what, days)
            except CadenzaError as error:
                log.error("%s", error)

    def _ready(self, model: str) -> bool:
        """Whether a piece of this model can be begun; if it only has to be loaded, that is begun."""
        with self._lock:
            room = self._rooms.get(model)
            if room is None:
                room = self.load(model)
            return room.loaded.is_set() and len(room.pieces) < self.places + _AHEAD

    def _seat(self, room: Room) -> None:
        """The first ones play, those behind them are prepared."""
        with self._lock:
            seated = room.pieces[: self.places]
        for piece in seated:
            self.queue.begin(piece)

    def _spawn(self, room: Room, piece: Piece) -> None:
        def run() -> None:
            try:
                self._make(room, piece)
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, name="studio-take", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    # ---- one piece -------------------------------------------------------------------------------------------------

    def _make(self, room: Room, piece: Piece) -> None:
        """From its beginning to its place in the library, whatever happens; what there is of it is kept."""
        kept, record, error = None, dict[str, Any](), None
        try:
            for chunk in self._play(room, piece):
                record = chunk.metadata
                if not chunk.num_samples:
                    continue
                piece.sound.push(chunk.samples, chunk.sample_rate)
                self.queue.pace.heard(piece.take.id, piece.take.model, chunk.duration_seconds)
                self.queue.bell.ring()
        except Exception as problem:
            error = _told(problem, f"take {piece.take.id}")
            record = record | {"complete": False}
        self.queue.pace.end(piece.take.id)
        piece.sound.end()
        is_whole = bool(record.get("complete"))
        if piece.sound.chunks and (is_whole or not self.queue.closing):
            try:
                kept = self.library.keep(piece.take.id, Audio(piece.sound.whole(), piece.sound.sample_rate, record))
            except Exception as problem:
                error = error or _told(problem, f"take {piece.take.id}")
        with self._lock:
            room.pieces.remove(piece)
            is_broken = room.error is not None or (room.scheduler is not None and not room.scheduler.is_open)
            if is_broken and self._rooms.get(room.name) is room:  # whoever comes next has it loaded anew
                del self._rooms[room.name]
        if kept is not None or not self.queue.closing:
            self.queue.end(piece, kept, error)
        self._seat(room)

    def _play(self, room: Room, piece: Piece) -> Iterator[Audio]:
        """The piece, chunk by chunk; the last one, of no length, says whether it is complete."""
        if room.error is not None:
            raise room.error
        assert room.scheduler is not None
        rendering = self._submit(room.scheduler, piece)
        self.queue.plays(piece, rendering)
        self.queue.pace.begin(piece.take.id)
        yield from rendering
        yield rendering.result()

    def _submit(self, scheduler: MusicScheduler, piece: Piece) -> Rendering:
        if piece.take.source is not None:
            return scheduler.submit_again(self.library.sound(piece.take.source))
        asked = Asked.model_validate(piece.take.asked)
        prompt = None if asked.prompt is None else self.library.sound(asked.prompt)
        if prompt is not None and asked.prompt_seconds is not None:
            prompt = prompt.slice(max(0.0, prompt.duration_seconds - asked.prompt_seconds))
        return scheduler.submit(
            asked.text,
            asked.duration,
            asked.seed,
            prompt=prompt,
            melody=None if asked.melody is None else self.library.sound(asked.melody),
            plan=None if asked.plan is None else asked.plan.plan(),
            **settings_given(piece.take.asked),
        )


def _told(problem: Exception, what: str) -> str:
    """An error in one line; one that nobody expected is logged with where it came from."""
    if isinstance(problem, CadenzaError):
        return str(problem)
    log.error("%s", what, exc_info=problem)
    line = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {line:.200}, which is no mistake of yours; the log says more"
