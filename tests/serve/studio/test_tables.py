"""The database: all or nothing, and one clear line for a file that is none."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

import pytest
from sqlmodel import select

from cadenza.errors import CadenzaError, UserError
from cadenza.serve.studio.keys import Keys
from cadenza.serve.studio.tables import Database, Job, Schema, Take


def job(name: str = "a") -> Job:
    return Job(id=name, asked={"text": "x"}, created=1.0)


def test_a_session_is_written_whole_or_not_at_all(tmp_path):
    database = Database(tmp_path / "studio.sqlite")
    with database.writing() as session:
        session.add(job())
    with suppress(ZeroDivisionError), database.writing() as session:
        session.add(job("b"))
        session.flush()
        raise ZeroDivisionError
    with pytest.raises(CadenzaError, match=r"cannot be written \(UNIQUE"), database.writing() as session:
        session.add(job())
    with pytest.raises(CadenzaError, match="FOREIGN KEY"), database.writing() as session:
        session.add(
            Take(
                id="t", job="nobody", item=0, title="", text="", asked={}, seed=1, model="", seconds_asked=1, created=1
            )
        )
    database.close()
    again = Database(tmp_path / "studio.sqlite")
    with again.reading() as session:
        assert [row.id for row in session.exec(select(Job))] == ["a"]
        pragmas = {name: session.connection().exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}
    assert pragmas == PRAGMAS
    again.close()


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


@pytest.mark.parametrize("damage", ["text", "middle", "schema", "folder"])
def test_a_file_that_is_no_library_is_one_clear_line(tmp_path, damage):
    path = tmp_path / "studio.sqlite"
    if damage == "text":
        path.write_text("this is no database, and long enough to be looked at " * 100)
    elif damage == "folder":
        path.mkdir()
    else:
        database = Database(path)
        with database.writing() as session:
            session.add_all(job(f"{i:05}" * 20) for i in range(200))
            if damage == "schema":
                session.delete(session.exec(select(Schema)).one())
                session.add(Schema(version=99))
        database.close()
        if damage == "middle":
            content = bytearray(path.read_bytes())
            content[5000:60_000] = b"\xff" * 55_000
            path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        Database(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert ("has schema 99" if damage == "schema" else "") in message


def test_an_address_that_means_nothing():
    with pytest.raises(UserError, match="no database"):
        Database("nonsense")
    with pytest.raises(UserError, match="no database"):
        Database("postgresql+nonsense://x/y")


def test_other_addresses(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'by_address.sqlite'}")
    with database.writing() as session:
        session.add(job())
    database.close()
    assert (tmp_path / "by_address.sqlite").is_file()


@pytest.mark.parametrize("attempt", range(3))
def test_of_several_that_begin_at_once_one_makes_the_tables(tmp_path, new_address, attempt):
    address, together = new_address(tmp_path), Barrier(4)

    def add(name: str) -> str:
        together.wait()
        database = Database(address)
        key = Keys(database).add(name)
        database.close()
        return key

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(add, "abcd"))
    database = Database(address)
    assert sorted(row.name for row in Keys(database).rows()) == list("abcd")
    assert all(Keys(database).find(key) is not None for key in made)
    database.close()


def test_tables_are_made_whole_or_not_at_all(tmp_path, new_address, monkeypatch):
    address = new_address(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr("cadenza.serve.studio.tables.Schema", lambda version: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Database(address)
    Database(address).close()
