"""One studio at a time on a database, whichever keeps it; and a claim that is lost is noticed by whoever writes."""

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from sqlmodel import select

from cadenza.errors import CadenzaError, UserError
from cadenza.serve.studio.house import Studio
from cadenza.serve.studio.settings import StudioSettings
from cadenza.serve.studio.tables import Database, Job

# Connections whose server has gone are let go of, not closed.
cut_off = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*BaseConnection:pytest.PytestUnraisableExceptionWarning"
)


def write(database: Database, name: str) -> None:
    with database.writing() as session:
        session.add(Job(id=name, asked={}, created=1.0))


def names(database: Database) -> set[str]:
    with database.reading() as session:
        return set(session.exec(select(Job.id)))


def test_two_studios_on_one_database_are_refused(tmp_path, new_address, tiny_directory):
    address = new_address(tmp_path)
    text = address if isinstance(address, str) else f"sqlite:///{address}"

    def settings(name: str) -> StudioSettings:
        return StudioSettings(directory=tmp_path / name, database=text, model=str(tiny_directory))

    first = Studio(settings("a"))
    with pytest.raises(UserError, match=r"another studio uses .*: end it, or choose another --database"):
        Studio(settings("b"))
    keys = Database(address)  # as `cadenza serve keys` does, beside an open studio
    write(keys, "beside")
    keys.close()
    first.close()
    second = Studio(settings("b"))
    assert names(second.database) == {"beside"}
    second.close()


@cut_off
def test_a_server_that_was_started_anew_is_claimed_anew(server):
    address = server.database()
    database = Database(address)
    database.claim()
    write(database, "before")
    server.stop()
    with pytest.raises(CadenzaError, match=r"cannot be written .*look after its server"):
        write(database, "meanwhile")
    with pytest.raises(CadenzaError, match=r"cannot be read .*look after its server"):
        names(database)
    server.start()
    write(database, "after")
    assert names(database) == {"before", "after"}
    other = Database(address)
    with pytest.raises(UserError, match="another studio uses"):
        other.claim()
    other.close()
    database.close()


@cut_off
def test_whoever_lost_the_database_to_another_writes_no_more(server):
    address = server.database()
    first, second = Database(address), Database(address)
    first.claim()
    with first.writing() as session:  # as a network does that forgets a connection
        session.connection().exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND "
            "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    second.claim()
    with pytest.raises(CadenzaError, match="another studio has taken the database over"):
        write(first, "a")
    write(second, "b")
    assert names(first) == {"b"}
    second.close()
    write(first, "c")  # it is alone again
    first.close()


def test_errors_name_the_server_and_no_password(tmp_path: Path, server):
    for address, remedy in (
        (f"postgresql://tester:secret@/nothing?host={server.folder}", "see that the server answers"),
        ("postgresql+psycopg://tester:secret@127.0.0.1:1/x", "see that the server answers"),
        ("postgresql+nonsense://tester:secret@127.0.0.1/x", "no database that can be opened"),
        ("postgresql:tester:secret", "no database that can be opened"),
    ):
        with pytest.raises(UserError) as caught:
            Database(address)
        message = str(caught.value)
        assert remedy in message
        assert "secret" not in message
        assert "\n" not in message


def test_what_an_address_leaves_out_stands_in_the_environment(server, monkeypatch):
    host, name = str(server.folder), str(make_url(server.database()).database)
    for variable, value in (("PGHOST", host), ("PGUSER", "tester"), ("PGDATABASE", name)):
        monkeypatch.setenv(variable, value)
    for address in ("postgresql+psycopg://", "postgresql://"):
        database = Database(address)
        write(database, address)
        database.close()
    again = Database(f"postgresql://tester@/{name}?host={host}")
    assert len(names(again)) == 2
    again.close()
