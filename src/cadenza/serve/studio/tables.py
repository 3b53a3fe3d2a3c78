"""The studio's memory: what was asked for, what was made, what was uploaded and who may ask.

In: an address, by default of an SQLite file. Out: sessions to read and to write with. What a writing session did is on
the disk when it ends (write-ahead log, `synchronous=FULL`), all of it or nothing. Anything that SQLAlchemy speaks to
can stand in SQLite's place.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Engine, create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Field, Session, SQLModel, select

from cadenza.errors import CadenzaError, UserError

SCHEMA = 1
_BUSY_MILLISECONDS = 10_000


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
    starred: bool = False
    tags: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    tag_lines: str = "\n"
    """The tags, each between line breaks, to be searched for."""
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
        self.name = str(address)
        url = f"sqlite:///{address}" if isinstance(address, Path) else address
        self._writer = threading.Lock()
        try:
            self._engine = create_engine(url)
        except (SQLAlchemyError, ImportError) as error:
            raise UserError(f"{self.name} is no database that can be opened ({_line(error)})") from error
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _tune)
        try:
            self._open(self._engine)
        except SQLAlchemyError as error:
            self.close()
            raise UserError(
                f"{self.name} cannot be opened as a library ({_line(error)}): restore a copy of it, or move it away to "
                "begin anew; the takes beside it stay"
            ) from error
        except UserError:
            self.close()
            raise

    def _open(self, engine: Engine) -> None:
        is_new = not inspect(engine).get_table_names()
        if is_new:
            SQLModel.metadata.create_all(engine)
        with Session(engine) as session:
            if is_new:
                session.add(Schema(version=SCHEMA))
                session.commit()
            found = session.exec(select(Schema.version)).first()
            if found != SCHEMA:
                raise UserError(
                    f"{self.name} has schema {found}, this version knows {SCHEMA}: use the version that wrote it"
                )
            if engine.dialect.name == "sqlite":
                fault = session.connection().exec_driver_sql("PRAGMA quick_check(1)").scalar()
                if fault != "ok":
                    raise UserError(f"{self.name} is damaged ({fault}): restore a copy of it, or move it away")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """To look things up. Raises CadenzaError where the database does not answer."""
        try:
            with Session(self._engine, expire_on_commit=False) as session:
                yield session
        except SQLAlchemyError as error:
            raise CadenzaError(f"the library cannot be read ({_line(error)}): look after its disk") from error

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One writer at a time, all or nothing. Raises CadenzaError where the disk refuses."""
        try:
            with self._writer, Session(self._engine, expire_on_commit=False) as session:
                yield session
                session.commit()
        except SQLAlchemyError as error:
            raise CadenzaError(f"the library cannot be written ({_line(error)}): free space on its disk") from error

    def close(self) -> None:
        self._engine.dispose()


def _tune(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for line in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_MILLISECONDS}"):
        cursor.execute(f"PRAGMA {line}")
    cursor.close()


def _line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).splitlines() or [type(cause).__name__])[0]
