"""Two copies of the model inside on a Ray cluster of this machine: the same music as from one, whatever dies."""

import io
import os
import signal
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.serve.studio.house import Studio
from cadenza.serve.studio.settings import StudioSettings
from cadenza.serve.studio.work import MOST_ATTEMPTS
from serve.studio.clusters import ask, copies, is_over, opened, opened_if_ray_starts, state, studio, until, with_ray
from serve.studio.postgres import installed


def test_without_ray_the_extra_is_named_and_nothing_stays_open(tmp_path, tiny_directory, monkeypatch):
    settings = StudioSettings(directory=tmp_path, model=str(tiny_directory), cluster="local")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "ray", None)
        with pytest.raises(UserError, match=r"pip install cadenza\[cluster\]"):
            Studio(settings)
    Studio(StudioSettings(directory=tmp_path, model=str(tiny_directory))).close()


def test_settings_that_cannot_be():
    with pytest.raises(UserError, match=r"max_replicas = 1: .*at least min_replicas, which is 3"):
        StudioSettings(min_replicas=3, max_replicas=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "said"), [("ray://127.0.0.1:10001", "cannot be streamed that way"), ("auto", "no Ray cluster answers")]
)
def test_a_cluster_that_is_not_there(tmp_path, tiny_directory, address, said):
    pytest.importorskip("ray.serve")
    with pytest.raises(UserError, match=said) as caught:
        Studio(StudioSettings(directory=tmp_path, model=str(tiny_directory), cluster=address))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A studio whose music two copies make; its jobs are in PostgreSQL, where that is installed."""
    pytest.importorskip("ray.serve")
    database = request.getfixturevalue("server").database() if installed() else None
    client = opened_if_ray_starts(tmp_path_factory, min_replicas=2, max_replicas=2, database=database)
    with client:
        yield client


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The same on one machine."""
    with opened(tmp_path_factory) as client:
        yield client


@with_ray
def test_both_play_and_the_music_is_that_of_one_machine(cluster, alone):
    before = copies(cluster)
    assert len(before) == 2 and os.getpid() not in before
    heard = []
    for client in (cluster, alone):
        made, sounds = ask(client, count=4)
        over = until(client, made, is_over)
        assert (over["status"], [take["complete"] for take in over["takes"]]) == ("done", [True] * 4)
        files = [Audio.read(studio(client).library.take_path(take)).samples for take in made["items"]]
        heard.append(([sound.whole() for sound in sounds], files))
    for there, here in zip(*heard, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(there, here, strict=True))
    assert all(count > before[process] for process, count in copies(cluster).items()), "both have played"
    assert cluster.get("/v1/health").json()["places"] == 4
    assert 'cadenza_model_replicas{model="cadenza-embedded"} 2.0' in cluster.get("/metrics").text


@with_ray
def test_it_is_heard_while_it_is_made_and_a_cancelled_take_is_kept(cluster):
    made, (sound,) = ask(cluster, duration=60.0)
    with cluster.websocket_connect(f"/v1/generations/{made['id']}/ws", headers={"host": "127.0.0.1"}) as socket:
        while "bytes" not in (message := socket.receive()) or message["bytes"] is None:
            pass
        found = state(cluster, made)
        assert (found["status"], found["takes"][0]["status"]) == ("running", "running")
        assert 0 < found["seconds_made"] < 60
        socket.send_json({"cancel": True})
        while socket.receive()["type"] == "websocket.send":
            pass
    over = until(cluster, made, is_over)
    take = over["takes"][0]
    assert (over["status"], take["complete"]) == ("cancelled", False)
    assert 0 < take["duration"] < 60
    assert take["duration"] == pytest.approx(sound.seconds)
    kept = Audio.read(studio(cluster).library.take_path(take["id"]))
    assert (kept.metadata["seed"], kept.metadata["complete"]) == (11, False)
    again = cluster.post(f"/v1/takes/{take['id']}/render").json()  # its record makes it again, there too
    until(cluster, again, lambda found: found["seconds_made"] > 0)
    cluster.post(f"/v1/generations/{again['id']}/cancel")
    until(cluster, again, is_over)


@with_ray
def test_a_melody_and_a_prompt_travel(cluster, alone):
    """A hum that was uploaded, the same followed again from the take's record, and a take that goes on."""
    heard: list[list[np.ndarray]] = []
    for client in (cluster, alone):
        hum = client.post("/v1/uploads", files={"file": ("hum.wav", hummed(), "audio/wav")}).json()
        first, _ = ask(client, melody=hum["id"])
        assert until(client, first, is_over)["status"] == "done"
        again = client.post(f"/v1/takes/{first['items'][0]}/render").json()
        longer, _ = ask(client, duration=4.0, prompt=first["items"][0], melody=hum["id"])
        made = [first, again, longer]
        assert [until(client, one, is_over)["status"] for one in made] == ["done"] * 3
        heard.append([Audio.read(studio(client).library.take_path(one["items"][0])).samples for one in made])
    for there, here in zip(*heard, strict=True):
        assert np.array_equal(there, here)
    (first, again, longer), rate = heard[0], 32000
    assert np.array_equal(first, again)
    assert longer.shape[1] == 4 * rate
    free, (sound,) = ask(cluster)
    until(cluster, free, is_over)
    assert not np.array_equal(first, sound.whole()[:, : first.shape[1]]), "the melody was listened to"


def hummed() -> bytes:
    """Four notes, as somebody sings them: the fundamental and some of its overtones, in a file."""
    rate, content = 16000, io.BytesIO()
    time = np.arange(rate * 3 // 4) / rate
    notes = [sum(np.sin(2 * np.pi * hertz * n * time) / n for n in (1, 2, 3)) * 0.2 for hertz in (220, 247.5, 275, 330)]
    soundfile.write(content, np.concatenate(notes), rate, format="WAV")
    return content.getvalue()


@with_ray
def test_killed_under_load_a_copy_loses_nothing(cluster, alone):
    made, sounds = ask(cluster, count=6, duration=6.0, seed=50)
    until(cluster, made, lambda found: found["seconds_made"] > 2)
    victim = next(iter(copies(cluster)))
    os.kill(victim, signal.SIGKILL)
    over = until(cluster, made, is_over)
    assert over["status"] == "done", over["error"]
    library = studio(cluster).library
    attempts = [library.take(take).attempts for take in made["items"]]
    assert sorted(set(attempts)) == [1, 2], "some were lost with it, and made again"
    reference, expected = ask(alone, count=6, duration=6.0, seed=50)
    until(alone, reference, is_over)
    for sound, other in zip(sounds, expected, strict=True):
        assert np.array_equal(sound.whole(), other.whole()), "whoever listened noticed nothing"
    for take, other_take in zip(made["items"], reference["items"], strict=True):
        there, here = (
            Audio.read(studio(one).library.take_path(name)).samples
            for one, name in ((cluster, take), (alone, other_take))
        )
        assert np.array_equal(there, here)


@with_ray
def test_a_take_whose_copies_die_each_time_has_failed(cluster):
    made, _ = ask(cluster, duration=60.0)
    library = studio(cluster).library
    for attempt in range(1, MOST_ATTEMPTS + 1):
        until(cluster, made, lambda found: library.take(made["items"][0]).attempts == attempt)  # noqa: B023
        until(cluster, made, lambda found: found["seconds_made"] > 0)
        for process in copies(cluster):
            os.kill(process, signal.SIGKILL)
    over = until(cluster, made, is_over)
    assert (over["status"], over["takes"][0]["complete"]) == ("failed", False)
    assert over["error"].startswith("given up after 5 attempts")
    assert over["takes"][0]["duration"] > 0
    other, _ = ask(cluster)
    assert until(cluster, other, is_over)["status"] == "done"
