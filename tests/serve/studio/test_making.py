"""A piece whose player is lost: made again from its seed, whole in its file, seamless for those who listen."""

import threading
import time

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.serve.studio.players import Lost
from cadenza.serve.studio.work import MOST_ATTEMPTS

ASKED = {"text": "x", "duration": 1.0, "seed": 3}


class Dying:
    """A stage whose pieces are lost after some chunks, so many times; `gate` is waited for before the last attempt."""

    def __init__(self, stage, losses):
        self.stage, self.losses, self.places = stage, losses, stage.places
        self.gate = threading.Event()
        self.gate.set()

    def open(self, name):
        self.player = self.stage.open(name)
        self.play, self.player.play = self.player.play, self._play
        return self.player

    def close(self):
        self.stage.close()

    def _play(self, order):
        if self.losses == 0:
            self.gate.wait(60)
        return Breaking(self.play(order), self)


class Breaking:
    def __init__(self, playing, stage):
        self.playing, self.stage = playing, stage

    def __iter__(self):
        for number, chunk in enumerate(self.playing):
            if number == 2 and self.stage.losses:
                self.stage.losses -= 1
                self.playing.cancel()
                raise Lost("a copy is lost")
            yield chunk

    def cancel(self):
        self.playing.cancel()

    @property
    def seconds_made(self):
        return self.playing.seconds_made


@pytest.fixture
def dying(open_studio, tmp_path):
    """A studio with such a stage; the stage."""

    def opened(losses):
        client = open_studio(tmp_path)
        room = client.app.state.studio.engine
        room.stage = Dying(room.stage, losses)
        return client, room.stage

    return opened


def ask(client):
    """A generation, and its sound as those hear it who listen from the beginning."""
    generation = client.post("/v1/generations", json=ASKED).json()
    return generation, client.app.state.studio.queue.sound(generation["items"][0])


def attempts(client, take):
    return client.app.state.studio.library.take(take).attempts


@pytest.mark.parametrize("losses", [0, 1, MOST_ATTEMPTS - 1])
def test_it_is_made_again_and_whoever_listens_notices_nothing(dying, finished, tiny, losses):
    client, _ = dying(losses)
    with client:
        generation, sound = ask(client)
        over = finished(client, generation["id"])
        assert (over["status"], over["takes"][0]["complete"]) == ("done", True)
        assert attempts(client, generation["items"][0]) == losses + 1
        expected = tiny.generate("x", 1.0, 3)
        assert np.array_equal(sound.whole(), expected.samples)
        kept = Audio.read(client.app.state.studio.library.take_path(generation["items"][0]))
        assert kept.num_samples == expected.num_samples
        assert kept.metadata["complete"]


def test_after_too_many_losses_it_has_failed_and_keeps_what_there_was(dying, finished):
    client, stage = dying(9)
    with client:
        generation, sound = ask(client)
        over = finished(client, generation["id"])
        take = over["takes"][0]
        assert over["status"] == "failed"
        assert over["error"].startswith("given up after 5 attempts")
        assert (take["complete"], take["duration"]) == (False, pytest.approx(sound.seconds))
        assert 0 < take["duration"] < 1
        stage.losses = 0
        again, _ = ask(client)
        assert finished(client, again["id"])["status"] == "done"


def test_cancelled_while_it_is_made_again_it_keeps_what_was_heard(dying, finished):
    client, stage = dying(1)
    stage.gate.clear()
    with client:
        generation, sound = ask(client)
        while attempts(client, generation["items"][0]) < 2:
            time.sleep(0.01)
        heard = sound.seconds
        assert heard > 0
        client.post(f"/v1/generations/{generation['id']}/cancel")
        stage.gate.set()
        over = finished(client, generation["id"])
        take = over["takes"][0]
        assert (over["status"], take["complete"]) == ("cancelled", False)
        assert take["duration"] >= heard
        kept = Audio.read(client.app.state.studio.library.take_path(take["id"]))
        assert kept.metadata["model"] == "tiny"
