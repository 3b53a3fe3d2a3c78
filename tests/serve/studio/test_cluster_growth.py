"""Copies of the model inside begin when pieces wait and end when none do; nothing is lost by either."""

import time

import numpy as np
import pytest
from fastapi.testclient import TestClient

from cadenza.audio import Audio
from serve.studio.clusters import (
    PATIENCE_SECONDS,
    ask,
    copies,
    is_over,
    opened,
    opened_if_ray_starts,
    studio,
    until,
    with_ray,
)


@with_ray
def test_copies_come_with_the_load_and_go_without_it(tmp_path_factory):
    ray = pytest.importorskip("ray")
    settings = {"min_replicas": 1, "max_replicas": 2, "grow_after_seconds": 1.0, "shrink_after_seconds": 10.0}
    with opened_if_ray_starts(tmp_path_factory, **settings) as growing:
        first = copies(growing)
        assert len(first) == 1
        assert growing.get("/v1/health").json()["places"] == 2
        crowd, _ = ask(growing, count=8, duration=60.0)
        until_there_are(growing, 2)
        assert growing.get("/v1/health").json()["places"] == 4
        growing.post(f"/v1/generations/{crowd['id']}/cancel")
        until(growing, crowd, is_over)
        made, _ = ask(growing, count=6)
        over = until(growing, made, is_over)
        assert (over["status"], over["error"]) == ("done", None)
        second = copies(growing)
        assert set(first) < set(second)
        assert all(second.values()), "both have played"
        until_there_are(growing, 1)
        after, _ = ask(growing, count=2)
        assert until(growing, after, is_over)["status"] == "done", "and the one that is left plays on"
        there = [Audio.read(studio(growing).library.take_path(take)).samples for take in made["items"]]
    with opened(tmp_path_factory) as alone:
        reference, _ = ask(alone, count=6)
        until(alone, reference, is_over)
        for samples, take in zip(there, reference["items"], strict=True):
            assert np.array_equal(samples, Audio.read(studio(alone).library.take_path(take)).samples)
    assert not ray.is_initialized(), "nothing of it goes on, or begins anew"


def until_there_are(client: TestClient, count: int) -> None:
    """Copies that play, as the metrics say."""
    began = time.monotonic()
    while f'cadenza_model_replicas{{model="cadenza-embedded"}} {count}.0' not in client.get("/metrics").text:
        assert time.monotonic() < began + PATIENCE_SECONDS
        time.sleep(0.1)
    print(f"copies: {count} after {time.monotonic() - began:.0f} s")
