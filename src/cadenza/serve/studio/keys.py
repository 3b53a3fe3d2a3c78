"""API keys: made once, kept as hashes, each with its share of the studio.

A key is 256 random bits, so a plain SHA-256 of it cannot be turned back or guessed: slow hashes are for what people
choose. Looking a hash up tells a listener with a stopwatch nothing about the key.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pydantic import Field
from sqlmodel import col, select
from starlette.exceptions import HTTPException

from cadenza.checkpoint import Options
from cadenza.errors import UserError
from cadenza.serve.studio.tables import Database, Key

PREFIX = "cdz_"
FRESH_SECONDS = 2.0
"""How long the list of keys is believed: a key that is revoked, by whichever process, ends within it."""
LEAST_LENGTH = 32


class Limits(Options):
    """What one key may ask for."""

    subject = "limits"

    requests_per_minute: int = Field(600, ge=1, description="requests, on average; as many at once after a pause")
    queued_seconds: float = Field(3600.0, gt=0, description="seconds of music that wait or are made at a time")
    jobs: int = Field(16, ge=1, description="jobs that wait or are made at a time")


class Caller(NamedTuple):
    """Who asks. Without a key: somebody at this machine, whom nothing limits."""

    key: str | None = None
    """Identity of the key, never the key itself."""
    name: str = ""
    limits: Limits | None = None


class Keys:
    """The keys of a studio: those of its database, and those of a file that only this process knows."""

    def __init__(
        self, database: Database, key_file: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises UserError for a key file that cannot be read or holds what is too short to be a key."""
        self.database = database
        self.clock = clock
        self._given = {} if key_file is None else _read_keys(key_file)
        self._known: dict[str, Caller] = {}
        self._read_at: float | None = None
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # requests left, and when that was counted

    # ----------------------------------------------------------------------------------------------------- the list

    def add(self, name: str, limits: Limits | None = None) -> str:
        """Make a key and return it: this is the only time that it can be read."""
        name = name.strip()
        if not 0 < len(name) <= 80 or not name.isprintable():
            raise UserError(f"key name {name!r:.80}: give 1 to 80 letters")
        limits = limits or Limits()
        key = PREFIX + secrets.token_urlsafe(32)
        with self.database.writing() as session:
            if session.exec(select(Key).where(Key.name == name, ~col(Key.revoked))).first() is not None:
                raise UserError(f"there is a key {name!r} already: choose another name, or revoke that one")
            row = Key(
                id=secrets.token_hex(8), name=name, hash=digest_of(key), created=time.time(), **limits.model_dump()
            )
            session.add(row)
        self._read_at = None
        return key

    def rows(self) -> list[Key]:
        """All that count, oldest first."""
        with self.database.reading() as session:
            return list(session.exec(select(Key).where(~col(Key.revoked)).order_by(col(Key.created))))

    def revoke(self, name: str) -> None:
        """The key of that name counts no more. Raises UserError if there is none."""
        with self.database.writing() as session:
            row = session.exec(select(Key).where(Key.name == name, ~col(Key.revoked))).first()
            if row is None:
                raise UserError(f"no key is called {name!r:.80}: see `cadenza serve keys list`")
            row.revoked = True
            session.add(row)
        self._read_at = None

    # -------------------------------------------------------------------------------------------------- at a request

    def needed(self) -> bool:
        """Whether there is a key, so that everybody needs one."""
        return bool(self._current())

    def find(self, key: str) -> Caller | None:
        return self._current().get(digest_of(key)) if key else None

    def count(self, caller: Caller) -> None:
        """One request more; raises HTTPException (429, Retry-After) beyond the caller's share."""
        if caller.key is None or caller.limits is None:
            return
        now, most = self.clock(), float(caller.limits.requests_per_minute)
        with self._lock:
            left, counted = self._buckets.get(caller.key, (most, now))
            left = min(most, left + (now - counted) * most / 60)
            self._buckets[caller.key] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            raise too_many(f"more than {most:.0f} requests a minute", (1 - left) * 60 / most)

    def _current(self) -> dict[str, Caller]:
        with self._lock:
            now = self.clock()
            if self._read_at is None or now - self._read_at > FRESH_SECONDS:
                rows = {row.hash: Caller(row.id, row.name, _limits(row)) for row in self.rows()}
                self._known, self._read_at = rows | self._given, now
            return self._known


def check_share(caller: Caller, jobs: int, seconds: float, asked_seconds: float) -> None:
    """Whether `asked_seconds` of music fit beside what of this caller waits or is made already.

    Raises HTTPException: 429 with Retry-After, or 422 for what never fits.
    """
    limits = caller.limits
    if limits is None:
        return
    if asked_seconds > limits.queued_seconds:
        raise HTTPException(422, f"{asked_seconds:g} s of music: this key may ask for {limits.queued_seconds:g} s")
    if jobs >= limits.jobs:
        raise too_many(f"{jobs} jobs of this key wait or are made, {limits.jobs} may", 10)
    if seconds + asked_seconds > limits.queued_seconds:
        raise too_many(f"{seconds:g} s of music of this key wait or are made, {limits.queued_seconds:g} may", 10)


def too_many(what: str, wait_seconds: float) -> HTTPException:
    wait = max(1, round(wait_seconds + 0.5))
    return HTTPException(429, f"{what}: try again in {wait} s", {"Retry-After": str(wait)})


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _limits(row: Key) -> Limits:
    return Limits(requests_per_minute=row.requests_per_minute, queued_seconds=row.queued_seconds, jobs=row.jobs)


def _read_keys(path: Path) -> dict[str, Caller]:
    """A file with one key a line, as secrets are mounted into containers; lines with # are remarks."""
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--key-file {path}: cannot be read; give a text file with one key a line") from error
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise UserError(f"--key-file {path}: there is no key in it; write one a line")
    if any(len(key) < LEAST_LENGTH for key in keys):
        raise UserError(
            f"--key-file {path}: a key has at least {LEAST_LENGTH} letters; `openssl rand -hex 32` makes one"
        )
    return {digest_of(key): Caller(f"file-{digest_of(key)[:12]}", path.name, Limits()) for key in keys}
