"""Sessions and answers of a listening test in one SQLite file, from the moment of each answer.

In: listeners and what they answer. Out: the next screen; and rows for the analysis. An answer is on the disk before its
listener sees the next screen (write-ahead log, `synchronous=FULL`). Listeners at the same time are one after the other
here, so that two never take the same last place. The file knows random names and no systems.
"""

import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cadenza.errors import CadenzaError, UserError
from cadenza.serve.listening_plan import Planned

SCHEMA = 1
RESERVED_SECONDS = 3600.0
"""So long the screens of a listener who is silent count as if they were going to be rated."""
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that can be misread
_TABLES = """
CREATE TABLE test (id TEXT NOT NULL);
CREATE TABLE listeners (
    id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, headphones TEXT NOT NULL, began REAL NOT NULL,
    seen REAL NOT NULL, stopped INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE screens (
    listener INTEGER NOT NULL REFERENCES listeners, position INTEGER NOT NULL, kind TEXT NOT NULL, screen TEXT NOT NULL,
    clips TEXT NOT NULL, shown REAL, answered REAL, answer REAL, heard REAL, PRIMARY KEY (listener, position)
) WITHOUT ROWID;
CREATE INDEX screens_by_screen ON screens (screen);
"""

Planner = Callable[[Mapping[str, int], Mapping[str, int], int], list[Planned]]


class Session(NamedTuple):
    """Where a listener is: the next screen, or None behind the last."""

    code: str
    stopped: bool
    done: int
    total: int
    position: int
    next: Planned | None
    shown: float | None
    remaining: list[tuple[str, ...]]
    """Clips of the screens that are left, the next included."""
    pace_seconds: float | None
    """Median time that this listener took for a screen."""


class Answer(NamedTuple):
    """One answer, as it was given. Of a pair: below 0 the first of `clips` is preferred, above 0 the second."""

    listener: int
    kind: str
    screen: str
    clips: tuple[str, ...]
    answer: float
    heard: float
    seconds: float


class Store:
    """The results of one test, open for one server (or one reader)."""

    def __init__(
        self, path: str | Path, test: str, clock: Callable[[], float] = time.time, read_only: bool = False
    ) -> None:
        """Raises UserError for results of another test or schema, and for a file that is no database.

        `read_only` is for the analysis, which also reads a folder that cannot be written.
        """
        self.path, self.clock = Path(path), clock
        self._lock = threading.Lock()
        mode = "ro" if read_only else "rwc"
        if read_only and not os.access(self.path.parent, os.W_OK) and not Path(f"{path}-wal").exists():
            mode = "ro&immutable=1"  # else SQLite wants to make its log beside the file, though nobody writes
        address = f"{self.path.absolute().as_uri()}?mode={mode}"
        try:
            self._db = sqlite3.connect(address, 30.0, isolation_level=None, check_same_thread=False, uri=True)
        except sqlite3.Error as error:
            raise UserError(f"{self.path} cannot be opened ({error}): is its folder there?") from error
        try:
            self._open(test)
        except sqlite3.Error as error:
            self._db.close()
            raise UserError(
                f"{self.path} cannot be opened as results ({error}): make its folder writable, restore it or move it "
                "away"
            ) from error
        except UserError:
            self._db.close()
            raise

    def _open(self, test: str) -> None:
        schema = self._db.execute("PRAGMA user_version").fetchone()[0]
        if not self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            self._create(test)
        elif schema != SCHEMA:
            raise UserError(
                f"{self.path} has schema {schema}, this version knows {SCHEMA}: use the version that wrote it, or "
                "move the file away to start anew"
            )
        if self._db.execute("SELECT id FROM test").fetchone() != (test,):
            raise UserError(f"{self.path} holds the results of another test: put them back, or move the file away")
        self._db.execute("PRAGMA synchronous=FULL")

    def _create(self, test: str) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        tables = "".join(f"{statement};" for statement in _TABLES.split(";") if statement.strip())
        self._db.executescript(
            f"BEGIN IMMEDIATE;{tables}INSERT INTO test VALUES ('{test}');PRAGMA user_version={SCHEMA};COMMIT;"
        )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time, all or nothing. Raises CadenzaError where the disk refuses."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                # Listeners read this too: no path, which may tell what is compared.
                raise CadenzaError(
                    f"cannot save to {self.path.name}: {error}; whoever runs the test frees space or repairs it, then "
                    "try again"
                ) from error

    # ------------------------------------------------------------------------------------------------------ sessions

    def begin(self, headphones: str, planner: Planner) -> str:
        """A new listener with a plan of screens; returns the code to go on with."""
        now = self.clock()
        with self._writing() as db:
            code = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(2))
            number = db.execute("SELECT COUNT(*) FROM listeners").fetchone()[0]
            counts, turned = self._counts(db, now)
            listener = db.execute(
                "INSERT INTO listeners (code, headphones, began, seen) VALUES (?, ?, ?, ?)",
                (code, headphones, now, now),
            ).lastrowid
            rows = [
                (listener, position, one.kind, one.screen, json.dumps(one.clips))
                for position, one in enumerate(planner(counts, turned, number))
            ]
            db.executemany("INSERT INTO screens (listener, position, kind, screen, clips) VALUES (?, ?, ?, ?, ?)", rows)
        return code

    def _counts(self, db: sqlite3.Connection, now: float) -> tuple[dict[str, int], dict[str, int]]:
        """By screen: ratings given or soon to come; and how much more often its clips were in the order of names."""
        rows = db.execute(
            "SELECT screen, clips, COUNT(*) FROM screens JOIN listeners ON listeners.id = listener "
            "WHERE kind = 'rating' AND (answered IS NOT NULL OR (stopped = 0 AND seen > ?)) GROUP BY screen, clips",
            (now - RESERVED_SECONDS,),
        ).fetchall()
        counts: dict[str, int] = {}
        turned: dict[str, int] = {}
        for screen, clips, count in rows:
            names = json.loads(clips)
            counts[screen] = counts.get(screen, 0) + count
            turned[screen] = turned.get(screen, 0) + (count if names == sorted(names) else -count)
        return counts, turned

    def session(self, code: str) -> Session:
        """Where the listener is. Raises UserError for a code that nobody has."""
        with self._lock:
            listener, stopped = self._listener(code)
            rows = self._db.execute(
                "SELECT position, kind, screen, clips, shown, answered FROM screens "
                "WHERE listener = ? ORDER BY position",
                (listener,),
            ).fetchall()
        left = [row for row in rows if row[5] is None]
        taken = sorted(row[5] - row[4] for row in rows if row[5] is not None)
        first = left[0] if left else None
        return Session(
            code,
            bool(stopped),
            len(rows) - len(left),
            len(rows),
            first[0] if first else len(rows),
            Planned(first[1], first[2], tuple(json.loads(first[3]))) if first else None,
            first[4] if first else None,
            [tuple(json.loads(row[3])) for row in left],
            taken[len(taken) // 2] if taken else None,
        )

    def show(self, code: str, position: int) -> None:
        """The screen is on the page now; the first time counts. A listener who had stopped goes on."""
        now = self.clock()
        with self._writing() as db:
            listener, _ = self._listener(code)
            self._show(db, listener, position, now)

    @staticmethod
    def _show(db: sqlite3.Connection, listener: int, position: int, now: float) -> None:
        db.execute(
            "UPDATE screens SET shown = ? WHERE listener = ? AND position = ? AND shown IS NULL",
            (now, listener, position),
        )
        db.execute("UPDATE listeners SET seen = ?, stopped = 0 WHERE id = ?", (now, listener))

    def answer(self, code: str, position: int, answer: float, heard: float) -> None:
        """Keep an answer, behind which the next screen is shown.

        The first answer to a screen counts: a click that is sent twice changes nothing.
        """
        now = self.clock()
        with self._writing() as db:
            listener, _ = self._listener(code)
            db.execute(
                "UPDATE screens SET answered = ?, answer = ?, heard = ? "
                "WHERE listener = ? AND position = ? AND answered IS NULL AND shown IS NOT NULL",
                (now, answer, heard, listener, position),
            )
            self._show(db, listener, position + 1, now)

    def stop(self, code: str) -> None:
        """The listener stops, for now or for good: what is left is free for others."""
        with self._writing() as db:
            listener, _ = self._listener(code)
            db.execute("UPDATE listeners SET stopped = 1 WHERE id = ?", (listener,))

    def _listener(self, code: str) -> tuple[int, int]:
        row = self._db.execute("SELECT id, stopped FROM listeners WHERE code = ?", (code.strip().lower(),)).fetchone()
        if row is None:
            raise UserError(f"code {code[:20]!r} is not known here: look at it again, or begin anew")
        return row[0], row[1]

    # ------------------------------------------------------------------------------------------------------- results

    def answers(self) -> list[Answer]:
        """Everything that was answered, training left out, by listener in the order of the screens."""
        with self._lock:
            rows = self._db.execute(
                "SELECT listener, kind, screen, clips, answer, heard, answered - shown FROM screens "
                "WHERE answered IS NOT NULL AND kind != 'training' ORDER BY listener, position"
            ).fetchall()
        return [Answer(row[0], row[1], row[2], tuple(json.loads(row[3])), *row[4:]) for row in rows]

    def listeners(self) -> dict[int, str]:
        """What each listener hears with."""
        with self._lock:
            return dict(self._db.execute("SELECT id, headphones FROM listeners ORDER BY id").fetchall())
