"""The engine room: who makes what is asked for, and on which models.

In: pieces from the queue. Out: sound for whoever listens, and takes in the library. Each loaded model has a `Player`,
here or in a cluster; one thread here hands pieces out, and one per piece carries its sound away, so that a listener
never keeps the model waiting. A model is loaded beside the music and not before it is needed.
"""

import gc
import logging
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cadenza.errors import CadenzaError
from cadenza.serve.studio.jobs import Queue
from cadenza.serve.studio.library import Busy, Library
from cadenza.serve.studio.making import make, told
from cadenza.serve.studio.models import Shelf
from cadenza.serve.studio.players import Player, Stage
from cadenza.serve.studio.settings import StudioSettings
from cadenza.serve.studio.uploads import expire_uploads
from cadenza.serve.studio.work import Piece

log = logging.getLogger("cadenza")

_EXPIRE_SECONDS = 3600.0


@dataclass
class Room:
    """A model that is loaded, being loaded, or that could not be."""

    name: str
    player: Player | None = None
    error: CadenzaError | None = None
    loaded: threading.Event = field(default_factory=threading.Event)
    """It is, or it cannot be."""
    pieces: list[Piece] = field(default_factory=list)


class EngineRoom:
    """Makes what the queue holds, from `start` until `stop`."""

    def __init__(self, queue: Queue, library: Library, shelf: Shelf, settings: StudioSettings, stage: Stage) -> None:
        self.queue, self.library, self.shelf, self.settings, self.stage = queue, library, shelf, settings, stage
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
        if room.player is not None:
            room.player.close()
        room.player = None
        gc.collect()
        self.queue.bell.ring()

    def state(self, name: str) -> tuple[bool, bool, str | None]:
        """Whether a model is loaded, whether it is being loaded, and why it could not be."""
        with self._lock:
            room = self._rooms.get(name)
            if room is None:
                return False, False, None
            return room.player is not None, not room.loaded.is_set(), None if room.error is None else str(room.error)

    def _open(self, room: Room) -> None:
        self.queue.count(room.name)
        try:
            player = self.stage.open(room.name)
            self.shelf.learn(room.name, player.config, player.sample_rate)
            with self._lock:
                room.player = player
                if self.queue.closing:
                    player.close()
        except CadenzaError as error:
            room.error = error
        except Exception as error:
            room.error = CadenzaError(f"{room.name} could not be loaded: {told(error, room.name)}")
        self.queue.came(room.name)
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
            if room.player is not None:
                room.player.close()
        for thread in threads:  # not those that load: a download may take an hour, and leaves nothing half done
            thread.join()
        self.queue.rest()

    @property
    def places(self) -> int:
        """Pieces that the studio's own model makes at once; before it is loaded, at most."""
        with self._lock:
            room = self._rooms.get(self.shelf.default)
            return self.stage.places if room is None or room.player is None else room.player.places

    def facts(self) -> dict[str, Any]:
        """Figures for those who watch over the studio."""
        waiting, running = self.queue.load()
        with self._lock:
            players = {name: room.player for name, room in self._rooms.items() if room.player is not None}
        return {
            "places": self.places,
            "waiting": waiting,
            "running": running,
            "models": {name: player.replicas for name, player in players.items()},
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
                if (count := expire(days)) > 0:
                    log.info("%d %s were older than %g days", count, what, days)
            except CadenzaError as error:
                log.error("%s", error)

    def _ready(self, model: str) -> bool:
        """Whether a piece of this model can be begun; if it only has to be loaded, that is begun."""
        with self._lock:
            room = self._rooms.get(model)
            if room is None:
                if not self.queue.call(model):
                    return False
                room = self.load(model)
            most = 1 if room.player is None else room.player.most
            return room.loaded.is_set() and len(room.pieces) < most

    def _seat(self, room: Room) -> None:
        """The first ones play, those behind them are prepared."""
        with self._lock:
            seated = [] if room.player is None else room.pieces[: room.player.seats]
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

    def _make(self, room: Room, piece: Piece) -> None:
        end = make(piece, room.player, room.error, self.queue, self.library)
        with self._lock:
            room.pieces.remove(piece)
            is_broken = room.error is not None or (room.player is not None and not room.player.is_open)
            if is_broken and self._rooms.get(room.name) is room:  # whoever comes next has it loaded anew
                del self._rooms[room.name]
        end()
        self._seat(room)
