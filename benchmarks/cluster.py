"""What a second copy of the model brings: the same requests to a studio on a Ray cluster with one copy and with two.

    python benchmarks/cluster.py [--model DIR] [--requests 16] [--duration 10] [--places 4] [--copies 1,2] [--rounds 1]

Each copy computes with one thread. Told are the clock and the processor's time, of the copies and of the process in
front of them (which listens, measures loudness and writes FLAC): where other programs take the cores, the clock is
theirs, the processor's time is not. `gain`: music in a second with the most copies, over that with the fewest; `cost`:
processor time a second of music, likewise. Linux (it reads /proc), and Ray. The last line is JSON.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fastapi.testclient import TestClient

from cadenza.serve.studio.app import create_app
from cadenza.serve.studio.house import Studio
from cadenza.serve.studio.settings import StudioSettings
from machine import describe, median, rounded

ADDRESS = "http://127.0.0.1:8764"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    rounds = [[measured(options, copies) for copies in options.copies] for _ in range(options.rounds)]
    rows = [middle([row[i] for row in rounds]) for i in range(len(options.copies))]
    fewest, most = rows[0], rows[-1]
    record: dict[str, Any] = {
        "benchmark": "cluster",
        "requests": options.requests,
        "duration": options.duration,
        "places": options.places,
        "machine": describe(torch.device("cpu")),
        "copies": rows,
        "gain": rounded(most["music_per_second"] / fewest["music_per_second"]),
        "cost": rounded(most["processor_per_music_second"] / fewest["processor_per_music_second"]),
    }
    print(json.dumps(record))
    return record


def measured(options: argparse.Namespace, copies: int) -> dict[str, float]:
    """One run; the cluster is begun before and ended afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        settings = StudioSettings(
            directory=Path(folder),
            model=options.model,
            device="cpu",
            max_requests=options.places,
            cluster="local",
            min_replicas=copies,
            max_replicas=copies,
        )
        with TestClient(create_app(settings), base_url=ADDRESS) as client:
            studio: Studio = client.app.state.studio  # type: ignore[attr-defined]
            processes = [process for process, _ in ready(studio).broadcast("made")]
            assert len(processes) == copies, processes
            ask(client, studio, options.places * copies, 0.5, 1000)  # what is imported when it is needed
            busy = os.getloadavg()[0]
            before, front, began = sum(map(spent, processes)), time.process_time(), time.perf_counter()
            ask(client, studio, options.requests, options.duration, 0)
            wall = time.perf_counter() - began
            of_copies, of_front = sum(map(spent, processes)) - before, time.process_time() - front
    music = options.requests * options.duration
    return {
        "copies": copies,
        "load_before": busy,
        "wall": wall,
        "processor_of_copies": of_copies,
        "processor_of_front": of_front,
        "music_per_second": music / wall,
        "processor_per_music_second": (of_copies + of_front) / music,
        "cores": of_copies / wall,
    }


def ready(studio: Studio) -> Any:
    """The player, once all its copies are there."""
    room = studio.engine.load(studio.shelf.default)
    room.loaded.wait()
    if room.error is not None:
        raise room.error
    return room.player


def ask(client: TestClient, studio: Studio, count: int, duration: float, first_seed: int) -> None:
    """Ask for all at once and wait until all are made."""
    asked = {"text": "slow waltz for accordion", "duration": duration}
    names = [
        client.post("/v1/generations", json=asked | {"seed": first_seed + i}).raise_for_status().json()["id"]
        for i in range(count)
    ]
    while any(studio.queue.load()):
        time.sleep(0.05)
    states = {client.get(f"/v1/generations/{name}").json()["status"] for name in names}
    assert states == {"done"}, states


def spent(process: int) -> float:
    """Processor seconds of a process so far, of all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def middle(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: rounded(median([run[name] for run in runs])) for name in runs[0]}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model directory; the embedded model if left out")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each")
    parser.add_argument("--places", type=int, default=4, help="of each copy")
    parser.add_argument("--copies", type=numbers, default=[1, 2], help="how many, one run each: 1,2")
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args(arguments)


def numbers(text: str) -> list[int]:
    return sorted(int(part) for part in text.split(","))


if __name__ == "__main__":
    main()
