"""The studio's memory: what was asked for, what was made, what was uploaded and who may ask.

In: an address, by default of an SQLite file. Out: sessions to read and to write with. What a writing session did is on
the disk when it ends (SQLite: write-ahead log, `synchronous=FULL`), all of it or nothing. PostgreSQL stands in
SQLite's place where the address says so: same tables, same answers.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, URL, BigInteger, Column, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Field, Session, SQLModel, select

from cadenza.errors import CadenzaError, UserError
from cadenza.serve.studio.claims import Claim, claim_file, claim_server

SCHEMA = 1
_BUSY_MILLISECONDS = 10_000
_CONNECT_SECONDS = 10
_MAKING_NUMBER = int.from_bytes(b"tables", "big")
"""Of PostgreSQL's advisory lock while the tables are made."""


class Schema(SQLModel, table=True):
    """One row: the version of these tables."""

    __tablename__ = "schema_version"

    version: int = Field(primary_key=True)


class Job(SQLModel, table=True):
    """What somebody asked for; its takes say what became of it. Times are seconds since 1970."""

    __tablename__ = "jobs"

    id: str = Field(primary_key=True)
    key: str = Field(default="", index=True)
    status: str = Field(default="queued", index=True)
    asked: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    created: float = Field(index=True)
    started: float | None = None
    finished: float | None = None
    error: str | None = None


class Take(SQLModel, table=True):
    """One piece of music, made or still to be made. `asked` makes it again; its file holds what makes it exactly."""

    __tablename__ = "takes"

    id: str = Field(primary_key=True)
    job: str = Field(foreign_key="jobs.id", index=True)
    item: int
    status: str = Field(default="queued", index=True)
    title: str
    text: str
    asked: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    source: str | None = None
    """The take whose record is rendered again."""
    seed: int = Field(sa_column=Column(BigInteger, nullable=False))
    model: str = Field(index=True)
    seconds_asked: float
    duration: float = 0.0
    sample_rate: int = 0
    channels: int = 0
    loudness_lufs: float | None = None
    complete: bool = False
    attempts: int = 0
    """How often it was begun; a studio that is ended in order takes that back."""
    starred: bool = False
    tags: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    tag_lines: str = "\n"
    """The tags in small letters, each between line breaks, to be searched for."""
    words: str = ""
    """Title, text and tags in small letters, to be searched in."""
    size_bytes: int = 0
    created: float = Field(index=True)
    error: str | None = None


class Upload(SQLModel, table=True):
    """A recording that somebody brought, decoded."""

    __tablename__ = "uploads"

    id: str = Field(primary_key=True)
    key: str = Field(default="", index=True)
    name: str
    seconds: float
    sample_rate: int
    channels: int
    size_bytes: int
    created: float = Field(index=True)


class Key(SQLModel, table=True):
    """Somebody who may ask, known by the hash of a secret."""

    __tablename__ = "keys"

    id: str = Field(primary_key=True)
    name: str
    hash: str = Field(unique=True)
    created: float
    requests_per_minute: int
    queued_seconds: float
    jobs: int
    revoked: bool = False


class Database:
    """The tables, open. Raises UserError for a database that cannot be read or is of another version."""

    def __init__(self, address: str | Path) -> None:
        self.name = str(address).partition(":")[0]  # what cannot be understood may hold a password
        self._writer = threading.Lock()
        self._claim: Claim | None = None
        try:
            url = URL.create("sqlite", database=str(address)) if isinstance(address, Path) else make_url(address)
            self.name = str(address) if isinstance(address, Path) else url.render_as_string(hide_password=True)
            if url.drivername == "postgresql":
                url = url.set(drivername="postgresql+psycopg")
            self._is_file = url.get_backend_name() == "sqlite"
            self._engine = create_engine(url) if self._is_file else create_engine(url, **_server_options(url))
        except (SQLAlchemyError, ImportError) as error:
            remedy = ": pip install cadenza[cluster]" if isinstance(error, ImportError) else ""
            raise UserError(f"{self.name} is no database that can be opened ({_line(error)}){remedy}") from error
        if self._is_file:
            event.listen(self._engine, "connect", _tune)
        try:
            self._open(self._engine)
        except SQLAlchemyError as error:
            self.close()
            remedy = "restore a copy of it, or move it away to begin anew; the takes beside it stay"
            if not self._is_file:
                remedy = (
                    "see that the server answers, that the address is right, and that the database is empty or ours"
                )
            raise UserError(f"{self.name} cannot be opened as a library ({_line(error)}): {remedy}") from error
        except BaseException:
            self.close()
            raise

    def _open(self, engine: Engine) -> None:
        with Session(engine) as session:
            connection = session.connection()
            if not inspect(connection).get_table_names():
                self._create(session)
            found = session.exec(select(Schema.version)).first()
            if found != SCHEMA:
                raise UserError(
                    f"{self.name} has schema {found}, this version knows {SCHEMA}: use the version that wrote it"
                )
            if self._is_file:
                fault = session.connection().exec_driver_sql("PRAGMA quick_check(1)").scalar()
                if fault != "ok":
                    raise UserError(f"{self.name} is damaged ({fault}): restore a copy of it, or move it away")

    def _create(self, session: Session) -> None:
        """Make the tables, all or none. Where several processes begin at once, one makes them and the others wait."""
        connection = session.connection()
        if self._is_file:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # else each table would be there as soon as it is made
        elif connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MAKING_NUMBER})
        if not inspect(connection).get_table_names():
            SQLModel.metadata.create_all(connection)
            session.add(Schema(version=SCHEMA))
        session.commit()

    def claim(self) -> None:
        """Keep other studios out until this one closes or its process ends. Raises UserError where there is one."""
        url = self._engine.url
        if not self._is_file:
            self._claim = claim_server(self._engine, self.name)
        elif url.database and url.database != ":memory:":
            self._claim = claim_file(Path(url.database + ".lock"), self.name, "choose another --database")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """To look things up. Raises CadenzaError where the database does not answer."""
        try:
            with Session(self._engine, expire_on_commit=False) as session:
                yield session
        except SQLAlchemyError as error:
            raise CadenzaError(f"the library cannot be read ({_line(error)}): {self._remedy('look after')}") from error

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One writer at a time, all or nothing. Raises CadenzaError where the disk refuses, or the claim is lost."""
        try:
            with self._writer, Session(self._engine, expire_on_commit=False) as session:
                if self._claim is not None:
                    self._claim.confirm(session.connection())
                yield session
                session.commit()
        except SQLAlchemyError as error:
            remedy = self._remedy("free space on")
            raise CadenzaError(f"the library cannot be written ({_line(error)}): {remedy}") from error

    def _remedy(self, do: str) -> str:
        return f"{do} its disk" if self._is_file else "look after its server"

    def close(self) -> None:
        if self._claim is not None:
            self._claim.release()
            self._claim = None
        self._engine.dispose()


def _server_options(url: URL) -> dict[str, Any]:
    """Of an engine that speaks to a server: connections are looked at before they are used, so that one may end."""
    own = url.get_backend_name() == "postgresql"
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": _CONNECT_SECONDS} if own else {}}


def _tune(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for line in (f"busy_timeout={_BUSY_MILLISECONDS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {line}")
    cursor.close()


def _line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).splitlines() or [type(cause).__name__])[0]
