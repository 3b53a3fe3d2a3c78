"""What the studio costs over its own engine, and how soon it sounds. The last line is JSON.

    python benchmarks/studio.py [--model DIR] [--requests 32] [--duration 5] [--places 8] [--rounds 3]

The same requests go to a `MusicScheduler` and to a studio, over HTTP in one process, in turns, the model loaded once.
Both are told by their processor time as well as by the clock, so that a busy machine does not decide: `throughput` is
the scheduler's processor time as a share of the studio's, medians of the rounds. The studio's includes what a scheduler
does not do: the database, loudness, FLAC, peaks. `first_sound`: from the request to the first chunk, alone.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fastapi.testclient import TestClient

from cadenza.loading import load_musicgen
from cadenza.pipelines.musicgen import MusicGen
from cadenza.serve.studio.app import create_app
from cadenza.serve.studio.jobs import Queue
from cadenza.serve.studio.settings import StudioSettings
from machine import describe, median, rounded

ADDRESS = "http://127.0.0.1:8764"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    music = load_musicgen(options.model, "cpu")
    asked = [
        {"text": f"slow waltz number {i} for accordion", "duration": options.duration, "seed": i}
        for i in range(options.requests)
    ]
    engine, studio = list[tuple[float, float]](), list[tuple[float, float]]()
    firsts = list[tuple[float, float]]()
    for _ in range(options.rounds):
        engine.append(by_scheduler(music, asked, options.places))
        cost, first = by_studio(music, asked, options)
        studio.append(cost)
        firsts.append(first)
    seconds = options.requests * options.duration
    record: dict[str, Any] = {
        "benchmark": "studio",
        "requests": options.requests,
        "duration": options.duration,
        "places": options.places,
        "threads": torch.get_num_threads(),
        "machine": describe(torch.device("cpu")),
        "scheduler": middle(engine),
        "studio": middle(studio),
        "first_sound": middle(firsts),
    }
    record["throughput"] = rounded(record["scheduler"]["processor"] / record["studio"]["processor"])
    record["seconds_of_music_per_processor_second"] = rounded(seconds / record["studio"]["processor"])
    print(json.dumps(record))
    return record


def middle(rounds: list[tuple[float, float]]) -> dict[str, float]:
    """The median round."""
    wall, processor = zip(*rounds, strict=True)
    return {"wall": rounded(median(wall)), "processor": rounded(median(processor))}


def by_scheduler(music: MusicGen, asked: list[dict[str, Any]], places: int) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    with music.scheduler(places) as scheduler:
        wall, processor = time.perf_counter(), time.process_time()
        renderings = [scheduler.submit(**one) for one in asked]
        threads = [threading.Thread(target=rendering.result) for rendering in renderings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - wall, time.process_time() - processor


def by_studio(
    music: MusicGen, asked: list[dict[str, Any]], options: argparse.Namespace
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The same, and how long it takes until one more is heard."""
    with tempfile.TemporaryDirectory() as folder:
        settings = StudioSettings(
            directory=Path(folder), model=options.model, device="cpu", max_requests=options.places
        )
        with TestClient(create_app(settings, lambda source: music), base_url=ADDRESS) as client:
            queue = client.app.state.studio.queue  # type: ignore[attr-defined]
            while not client.get("/v1/health").json()["ready"]:
                time.sleep(0.02)
            client.post("/v1/generations", json=asked[0] | {"duration": 0.5})  # what is imported when it is needed
            until_idle(queue)
            wall, processor = time.perf_counter(), time.process_time()
            names = [client.post("/v1/generations", json=one).json()["id"] for one in asked]
            until_idle(queue)
            spent = time.perf_counter() - wall, time.process_time() - processor
            states = {client.get(f"/v1/generations/{name}").json()["status"] for name in names}
            assert states == {"done"}, states
            began = time.perf_counter(), time.process_time()
            one = client.post("/v1/generations", json=asked[0]).json()
            sound = queue.sound(one["items"][0])
            while not sound.chunks:
                time.sleep(0.002)
            first = time.perf_counter() - began[0], time.process_time() - began[1]
            client.post(f"/v1/generations/{one['id']}/cancel")
            return spent, first


def until_idle(queue: Queue) -> None:
    while any(queue.load()):
        time.sleep(0.05)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model directory; the embedded model if left out")
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of each")
    parser.add_argument("--places", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
