"""One studio at a time: two on one library or one database would make the same music twice.

In: a file, or a database server. Out: a claim that nobody else gets until it is released or its process ends, however
that ends: both kinds of lock are let go of by the system that holds them.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sqlalchemy import Connection, Engine, text

from cadenza.errors import CadenzaError, UserError

_LOCK_NUMBER = int.from_bytes(b"cadenza", "big")
"""Of PostgreSQL's advisory lock, which counts within one database."""


@runtime_checkable
class Claim(Protocol):
    """What keeps others out."""

    def confirm(self, connection: Connection) -> None:
        """Raises CadenzaError where it is lost for good."""

    def release(self) -> None:
        """Let others in."""


def claim_file(path: Path, what: str, remedy: str) -> Claim:
    """A lock on a file beside what is claimed; `what` and `remedy` are for whoever is refused. Raises UserError."""
    try:
        file = path.open("w")
    except OSError as error:
        raise UserError(f"{what} cannot be used ({error.strerror}): {remedy}") from error
    try:
        _lock(file)
    except OSError as error:
        file.close()
        raise UserError(f"another studio uses {what}: end it, or {remedy}") from error
    return _FileClaim(file)


def claim_server(engine: Engine, what: str) -> Claim:
    """An advisory lock that a connection holds for as long as it lives. Raises UserError.

    PostgreSQL's; of other servers nothing is claimed.
    """
    claim = _ServerClaim(engine)
    if engine.dialect.name == "postgresql" and not claim.take():
        raise UserError(f"another studio uses {what}: end it, or choose another --database")
    return claim


class _FileClaim:
    def __init__(self, file: Any) -> None:
        self._file = file

    def confirm(self, connection: Connection) -> None:
        """The kernel takes nothing back."""

    def release(self) -> None:
        self._file.close()


class _ServerClaim:
    """Whoever writes asks the server whether the lock is still there: a connection may end without a word."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._holder: Connection | None = None
        self._backend = 0
        """The server's process behind the holder."""

    def take(self) -> bool:
        """Whether the lock is ours now."""
        holder, is_ours = self._engine.connect(), False
        try:
            holder.execution_options(isolation_level="AUTOCOMMIT")
            if not holder.scalar(text("SELECT pg_try_advisory_lock(:number)"), {"number": _LOCK_NUMBER}):
                return False
            self._backend = int(holder.scalar(text("SELECT pg_backend_pid()")) or 0)
            self._holder, is_ours = holder, True
        finally:
            if not is_ours:
                holder.close()
        return True

    def confirm(self, connection: Connection) -> None:
        """Raises CadenzaError where another studio has come in; a server that was started anew is asked anew."""
        if self._holder is None:
            return
        held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = :backend")
        with self._lock:
            if connection.scalar(held, {"backend": self._backend}):
                return
            _end(self._holder)
            if not self.take():
                raise CadenzaError("another studio has taken the database over: end one of the two")

    def release(self) -> None:
        if self._holder is not None:
            _end(self._holder)
            self._holder = None


def _end(holder: Connection) -> None:
    """End the session on the server, and the lock with it: back in the pool it would be kept."""
    with suppress(Exception):  # it may be gone
        holder.detach()
    with suppress(Exception):
        holder.close()


def _lock(file: Any) -> None:
    with suppress(ImportError):
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
