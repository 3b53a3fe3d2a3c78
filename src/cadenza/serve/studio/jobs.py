"""The queue: nothing that was accepted is lost, and nobody waits for ever behind somebody who asks for much.

In: what people ask for. Out: one take after another for the engine, and how far everything is. A generation is in the
database before it is accepted; after a crash whatever was not finished is queued again, in its old order, and made from
its seed. Keys take turns; what came first under a key is made first. A take that was begun too often is given up; its
last attempts are made alone, so that one that kills takes no other with it.

What is not over lives in memory as well, so that nobody who watches touches the disk. The lock is held for moments
only, never while anything is written.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import func, tuple_, update
from sqlmodel import col, select

from cadenza.errors import CadenzaError, UserError
from cadenza.serve.studio.asked import MOST_SEED, OVER, Asked, Generation, Status
from cadenza.serve.studio.library import Kept, Missing, index, new_id, read_cursor, write_cursor
from cadenza.serve.studio.outlook import view
from cadenza.serve.studio.pace import Pace
from cadenza.serve.studio.stream import Bell, Sound
from cadenza.serve.studio.tables import Database, Job, Take
from cadenza.serve.studio.work import Line, Piece, Rendering, Work, recover

log = logging.getLogger("cadenza")


class Crowded(UserError):
    """Too much waits already."""


class Queue:
    """Everything that was asked for. Its methods may be called from any thread."""

    def __init__(
        self, database: Database, max_waiting: int, pace: Pace, clock: Callable[[], float] = time.time
    ) -> None:
        self.database, self.max_waiting, self.pace, self.clock = database, max_waiting, pace, clock
        self.bell = Bell()
        """Rings when anything has changed."""
        self.changed = threading.Condition()
        """The lock, and what the engine waits for."""
        self.closing = False
        self._ending = threading.Lock()
        self._works: dict[str, Work] = {}
        self._line = Line()
        self._active: list[Piece] = []
        self._counting = threading.Lock()
        self._called: dict[str, Piece] = {}
        """Models that are being loaded, each with the piece for which it is."""
        self._recover()

    def _recover(self) -> None:
        """Queue again what was accepted and is not over."""
        with self.database.writing() as session:
            rows = session.exec(select(Job).where(col(Job.status).not_in(OVER)).order_by(col(Job.created))).all()
            works = []
            for job in rows:
                takes = list(session.exec(select(Take).where(Take.job == job.id).order_by(col(Take.item))))
                for take in takes:
                    if take.status not in OVER:
                        recover(take)
                job.status = "queued"
                work = Work(job, takes)
                works.append(work)
                if not work.pieces:
                    for name, value in work.verdict({}, self.clock()).items():
                        setattr(job, name, value)
        for work in works:
            if work.pieces:
                self._enter(work)

    # ---- asking ----------------------------------------------------------------------------------------------------

    def submit(self, asked: Asked, key: str = "", model: str = "", source: Take | None = None) -> Generation:
        """Accept a generation: it is on the disk when this returns. Raises Crowded.

        `model` is the name under which `asked.model` is known. `source` is a take to be rendered again from its record.
        """
        waiting, _ = self.load()
        if waiting + asked.count > self.max_waiting:
            raise Crowded(f"{waiting} takes are waiting already, and {self.max_waiting} may: try again later")
        first = asked.seed if asked.seed is not None else secrets.randbelow(2**31)
        if first + asked.count - 1 > MOST_SEED:
            raise UserError(f"seed {first} cannot be counted up {asked.count} times: choose a smaller one")
        now = self.clock()
        model = model or asked.model or ""
        plain = asked.model_dump(mode="json") | {"seed": first, "model": model}
        job = Job(id=new_id(), key=key, asked=plain, created=now)
        takes = [
            Take(
                id=new_id(),
                job=job.id,
                item=i,
                title=asked.title if source is None else source.title,
                text=asked.words,
                asked=plain | {"seed": first + i, "count": 1},
                source=None if source is None else source.id,
                seed=first + i,
                model=model,
                seconds_asked=asked.duration,
                tags=list(dict.fromkeys(asked.tags)),
                created=now,
            )
            for i in range(asked.count)
        ]
        for take in takes:
            index(take)
        with self.database.writing() as session:
            session.add(job)
            session.flush()
            session.add_all(takes)
        work = Work(job, takes)
        with self.changed:
            self._enter(work)
            view = self._view(work)
        self.bell.ring()
        return view

    def _enter(self, work: Work) -> None:
        with self.changed:
            self._works[work.job.id] = work
            for piece in work.pieces.values():
                self._line.enter(piece)
            self.changed.notify_all()

    def cancel(self, generation: str) -> Generation:
        """Stop a generation: what is made of it is kept. One that is over stays as it is. Raises Missing."""
        with self.changed:
            work = self._works.get(generation)
            stopped = []
            for piece in [] if work is None else list(work.pieces.values()):
                piece.cancelled = True
                if piece in self._line:
                    self._line.leave(piece)
                    stopped.append(piece)
                elif piece.rendering is not None:
                    piece.rendering.cancel()
        if work is None:
            return self.generation(generation)
        self._end([(piece, "cancelled", None, None) for piece in stopped])
        return self.generation(generation)

    def refresh(self, changed: Take) -> None:
        """A take that is not over has got another title, star or tags."""
        with self.changed:
            work = self._works.get(changed.job)
            for take in [] if work is None else work.takes:
                if take.id == changed.id:
                    take.title, take.starred, take.tags = changed.title, changed.starred, changed.tags
        self.bell.ring()

    def needs(self, name: str) -> bool:
        """Whether something that is not over listens to this take or upload."""
        with self.changed:
            pieces = [piece for work in self._works.values() for piece in work.pieces.values()]
        return any(name in (one.take.asked["melody"], one.take.asked["prompt"], one.take.source) for one in pieces)

    # ---- looking ---------------------------------------------------------------------------------------------------

    def generation(self, generation: str) -> Generation:
        """How far it is. Raises Missing."""
        if (found := self.live(generation)) is not None:
            return found
        with self.database.reading() as session:
            job = session.get(Job, generation)
            if job is None:
                raise Missing(f"there is no generation {generation:.40}")
            takes = list(session.exec(select(Take).where(Take.job == generation).order_by(col(Take.item))))
        return self._view(Work(job, takes))

    def live(self, generation: str) -> Generation | None:
        """How far it is if it is not over: from memory, at once."""
        with self.changed:
            work = self._works.get(generation)
            return None if work is None else self._view(work)

    def page(
        self, limit: int = 50, cursor: str | None = None, status: Status | None = None
    ) -> tuple[list[Generation], str | None]:
        """Generations, the newest first, and the cursor of those behind them."""
        wanted = select(Job)
        if status is not None:
            wanted = wanted.where(Job.status == status)
        if cursor:
            wanted = wanted.where(tuple_(col(Job.created), col(Job.id)) < read_cursor(cursor, float))
        wanted = wanted.order_by(col(Job.created).desc(), col(Job.id).desc()).limit(limit + 1)
        with self.database.reading() as session:
            jobs = session.exec(wanted).all()
            more, jobs = len(jobs) > limit, jobs[:limit]
            rows = session.exec(
                select(Take).where(col(Take.job).in_([job.id for job in jobs])).order_by(col(Take.item))
            ).all()
        takes: dict[str, list[Take]] = {job.id: [] for job in jobs}
        for take in rows:
            takes[take.job].append(take)
        views = [self.live(job.id) or self._view(Work(job, takes[job.id])) for job in jobs]
        return views, write_cursor(jobs[-1].created, jobs[-1].id) if more else None

    def sound(self, take: str) -> Sound | None:
        """What is there of a take that is not over."""
        with self.changed:
            for work in self._works.values():
                if take in work.pieces:
                    return work.pieces[take].sound
        return None

    def share(self, key: str) -> tuple[int, float]:
        """Generations of a key that are not over, and the seconds of music that are still to be made of them."""
        with self.changed:
            works = [work for work in self._works.values() if work.job.key == key]
            return len(works), sum(piece.seconds_to_make for work in works for piece in work.pieces.values())

    def counts(self) -> dict[str, int]:
        """Takes by state."""
        with self.database.reading() as session:
            rows = session.exec(select(Take.status, func.count()).group_by(Take.status)).all()
        return {status: int(count) for status, count in rows}

    def load(self) -> tuple[int, int]:
        """Takes that wait, and takes that are being made."""
        with self.changed:
            return len(self._line), len(self._active)

    def _view(self, work: Work) -> Generation:
        return view(work, self._line.order(), self._active, self.pace)

    # ---- making ----------------------------------------------------------------------------------------------------

    def next(self, ready: Callable[[str], bool], timeout: float = 1.0) -> Piece | None:
        """The next piece to make, of a model that is `ready`; waits for one. None: there is none yet."""
        with self.changed:
            piece = self._choose(ready)
            if piece is None and not self.closing:
                self.changed.wait(timeout)
                piece = self._choose(ready)
            if piece is not None:
                self._line.leave(piece)
                self._active.append(piece)
        return piece

    def _choose(self, ready: Callable[[str], bool]) -> Piece | None:
        if self.closing or self._is_one_alone():
            return None
        piece = self._line.first(ready)
        return None if piece is not None and piece.is_alone and self._active else piece

    def _is_one_alone(self) -> bool:
        return any(piece.is_alone for piece in (*self._active, *self._called.values()))

    def call(self, model: str) -> bool:
        """Whether a model may be loaded now for the first piece that waits for it. That is an attempt, for loading may
        end this process as making does: `count` tells the disk, `came` takes it back."""
        with self.changed:
            piece = self._line.first(lambda name: name == model)
            if piece is None:
                return True
            if self._is_one_alone() or (piece.is_alone and (self._active or self._called)):
                return False
            self._called[model] = piece
            piece.is_counted = True
            piece.take.attempts += 1
        return True

    def count(self, model: str) -> None:
        """The model is about to be loaded."""
        with self._counting:
            with self.changed:
                called = [self._called[model]] if model in self._called and not self.closing else []
            self._write_attempts(called)

    def came(self, model: str) -> None:
        """The model is loaded, or cannot be: this process lives."""
        if not self.closing:
            self._forget_calls([model])

    def _forget_calls(self, models: list[str]) -> None:
        with self._counting:
            with self.changed:
                called = [self._called.pop(model) for model in models if model in self._called]
                for piece in called:
                    piece.is_counted = False
                    piece.take.attempts -= 1
            self._write_attempts(called)

    def _write_attempts(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            with suppress(CadenzaError), self.database.writing() as session:
                session.exec(update(Take).where(col(Take.id) == piece.take.id).values(attempts=piece.take.attempts))

    def begin(self, piece: Piece) -> None:
        """A piece has got its place: an attempt, counted on the disk."""
        with self.changed:
            work = self._works[piece.take.job]
            if piece.take.status != "queued":
                return
            piece.take.status = "running"
            piece.take.attempts += 1
            is_first = work.job.started is None or work.job.status == "queued"
            if is_first:
                work.job.started = work.job.started or self.clock()
                work.job.status = "running"
        with suppress(CadenzaError), self.database.writing() as session:
            facts = {"status": "running", "attempts": piece.take.attempts}
            session.exec(update(Take).where(col(Take.id) == piece.take.id).values(**facts))
            if is_first:
                begun = update(Job).where(col(Job.id) == work.job.id)
                session.exec(begun.values(status="running", started=work.job.started))
        self.bell.ring()

    def plays(self, piece: Piece, rendering: Rendering) -> None:
        """What makes the piece; a piece that was cancelled meanwhile is told so."""
        with self.changed:
            piece.rendering = rendering
            if piece.cancelled:
                rendering.cancel()

    def again(self, piece: Piece) -> None:
        """What made a piece is lost: it goes back to its place in the line.

        Its sound stays, for those who listen: the same seed goes on where it was.
        """
        with self.changed:
            piece.rendering = None
            piece.take.status = "queued"
            self._active.remove(piece)
            self._line.enter_again(piece)
            self.changed.notify_all()
        with suppress(CadenzaError), self.database.writing() as session:
            session.exec(update(Take).where(col(Take.id) == piece.take.id).values(status="queued"))
        self.bell.ring()

    def end(self, piece: Piece, kept: Kept | None, error: str | None) -> None:
        """A piece is over: its file is written, if there is sound."""
        status: Status = "done" if kept is not None and kept.complete else "cancelled"
        if error is not None:
            status = "failed"
        self._end([(piece, status, kept, error)])

    def _end(self, ends: list[tuple[Piece, Status, Kept | None, str | None]]) -> None:
        """Pieces of one generation are over: first in the database, then for those who watch."""
        if not ends:
            return
        with self._ending:  # one after the other, so that the last one knows that it is
            work = self._works[ends[0][0].take.job]
            changes = {
                piece.take.id: {"status": status, "error": error} | ({} if kept is None else kept._asdict())
                for piece, status, kept, error in ends
            }
            verdict = work.verdict(changes, self.clock())
            try:
                with self.database.writing() as session:
                    for take, facts in changes.items():
                        session.exec(update(Take).where(col(Take.id) == take).values(**facts))
                    if verdict:
                        session.exec(update(Job).where(col(Job.id) == work.job.id).values(**verdict))
            except CadenzaError as problem:  # in the database they wait still, and are made again after a restart
                log.error("%s", problem)
            with self.changed:
                for piece, *_ in ends:
                    for name, value in changes[piece.take.id].items():
                        setattr(piece.take, name, value)
                    if piece in self._active:
                        self._active.remove(piece)
                    del work.pieces[piece.take.id]
                for name, value in verdict.items():
                    setattr(work.job, name, value)
                if not work.pieces:
                    del self._works[work.job.id]
                self.changed.notify_all()
        for piece, *_ in ends:
            piece.sound.end()
        self.bell.ring()

    # ---- closing ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Nothing more is begun, and nobody listens any more."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
            pieces = [piece for work in self._works.values() for piece in work.pieces.values()]
        for piece in pieces:
            piece.sound.end()
        self.bell.ring()

    def rest(self) -> None:
        """Whatever was being made is queued again, for the next time. To be called once nothing is made any more."""
        self._forget_calls(list(self._called))
        with suppress(CadenzaError), self.database.writing() as session:
            rested = update(Take).where(col(Take.status) == "running")
            session.exec(rested.values(status="queued", attempts=col(Take.attempts) - 1))
            session.exec(update(Job).where(col(Job.status) == "running").values(status="queued"))
