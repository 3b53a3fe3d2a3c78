"""What runs on other machines, run here: the same sound, and errors as words."""

import asyncio
import os

import numpy as np
import pytest

from cadenza.serve.studio.players import Order
from cadenza.serve.studio.replica import Recipe, Replica

ASKED = {"text": "x", "duration": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def replica(tiny_directory):
    made = Replica(Recipe("tiny", str(tiny_directory), "cpu", None, 2, 1))
    yield made
    made._player.close()


async def hear(replica, name="a", order=None, until=None):
    heard = []
    async for sent in replica.play(name, order or Order(ASKED)):
        heard.append(sent)
        if until is not None and until(heard):
            until = None
            assert replica.cancel(name)
    return heard


def sound(heard):
    return np.concatenate([sent.samples for sent in heard if sent.samples is not None], axis=1)


def test_it_plays_what_a_model_plays_here(replica, tiny):
    facts = replica.facts()
    assert (facts.config, facts.sample_rate, facts.error, facts.process) == (
        tiny.config,
        tiny.sample_rate,
        None,
        os.getpid(),
    )
    heard = asyncio.run(hear(replica))
    assert heard[0] == (0.0, None, None, None), "first of all, that it has come"
    assert np.array_equal(sound(heard), tiny.generate("x", 1.0, 3).samples)
    records = [sent.record for sent in heard if sent.record is not None]
    assert records[-1]["complete"]
    assert len(records) < len(heard) - 1, "a record travels where it has changed"
    assert replica.pieces_made == 1
    replica.check_health()


def test_two_at_once_and_one_again_from_its_record(replica, tiny):
    async def both():
        return await asyncio.gather(hear(replica, "a"), hear(replica, "b", Order(ASKED | {"seed": 4})))

    first, second = asyncio.run(both())
    assert np.array_equal(sound(first), tiny.generate("x", 1.0, 3).samples)
    assert np.array_equal(sound(second), tiny.generate("x", 1.0, 4).samples)
    again = asyncio.run(hear(replica, order=Order({}, again=tiny.generate("x", 1.0, 5))))
    assert np.array_equal(sound(again), tiny.generate("x", 1.0, 5).samples)


def test_cancelled_it_sends_what_is_made(replica):
    order = Order(ASKED | {"duration": 300.0})
    heard = asyncio.run(hear(replica, "long", order, lambda heard: heard[-1].samples is not None))
    assert 0 < sound(heard).shape[1] < 100 * 32000
    assert heard[-1].record is None or not heard[-1].record["complete"]
    assert not replica.cancel("long")
    forgotten = asyncio.run(_forget(replica, order))
    assert 0 < sound(forgotten).shape[1] < 100 * 32000


async def _forget(replica, order):
    heard = []
    async for sent in replica.play("x", order):
        heard.append(sent)
        if len(heard) == 3:
            replica.forget()
    return heard


def test_a_listener_that_goes_away_stops_the_piece(replica):
    async def leave():
        sounds = replica.play("gone", Order(ASKED | {"duration": 300.0}))
        async for sent in sounds:
            if sent.samples is not None:
                break
        await sounds.aclose()

    asyncio.run(leave())
    assert not replica.cancel("gone")


def test_errors_are_words(replica, tmp_path):
    heard = asyncio.run(hear(replica, order=Order(ASKED | {"text": [[0.0, "a"], [5.0, "late"]]})))
    assert "make it longer" in heard[-1].error
    none = Replica(Recipe("none", str(tmp_path / "nothing"), "cpu", None, 2, 1))
    assert none.facts().config is None
    assert "nothing" in none.facts().error
    assert asyncio.run(hear(none))[-1].error == none.facts().error
    none.check_health()


def test_an_engine_that_broke_is_unhealthy(tiny_directory):
    replica = Replica(Recipe("tiny", str(tiny_directory), "cpu", None, 1, 1))
    replica._player.close()
    with pytest.raises(RuntimeError, match="has failed"):
        replica.check_health()
    assert "closed" in asyncio.run(hear(replica))[-1].error
