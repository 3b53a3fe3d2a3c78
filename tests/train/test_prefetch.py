"""Batches drawn ahead: the same ones in the same order, at most so many, errors in their place, no thread left."""

import threading
import time

import pytest

from cadenza.errors import UserError
from cadenza.train.prefetch import Ahead


class Counted:
    """Batch `i` is named i; remembers what was drawn, fails at one."""

    def __init__(self, fails_at: int = -1, seconds: float = 0.0) -> None:
        self.drawn: list[int] = []
        self.fails_at, self.seconds = fails_at, seconds

    def batch(self, index):
        time.sleep(self.seconds)
        if index == self.fails_at:
            raise UserError(f"batch {index} cannot be read")
        self.drawn.append(index)
        return {"ids": [str(index)]}


def wait_until(condition) -> None:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert condition()


def test_order_is_kept_from_any_start():
    with Ahead(Counted()) as ahead:
        for start in (0, 7, 3):
            assert [ahead.batch(i)["ids"] for i in range(start, start + 4)] == [
                [str(i)] for i in range(start, start + 4)
            ]


def test_it_stays_so_far_ahead_and_no_further():
    source = Counted()
    with Ahead(source, depth=3) as ahead:
        ahead.batch(0)
        wait_until(lambda: len(source.drawn) == 5)  # the one given out, three in the queue, one in hand
        time.sleep(0.05)
        assert source.drawn == [0, 1, 2, 3, 4]


def test_an_error_is_raised_where_its_batch_is_asked_for():
    with Ahead(Counted(fails_at=2)) as ahead:
        ahead.batch(0)
        ahead.batch(1)
        for _ in range(2):
            with pytest.raises(UserError, match="batch 2 cannot be read"):
                ahead.batch(2)


def test_waiting_is_measured():
    with Ahead(Counted(seconds=0.05)) as ahead:
        ahead.batch(0)
        assert ahead.waited_seconds >= 0.05
        wait_until(lambda: ahead._queue.full())
        before = ahead.waited_seconds
        ahead.batch(1)
        assert ahead.waited_seconds - before < 0.05, "it was there already"


def test_no_thread_is_left():
    before = threading.active_count()
    ahead = Ahead(Counted(), depth=1)
    ahead.batch(0)  # and now the thread waits for room
    ahead.close()
    assert threading.active_count() == before
    ahead.close()
    assert ahead.batch(5)["ids"] == ["5"], "it begins anew"
    ahead.close()
