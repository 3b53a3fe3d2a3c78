"""The queue: nothing accepted is lost, whoever asks for much goes behind the others, and states tell the truth."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlmodel import select

from cadenza.errors import UserError
from cadenza.serve.studio.asked import Asked
from cadenza.serve.studio.jobs import Crowded, Queue
from cadenza.serve.studio.library import Kept, Missing
from cadenza.serve.studio.pace import Pace
from cadenza.serve.studio.tables import Database, Take
from cadenza.serve.studio.work import ALONE_FROM, MOST_ATTEMPTS, Piece

WHOLE = Kept(4.0, 32000, 1, -14.0, True, 1000)
PART = Kept(1.5, 32000, 1, -14.0, False, 400)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


class Rendering:
    """What the engine would hand back."""

    cancelled, seconds_made = False, 1.0

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def database(tmp_path: Path, new_address: Callable[[Path], Path | str]) -> Iterator[Database]:
    opened = Database(new_address(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database, 20, Pace(), Clock())


def ask(text: str = "a waltz", **given: Any) -> Asked:
    return Asked(text=text, **{"duration": 4.0, "model": "tiny"} | given)


def take_next(queue: Queue) -> Piece:
    piece = queue.next(lambda model: True, timeout=0)
    assert piece is not None
    return piece


def reopened(queue: Queue) -> Queue:
    """After kill -9: all that is left is the database."""
    return Queue(queue.database, 20, Pace(), Clock())


def test_what_is_accepted_is_made_after_a_crash_in_its_order_from_its_seed(queue):
    first = queue.submit(ask("one", count=2))
    second = queue.submit(ask("two", seed=7))
    begun = take_next(queue)
    queue.begin(begun)
    queue.end(begun, WHOLE, None)
    running = take_next(queue)
    queue.begin(running)
    assert queue.generation(first.id).status == "running"

    after = reopened(queue)
    assert [after.generation(one.id).status for one in (first, second)] == ["queued", "queued"]
    pieces = [take_next(after), take_next(after)]
    assert [piece.take.id for piece in pieces] == [first.items[1], second.items[0]]
    assert pieces[0].take.seed == first.asked["seed"] + 1
    assert pieces[1].take.seed == 7
    for piece in pieces:
        after.end(piece, WHOLE, None)
    for one in (first, second):
        state = after.generation(one.id)
        assert (state.status, state.seconds_made, state.position) == ("done", state.seconds_total, None)
    assert after.next(lambda model: True, timeout=0) is None
    assert after.counts() == {"done": 3}


def test_keys_take_turns_and_positions_say_so(queue):
    views = [queue.submit(ask(), "a") for _ in range(3)] + [queue.submit(ask(), "b") for _ in range(2)]
    positions = [queue.generation(view.id).position for view in views]
    assert positions == [1, 3, 5, 2, 4]
    order = [take_next(queue).take.job for _ in views]
    assert order == [view.id for view, _ in sorted(zip(views, positions, strict=True), key=lambda pair: pair[1])]


def test_variations_of_one_do_not_hold_up_another_key(queue):
    many = queue.submit(ask(count=8), "a")
    assert take_next(queue).take.job == many.id
    other = queue.submit(ask(), "b")
    jobs = [take_next(queue).take.job for _ in range(3)]
    assert other.id in jobs[:2]


def test_a_model_that_is_not_ready_is_passed_over(queue):
    waiting = queue.submit(ask(model="large"))
    here = queue.submit(ask())
    asked: list[str] = []
    piece = queue.next(lambda model: asked.append(model) or model == "tiny", timeout=0)
    assert piece is not None
    assert piece.take.job == here.id
    assert asked == ["large", "tiny"]
    assert queue.generation(waiting.id).position == 1


def test_cancelling_keeps_what_is_made(queue):
    view = queue.submit(ask(count=3))
    done, begun = take_next(queue), take_next(queue)
    queue.end(done, WHOLE, None)
    queue.begin(begun)
    rendering = Rendering()
    queue.plays(begun, rendering)
    state = queue.cancel(view.id)
    assert rendering.cancelled
    assert [take.status for take in state.takes] == ["done", "running", "cancelled"]
    queue.end(begun, PART, None)
    state = queue.generation(view.id)
    assert state.status == "cancelled"
    assert [take.status for take in state.takes] == ["done", "cancelled", "cancelled"]
    assert [(take.duration, take.complete) for take in state.takes] == [(4.0, True), (1.5, False), (0.0, False)]
    assert queue.cancel(view.id) == state  # again: nothing happens
    with pytest.raises(Missing, match="no generation"):
        queue.cancel("nothing")


def test_a_piece_that_is_cancelled_before_it_plays_is_told_when_it_does(queue):
    view = queue.submit(ask())
    piece = take_next(queue)
    queue.cancel(view.id)
    rendering = Rendering()
    queue.plays(piece, rendering)
    assert rendering.cancelled


def test_a_failure_says_why_and_keeps_what_there_is(queue):
    view = queue.submit(ask(count=2))
    first, second = take_next(queue), take_next(queue)
    queue.end(first, PART, "the engine failed")
    queue.end(second, WHOLE, None)
    state = queue.generation(view.id)
    assert (state.status, state.error) == ("failed", "the engine failed")
    assert [take.duration for take in state.takes] == [1.5, 4.0]


def test_refusals(queue):
    queue.submit(ask(count=8))
    queue.submit(ask(count=8))
    with pytest.raises(Crowded, match="16 takes are waiting already, and 20 may"):
        queue.submit(ask(count=5))
    with pytest.raises(UserError, match="cannot be counted up"):
        queue.submit(ask(seed=2**53 - 1, count=2))


def test_what_a_waiting_take_listens_to_is_known(queue):
    view = queue.submit(ask(melody="abc", prompt="def"))
    assert queue.needs("abc")
    assert queue.needs("def")
    assert not queue.needs("ghi")
    queue.cancel(view.id)
    assert not queue.needs("abc")
    assert queue.share("") == (0, 0)


def test_pages_of_generations(queue):
    views = [queue.submit(ask(str(i))) for i in range(5)]
    queue.cancel(views[3].id)
    first, cursor = queue.page(limit=3)
    rest, end = queue.page(limit=3, cursor=cursor)
    assert [view.id for view in (*first, *rest)] == [view.id for view in reversed(views)]
    assert end is None
    assert [view.id for view in queue.page(status="cancelled")[0]] == [views[3].id]
    with pytest.raises(UserError, match="no cursor"):
        queue.page(cursor="Zm9v")


def test_time_left_counts_what_is_before(queue):
    clock = iter(float(i) for i in range(100))
    queue.pace = Pace(lambda: next(clock))
    running, waiting = queue.submit(ask()), queue.submit(ask())
    assert queue.generation(waiting.id).seconds_left is None
    piece = take_next(queue)
    queue.begin(piece)
    queue.pace.begin(piece.take.id)
    queue.pace.heard(piece.take.id, "tiny", 2.0)  # two seconds of sound in one: a rate of 2
    rendering = Rendering()
    queue.plays(piece, rendering)
    assert queue.generation(running.id).seconds_left == pytest.approx((4 - rendering.seconds_made) / 2)
    assert queue.generation(waiting.id).seconds_left == pytest.approx((4 - rendering.seconds_made) / 2 + 4 / 2)
    assert queue.share("") == (2, pytest.approx(7.0))


def test_closing_queues_again_what_runs(queue):
    view = queue.submit(ask())
    piece = take_next(queue)
    queue.begin(piece)
    queue.close()
    queue.rest()
    assert piece.sound.over
    assert queue.next(lambda model: True, timeout=0) is None
    state = reopened(queue).generation(view.id)
    assert (state.status, state.takes[0].status) == ("queued", "queued")


def attempts(queue: Queue) -> list[int]:
    """As the disk knows them."""
    with queue.database.reading() as session:
        return list(session.exec(select(Take.attempts).order_by(Take.created, Take.item)))


def test_a_take_that_ends_the_process_each_time_is_given_up_and_those_beside_it_are_made(queue):
    killer, other = queue.submit(ask("kills")), queue.submit(ask("harmless"))
    made = []
    for attempt in range(1, MOST_ATTEMPTS + 1):
        begun = []
        while (piece := queue.next(lambda model: True, timeout=0)) is not None:
            queue.begin(piece)
            begun.append(piece.take.job)
        assert begun == ([killer.id, other.id] if attempt < ALONE_FROM else [killer.id]), "then alone"
        assert attempts(queue) == [attempt, min(attempt, ALONE_FROM - 1)]
        queue = reopened(queue)  # whatever killed it
    state = queue.generation(killer.id)
    assert (state.status, state.takes[0].status) == ("failed", "failed")
    assert state.error.startswith("given up after 5 attempts")
    piece = take_next(queue)
    queue.begin(piece)
    made.append(piece.take.job)
    queue.end(piece, WHOLE, None)
    assert made == [other.id]
    assert queue.generation(other.id).status == "done"
    assert queue.next(lambda model: True, timeout=0) is None
    assert reopened(queue).generation(killer.id) == state


def test_loading_a_model_is_an_attempt_of_the_take_for_which_it_is_loaded(queue):
    killer, same, other = queue.submit(ask("a", model="large")), queue.submit(ask(model="large")), queue.submit(ask())
    for attempt in range(1, MOST_ATTEMPTS + 1):

        def ready(model: str) -> bool:
            return model == "tiny" or (queue.call(model) and False)  # noqa: B023

        piece = queue.next(ready, timeout=0)
        assert (piece is None) == (attempt >= ALONE_FROM), "then nothing is made beside"
        if piece is not None:
            assert piece.take.job == other.id
            queue.begin(piece)
        assert attempts(queue)[0] == attempt - 1, "before it is loaded, nothing has happened"
        queue.count("large")
        assert attempts(queue) == [attempt, 0, min(attempt, ALONE_FROM - 1)]
        assert queue.generation(killer.id).status == "queued"
        queue = reopened(queue)  # loading has killed it
    assert queue.generation(killer.id).error.startswith("given up after 5 attempts")
    assert [queue.generation(one.id).status for one in (same, other)] == ["queued", "queued"]
    last = queue.next(lambda model: model == "tiny", timeout=0)
    assert last.take.job == other.id
    queue.begin(last)
    assert not queue.call("large"), "what was hit beside it is made alone now, and nothing is loaded beside it"


def test_a_model_that_is_loaded_or_a_studio_that_ends_in_order_takes_the_attempt_back(queue):
    view = queue.submit(ask(model="large"))
    assert queue.call("large")
    queue.count("large")
    queue.came("large")
    assert attempts(queue) == [0]
    piece = take_next(queue)
    queue.begin(piece)
    assert attempts(queue) == [1]
    queue.again(piece)
    assert queue.call("large")
    queue.count("large")
    assert attempts(queue) == [2]
    queue.close()
    queue.came("large")  # too late to write anything
    queue.rest()
    assert attempts(queue) == [1]
    assert queue.call("none waits for it")
    assert reopened(queue).generation(view.id).status == "queued"


def test_whatever_is_to_be_alone_is_not_loaded_beside_others(queue):
    first, large = queue.submit(ask()), queue.submit(ask(model="large"))
    begun = take_next(queue)
    queue.begin(begun)
    for _ in range(ALONE_FROM - 1):
        assert queue.call("large")
        queue.count("large")
        queue = reopened(queue)
    begun = queue.next(lambda model: model == "tiny", timeout=0)
    assert begun.take.job == first.id
    queue.begin(begun)
    behind = queue.submit(ask())
    assert not queue.call("large"), "not beside what is being made"
    assert queue.next(lambda model: model == "tiny", timeout=0) is None, "and those behind it let it come"
    queue.end(begun, WHOLE, None)
    assert queue.call("large")
    assert queue.next(lambda model: model == "tiny", timeout=0) is None
    queue.came("large")
    piece = take_next(queue)
    assert piece.take.job == large.id
    queue.begin(piece)
    assert queue.next(lambda model: True, timeout=0) is None
    queue.end(piece, WHOLE, None)
    assert take_next(queue).take.job == behind.id


def test_ending_in_order_is_no_attempt(queue):
    view = queue.submit(ask())
    for _ in range(MOST_ATTEMPTS + 1):
        queue.begin(take_next(queue))
        assert attempts(queue) == [1]
        queue.close()
        queue.rest()
        assert attempts(queue) == [0]
        queue = reopened(queue)
    assert queue.generation(view.id).status == "queued"


def test_a_piece_whose_maker_is_lost_goes_back_to_its_place_until_it_was_tried_too_often(queue):
    first, second = queue.submit(ask()), queue.submit(ask())
    piece = take_next(queue)
    piece.sound.push(np.zeros((1, 100), np.float32), 100)
    for attempt in range(1, MOST_ATTEMPTS):
        queue.begin(piece)
        assert piece.may_be_tried_again
        queue.again(piece)
        assert attempts(queue) == [attempt, 0]
        assert [queue.generation(one.id).position for one in (first, second)] == [1, 2]
        assert queue.load() == (2, 0)
        piece = take_next(queue)
        assert (piece.take.job, piece.sound.seconds) == (first.id, 1.0), "those who listen have heard this already"
    assert queue.next(lambda model: True, timeout=0) is None, "nothing beside it"
    queue.begin(piece)
    assert not piece.may_be_tried_again
    assert attempts(queue) == [MOST_ATTEMPTS, 0]
    queue.end(piece, None, "given up")
    other = take_next(queue)
    queue.begin(other)
    queue.cancel(second.id)
    assert not other.may_be_tried_again, "nobody wants it any more"
