"""Keys are made once, kept as hashes, counted and revoked."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from cadenza.errors import UserError
from cadenza.serve.studio.keys import FRESH_SECONDS, Caller, Keys, Limits, check_share
from cadenza.serve.studio.tables import Database


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, new_address: Callable[[Path], Path | str]) -> Iterator[Database]:
    opened = Database(new_address(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def keys(database: Database, clock: Callable[[], float]) -> Keys:
    return Keys(database, clock=clock)


def test_a_key_is_found_and_its_letters_are_not_kept(keys, database, tmp_path):
    assert not keys.needed()
    key = keys.add("laptop", Limits(jobs=2))
    assert len(key) >= 43, "256 bits"
    assert keys.needed()
    found = keys.find(key)
    assert (found.name, found.limits.jobs) == ("laptop", 2)
    assert keys.find(key[:-1]) is None
    assert keys.find("") is None
    assert keys.find("\udcff") is None
    database.close()
    assert key.removeprefix("cdz_").encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_what_another_process_revokes_ends_here_within_seconds(keys, database, clock):
    key = keys.add("laptop")
    assert keys.find(key)
    Keys(database).revoke("laptop")
    clock.now += FRESH_SECONDS + 0.1
    assert keys.find(key) is None
    with pytest.raises(UserError, match="no key is called 'laptop'"):
        keys.revoke("laptop")
    assert keys.add("laptop") != key, "the name is free again"
    with pytest.raises(UserError, match="there is a key 'laptop' already"):
        keys.add("laptop")
    with pytest.raises(UserError, match="give 1 to 80 letters"):
        keys.add("\n")


def test_requests_a_minute(keys, clock):
    caller = keys.find(keys.add("a", Limits(requests_per_minute=60)))
    other = keys.find(keys.add("b", Limits(requests_per_minute=60)))
    for _ in range(60):
        keys.count(caller)
    with pytest.raises(HTTPException) as refused:
        keys.count(caller)
    assert refused.value.status_code == 429
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 2
    keys.count(other)
    clock.now += int(refused.value.headers["Retry-After"])
    keys.count(caller)
    for _ in range(1000):
        keys.count(Caller())  # nobody is counted at this machine


@pytest.mark.parametrize(
    ("jobs", "seconds", "asked", "status"),
    [(1, 50, 50, None), (2, 0, 1, 429), (1, 60, 50, 429), (0, 0, 101, 422), (0, 0, 100, None)],
)
def test_the_share_of_a_key(jobs, seconds, asked, status):
    caller = Caller("id", "a", Limits(jobs=2, queued_seconds=100))
    check_share(Caller(), 1000, 1e6, 1e6)
    if status is None:
        check_share(caller, jobs, seconds, asked)
        return
    with pytest.raises(HTTPException) as refused:
        check_share(caller, jobs, seconds, asked)
    assert refused.value.status_code == status
    assert (status == 429) == ("Retry-After" in (refused.value.headers or {}))


def test_a_file_of_keys(database, tmp_path):
    file = tmp_path / "keys"
    file.write_text("# for the band\n" + "k" * 40 + "\n\n")
    keys = Keys(database, file)
    assert keys.needed()
    assert keys.find("k" * 40).name == "keys"
    assert keys.find("# for the band") is None
    for content, message in (("# nothing\n", "no key in it"), ("short\n", "at least 32 letters")):
        file.write_text(content)
        with pytest.raises(UserError, match=message):
            Keys(database, file)
    with pytest.raises(UserError, match="cannot be read"):
        Keys(database, tmp_path / "nowhere")
