"""Many listeners: each hears what it would hear alone."""

import threading
import time

import numpy as np
import pytest

from cadenza.engine.slots import Slots
from cadenza.errors import CadenzaError, UserError
from cadenza.pipelines import scheduling
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import noise, tiny_musicgen


@pytest.fixture(scope="module")
def music() -> MusicGen:
    music = tiny_musicgen()
    music.pack()  # as loading does
    return music


def same(one, other) -> bool:
    return np.array_equal(one.samples, other.samples)


ASKED = [
    {"text": "abc", "duration": 0.5, "seed": 1},
    {"text": "a much longer text about strings", "duration": 1.3, "seed": 2, "guidance": 1.0},
    {"text": "", "duration": 0.7, "seed": 3, "top_p": 0.9, "temperature": 0.8},
    {"text": [(0, "calm"), (0.4, "drums enter")], "duration": 0.9, "seed": 4},
    {"text": "x", "duration": 1.0, "seed": 5, "prompt": noise(0.5)},
    {"text": "x", "duration": 0.4, "seed": 6, "greedy": True},
]


def test_every_request_is_what_it_is_alone(music):
    with music.scheduler(max_requests=3) as scheduler:
        renderings = [scheduler.submit(**asked) for asked in ASKED]
        results = [rendering.result() for rendering in renderings]
    for asked, result, rendering in zip(ASKED, results, renderings, strict=True):
        alone = music.generate(**asked)
        assert same(result, alone), asked
        assert result.metadata == alone.metadata
        assert rendering.done
        assert rendering.is_complete
    assert not [thread for thread in threading.enumerate() if thread.name == "cadenza-scheduler"]


def test_a_take_is_made_again_from_its_record(music):
    with music.scheduler(max_requests=2) as scheduler:
        take = scheduler.submit("x", duration=0.8, seed=5, prompt=noise(0.3), guidance=2.0).result()
        again = scheduler.submit_again(take).result()
        with pytest.raises(UserError, match="no record"):
            scheduler.submit_again(noise(0.1))
        assert scheduler.is_open
    assert same(take, again)
    assert again.metadata == take.metadata
    assert not scheduler.is_open


def test_chunks_come_while_the_rest_is_made(music):
    with music.scheduler(max_requests=1) as scheduler:
        rendering = scheduler.submit("abc", duration=20, seed=1)
        first = next(rendering)
        assert first.duration_seconds < 0.2
        assert rendering.seconds_made < 20
        assert not rendering.done
        rendering.cancel()
        rest = rendering.result()
    assert 0 < rest.duration_seconds < 19
    assert rest.metadata["complete"] is False


def test_requests_from_many_threads(music):
    alone = [music.generate("abc", 0.3, seed) for seed in range(8)]
    heard = {}
    with music.scheduler(max_requests=4) as scheduler:

        def listen(seed: int) -> None:
            heard[seed] = scheduler.submit("abc", 0.3, seed).result()

        threads = [threading.Thread(target=listen, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(same(heard[seed], alone[seed]) for seed in range(8))


def test_a_request_that_cannot_be_is_refused_at_once_and_the_others_go_on(music):
    with music.scheduler(max_requests=2) as scheduler:
        good = scheduler.submit("abc", 0.3, 1)
        for bad in ({"duration": -1}, {"seed": -1}, {"text": ["a", "b"]}, {"top_k": -2}):
            with pytest.raises(UserError):
                scheduler.submit(**{"text": "abc", "duration": 0.3} | bad)
        assert same(good.result(), music.generate("abc", 0.3, 1))


def test_an_error_reaches_the_listener_and_no_other(music, monkeypatch):
    plain = music.codec.decode_step
    failing = None

    def decode_step(codes, state, last):
        if failing is not None and state is failing._stream._decoder.state:
            raise RuntimeError("the codec fell over")
        return plain(codes, state, last)

    monkeypatch.setattr(music.codec, "decode_step", decode_step)
    with music.scheduler(max_requests=2) as scheduler:
        good = scheduler.submit("abc", 1.0, 1)
        failing = scheduler.submit("abc", 5.0, 2)
        with pytest.raises(RuntimeError, match="fell over"):
            failing.result()
        assert same(good.result(), music.generate("abc", 1.0, 1))


def test_a_listener_that_lags_is_waited_for(music, monkeypatch):
    monkeypatch.setattr(scheduling, "UNHEARD_SECONDS", 0.5)
    with music.scheduler(max_requests=2) as scheduler:
        lazy = scheduler.submit("abc", 10, 1)
        keen = scheduler.submit("abc", 2, 2)
        assert same(keen.result(), music.generate("abc", 2, 2))
        time.sleep(0.2)
        assert lazy.seconds_made < 4  # half a second that nobody heard, and the piece under way
        assert same(lazy.result(), music.generate("abc", 10, 1))


def test_closing_ends_what_is_under_way_and_keeps_what_is_made(music):
    with music.scheduler(max_requests=1) as scheduler:
        under_way = scheduler.submit("abc", 30, 1)
        waiting = scheduler.submit("abc", 30, 2)
        next(under_way)
    assert under_way.done
    assert under_way.result().duration_seconds < 30
    assert waiting.result().num_samples == 0
    with pytest.raises(CadenzaError, match="closed"):
        scheduler.submit("abc", 1, 1)


def test_places_that_cannot_be(music, monkeypatch):
    with pytest.raises(UserError, match="max_requests = 0"):
        music.scheduler(max_requests=0)
    monkeypatch.setattr("cadenza.engine.memory.available_bytes", lambda *_: 100_000)
    with pytest.raises(UserError, match=r"pieces at once need .* for keys and values, 100 kB are free"):
        music.scheduler(max_requests=32)
    assert not [thread for thread in threading.enumerate() if thread.name == "cadenza-scheduler"]


def test_a_queue_that_is_full_says_so(music, monkeypatch):
    monkeypatch.setattr(scheduling, "MOST_WAITING", 2)
    with music.scheduler(max_requests=1) as scheduler:
        # One under way, two that wait; the thread may not have taken in the first yet.
        taken = [scheduler.submit("abc", 60, 1) for _ in range(3)]
        with pytest.raises(UserError, match="2 requests are waiting already"):
            scheduler.submit("abc", 60, 1)
        for rendering in taken:
            rendering.cancel()


def test_a_broken_engine_tells_every_listener(music, monkeypatch):
    """What happens outside of any one request reaches all of them, and is no quiet end."""
    with music.scheduler(max_requests=1) as scheduler:
        under_way = scheduler.submit("abc", 30, 1)
        waiting = scheduler.submit("abc", 30, 2)
        next(under_way)
        monkeypatch.setattr("cadenza.engine.scheduler.Scheduler.step", _fall_over)
        for rendering in (under_way, waiting):
            with pytest.raises(RuntimeError, match="fell over"):
                rendering.result()
        with pytest.raises(CadenzaError, match="closed"):
            scheduler.submit("abc", 1, 1)


def test_engines_in_reserve_give_way_to_one_that_is_needed(music, monkeypatch):
    """They are kept on CUDA only; here a stand-in."""
    renderer = music._renderer
    kept = Slots(music.lm, 4, 4, 32, "cpu", max_steps=64)
    monkeypatch.setattr(renderer, "_idle", [kept])
    monkeypatch.setattr("cadenza.pipelines.render.available_bytes", lambda _: 1 << 40)
    assert renderer._take(4, 2, 60, "a piece") is kept
    assert renderer._idle == []
    renderer._idle.append(kept)
    renderer._take(1, 2, 60, "a piece")
    assert renderer._idle == [kept]
    monkeypatch.setattr("cadenza.pipelines.render.available_bytes", lambda _: 1000)
    renderer._take(1, 2, 60, "a piece")
    assert renderer._idle == []


def _fall_over(*_):
    raise RuntimeError("the engine fell over")
